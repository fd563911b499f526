"""What listens once the service has started, where, and to whom it answers."""

import os

import grpc
import httpx
import pytest

from tests.served.conftest import Addresses
from tests.served.listening import Listening, listening

pytestmark = pytest.mark.serve

INTERNAL = {
    f"ray::ServeReplica:maskgraph:{deployment}" for deployment in ("Ingress", "MaskDetection", "InstanceSegmentation")
}
"""Replicas take each other's calls on every interface, whatever Ray is told."""
RAYS_METHODS = (
    "ray.serve.ASGIService/HandleRequest",
    "ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "ray.rpc.InternalKVGcsService/InternalKVGet",
    "ray.rpc.NodeManagerService/GetNodeStats",
    "ray.rpc.ObjectManagerService/Pull",
    "ray.rpc.ReporterService/GetTraceback",
)
"""One of each of Ray's gRPC services; a server has one or two of them."""


@pytest.fixture
def sockets(addresses: Addresses) -> list[Listening]:
    """All of them; this process is Ray's driver, so that all of Ray descends from it."""
    return listening(os.getpid())


def codes(port: int, *metadata: tuple[str, str]) -> set[str]:
    """What a gRPC server answers to an empty call of each method."""
    found = set()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for method in RAYS_METHODS:
            try:
                channel.unary_unary(f"/{method}")(b"", timeout=10, metadata=metadata)
            except grpc.RpcError as error:
                found.add(error.code().name)
            else:
                found.add("OK")
    return found


def test_only_calls_between_replicas_come_from_beyond_loopback(sockets: list[Listening], addresses: Addresses) -> None:
    photos = {int(address.rpartition(":")[2]) for address in (addresses.http, addresses.grpc)}
    assert photos <= {each.port for each in sockets if each.on_loopback}
    assert {each.title for each in sockets if not each.on_loopback} == INTERNAL


def test_replicas_answer_no_caller_without_rays_token(sockets: list[Listening]) -> None:
    ports = [each.port for each in sockets if not each.on_loopback]
    assert ports
    for port in ports:
        assert codes(port) == {"UNAUTHENTICATED", "UNIMPLEMENTED"}
        assert "UNAUTHENTICATED" in codes(port, ("authorization", "Bearer guessed"))
        # What is refused above is the caller, not the call.
        assert "UNAUTHENTICATED" not in codes(port, ("authorization", f"Bearer {os.environ['RAY_AUTH_TOKEN']}"))


def test_rays_other_servers_answer_nobody_without_the_token(sockets: list[Listening], addresses: Addresses) -> None:
    """On a cluster they listen on every interface, and here other accounts of the machine reach them."""
    photos = [int(address.rpartition(":")[2]) for address in (addresses.http, addresses.grpc)]
    answers = {each: codes(each.port) for each in sockets if each.port not in photos}
    speak_http = [each for each, found in answers.items() if found == {"UNAVAILABLE"}]
    assert [each for each, found in answers.items() if "UNAUTHENTICATED" not in found and each not in speak_http] == []
    assert not any("OK" in found for found in answers.values())
    open_ones = [each for each in speak_http if post(each.port) != httpx.codes.UNAUTHORIZED]
    assert len(speak_http) > len(open_ones) > 0
    for each in open_ones:  # Prometheus' exporters, which know one answer
        assert post(each.port) == httpx.codes.METHOD_NOT_ALLOWED
        assert httpx.get(f"http://127.0.0.1:{each.port}/api/jobs/").text.startswith("# HELP ")


def post(port: int) -> int:
    """The status of a request that would start something."""
    return httpx.post(f"http://127.0.0.1:{port}/get_or_create_runtime_env", timeout=10).status_code
