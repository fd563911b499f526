from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2_grpc import HealthStub, add_HealthServicer_to_server
from ray.serve._private import default_impl

from serve_app.grpc.listening import CERTIFICATE, HOST, KEY, add_address, listen_as_configured
from tests.ports import free_port


@pytest.fixture
def server() -> Iterator[grpc.Server]:
    made = grpc.server(ThreadPoolExecutor(1))
    add_HealthServicer_to_server(HealthServicer(), made)
    yield made
    made.stop(None)


def answers(channel: grpc.Channel) -> bool:
    try:
        HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return False
        raise
    return True


def test_the_host_of_the_environment(server: grpc.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOST, "127.0.0.2")
    port = free_port()
    add_address(server, f"[::]:{port}")
    server.start()
    assert answers(grpc.insecure_channel(f"127.0.0.2:{port}"))
    assert not answers(grpc.insecure_channel(f"127.0.0.1:{port}"))


def test_tls(server: grpc.Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    for blob in issued.cert_chain_pems:
        blob.write_to_path(tmp_path / "chain.pem", append=True)
    for name, value in ((HOST, "127.0.0.1"), (CERTIFICATE, tmp_path / "chain.pem"), (KEY, tmp_path / "key.pem")):
        monkeypatch.setenv(name, str(value))
    port = free_port()
    add_address(server, f"[::]:{port}")
    server.start()
    trusted = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    assert answers(grpc.secure_channel(f"127.0.0.1:{port}", trusted))
    assert not answers(grpc.insecure_channel(f"127.0.0.1:{port}"))
    stranger = grpc.ssl_channel_credentials(trustme.CA().cert_pem.bytes())
    assert not answers(grpc.secure_channel(f"127.0.0.1:{port}", stranger))


def test_a_ray_that_adds_addresses_elsewhere_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(default_impl, "add_grpc_address")
    with pytest.raises(RuntimeError, match="Ray"):
        listen_as_configured(lambda server: None)


def test_half_a_pair_of_files_stops_the_start(server: grpc.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CERTIFICATE, "chain.pem")
    with pytest.raises(RuntimeError, match=f"{CERTIFICATE} and {KEY}"):
        add_address(server, "[::]:0")
