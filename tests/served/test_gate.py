"""What stands before Serve's queues, on the real application: uploads, headers, probes, gRPC."""

import asyncio
import os
import re
import sys
from pathlib import Path

import grpc
import httpx
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from benchmarks.processes import titles, trees
from deployments.model_deployment import NICENESS
from serve_app.protocols.open_inference.protos.open_inference_pb2 import ServerLiveRequest, ServerLiveResponse
from tests.served import uploads
from tests.served.conftest import Addresses
from tests.served.uploads import HEAD, JPEG, PHOTO, talk

pytestmark = pytest.mark.serve


async def test_an_offer_of_http_2_changes_nothing(service: str) -> None:
    offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"
    by_length = f"{HEAD}{offer}Content-Length: {len(PHOTO)}\r\n\r\n".encode()
    chunked = f"{HEAD}{offer}Transfer-Encoding: chunked\r\n\r\n{len(PHOTO):x}\r\n".encode()
    for pieces in (
        [by_length + PHOTO],
        [by_length, PHOTO[:1000], PHOTO[1000:]],
        [chunked, PHOTO[:1000], PHOTO[1000:], b"\r\n0\r\n\r\n"],
    ):
        answer = await talk(service, *pieces, pause_s=0.05)
        assert answer.startswith(b"HTTP/1.1 200 OK"), answer[:300]
        assert answer.count(b"HTTP/1.1") == 1


async def test_no_header_changes_the_deadline(service: str) -> None:
    await uploads.no_header_changes_the_deadline(service)


async def test_stalled_uploads_end_and_hold_up_nobody(service: str) -> None:
    await uploads.stalled_uploads_end_and_hold_up_nobody(service)


async def test_a_chunked_body_over_the_limit_is_refused_while_it_comes(service: str) -> None:
    await uploads.a_chunked_body_over_the_limit_is_refused_while_it_comes(service)


@pytest.mark.parametrize("given", ["mine", "a=b:c", "\xe9"])
def test_one_request_id_comes_back(client: httpx.Client, given: str) -> None:
    answer = client.get("/livez", headers=[(b"x-request-id", given.encode("latin-1"))])
    (answered,) = answer.headers.get_list("x-request-id")
    assert (answered == given) == bool(re.fullmatch("[a-z]+", given))


def test_the_health_service_answers(addresses: Addresses) -> None:
    with grpc.insecure_channel(addresses.grpc) as channel:
        health = HealthStub(channel)
        for service in ("", "inference.GRPCInferenceService", "tensorflow.serving.PredictionService"):
            asked = health_pb2.HealthCheckRequest(service=service)
            assert health.Check(asked, timeout=10).status == health_pb2.HealthCheckResponse.SERVING
            assert next(health.Watch(asked, timeout=10)).status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as refused:
            health.Check(health_pb2.HealthCheckRequest(service="unicorn"), timeout=10)
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    "method", ["PredictionService/Predict", "PredictionService/GetModelMetadata", "ModelService/GetModelStatus"]
)
def test_bytes_that_are_no_message_are_an_argument_that_is_refused(addresses: Addresses, method: str) -> None:
    with grpc.insecure_channel(addresses.grpc) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(f"/tensorflow.serving.{method}")(b"\xff\xff\xff", timeout=10)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        live = channel.unary_unary("/inference.GRPCInferenceService/ServerLive", ServerLiveRequest.SerializeToString)
        assert ServerLiveResponse.FromString(live(ServerLiveRequest(), timeout=10)).live


def test_services_describe_themselves(addresses: Addresses) -> None:
    with grpc.insecure_channel(addresses.grpc) as channel:
        reflection = ProtoReflectionDescriptorDatabase(channel)
        services = set(reflection.get_services())
        assert {"inference.GRPCInferenceService", "tensorflow.serving.PredictionService"} <= services
        pool = DescriptorPool(reflection)
        service = pool.FindServiceByName("inference.GRPCInferenceService")
        method = service.FindMethodByName("ServerLive")
        call = channel.unary_unary(f"/{service.full_name}/{method.name}")
        answer = GetMessageClass(method.output_type).FromString(call(b"", timeout=10))
        assert answer.live
        assert pool.FindServiceByName("tensorflow.serving.PredictionService").FindMethodByName("Predict")


def test_grpc_listens_on_loopback_only(addresses: Addresses) -> None:
    port = int(addresses.grpc.rpartition(":")[2])
    listening = {
        line.split()[1].partition(":")[0]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and int(line.split()[1].rpartition(":")[2], 16) == port
    }
    # As IPv4, or as IPv4 in IPv6's clothes, each in the kernel's byte order.
    assert listening
    assert listening <= {"0100007F", "0000000000000000FFFF00000100007F"}


@pytest.mark.skipif(sys.platform != "linux", reason="looks at threads in /proc")
def test_models_give_way_to_what_refuses(service: str) -> None:
    def niceness(name: str) -> int:
        (process,) = (pid for pid, title in titles(trees([os.getpid()])).items() if title.endswith(name))
        threads = (int(path.name) for path in Path(f"/proc/{process}/task").iterdir())
        return max(os.getpriority(os.PRIO_PROCESS, thread) for thread in threads)

    for model in ("MaskDetection", "InstanceSegmentation"):
        assert niceness(model) == min(19, niceness("Ingress") + NICENESS)


async def test_more_than_can_be_answered_is_refused_in_the_clients_protocol(service: str) -> None:
    """Whatever the machine's speed: an answer, or a refusal that says when to come again, or a deadline that passed."""
    async with httpx.AsyncClient(base_url=service, timeout=120, limits=httpx.Limits(max_connections=None)) as client:
        asked = [client.post("/analyze", content=PHOTO, headers=JPEG, params={"timeout_s": 1}) for _ in range(100)]
        answers = await asyncio.gather(*asked)
        for answer in answers:
            assert answer.status_code in (200, 503, 504), answer.text
            assert answer.headers["content-type"] == "application/json"
            assert ("retry-after" in answer.headers) == (answer.status_code == 503)
        assert (await client.get("/readyz")).status_code == 200
        # For a second the gate may still tell on what the ingress told it.
        while (answer := await client.post("/analyze", content=PHOTO, headers=JPEG)).status_code == 503:  # noqa: ASYNC110
            await asyncio.sleep(float(answer.headers["retry-after"]))
        assert answer.status_code == 200
