"""More than the service can answer."""

import asyncio
import base64
import statistics
import time
from collections import Counter
from typing import Any
from urllib.parse import quote_plus

import aiohttp
import grpc
import orjson

from benchmarks.scenarios.service import Seen, Service, growing, percentile
from serve_app.protocols.open_inference.protos import open_inference_pb2 as v2


def dialects(photo: bytes) -> dict[str, tuple[bytes, str]]:
    """Where each protocol takes photos, with a body that holds one and its type."""
    text = base64.b64encode(photo).decode()
    json_type, form_type = "application/json", "application/x-www-form-urlencoded"
    tensor = {"name": "images", "datatype": "BYTES", "shape": [1], "data": [text]}
    roboflow = {"model_id": "mask_detection/1", "image": {"type": "base64", "value": text}}
    return {
        "/analyze": (photo, "image/jpeg"),
        "/v1/models/analyze:predict": (orjson.dumps({"instances": [{"b64": text}]}), json_type),
        "/v2/models/analyze/infer": (orjson.dumps({"inputs": [tensor]}), json_type),
        "/predict/pyramidbox_lite_server_mask": (orjson.dumps({"images": [text]}), json_type),
        "/predict/image/pyramidbox_lite_server_mask": (
            b"data=" + quote_plus(orjson.dumps({"b64s": [text]})).encode(),
            form_type,
        ),
        "/infer/object_detection": (orjson.dumps(roboflow), json_type),
        "/mask_detection/1": (text.encode(), form_type),
    }


async def overload(service: Service) -> Seen:
    """Open loop at 4 times capacity: goodput >= 0.9 of it, none late, refusals in JSON, p99 < 0.1 s, Retry-After."""
    counted = 0

    async def client() -> None:
        nonlocal counted
        end = time.monotonic() + service.seconds / 3
        while time.monotonic() < end:
            status, _, _ = await service.ask()
            counted += status == 200

    await asyncio.gather(*(client() for _ in range(8)))
    capacity = counted / (service.seconds / 3)
    arrivals = max(1, round(4 * capacity * service.seconds))
    start = time.monotonic()
    ended: list[tuple[int, float, Any, float]] = []

    async def arrive(number: int) -> None:
        await asyncio.sleep(number / (4 * capacity))
        ended.append((*await service.ask(), time.monotonic() - start))

    async with service.probing() as probes, growing(service) as grew:
        await asyncio.gather(*(arrive(number) for number in range(arrivals)))
    good = [each for each in ended if each[0] == 200]
    goodput = sum(each[3] <= service.seconds for each in good) / service.seconds
    refused = [each for each in ended if each[0] == 503]
    forms = all("Retry-After" in each[2] and "json" in each[2]["Content-Type"] for each in refused)
    p99 = percentile([each[1] for each in refused], 0.99)
    late = percentile([each[1] for each in good], 1)
    others = dict(Counter(each[0] for each in ended if each[0] not in (200, 503)))
    holds = goodput >= 0.9 * capacity and p99 < 0.1 and forms and not others and late < 30.5 and probes.hold
    text = (
        f"capacity {capacity:.1f}/s, goodput {goodput:.1f}/s; slowest answer {late:.1f} s; {len(refused)} refused, p99 "
        f"{p99 * 1000:.0f} ms, forms {'right' if forms else 'WRONG'}; others {others or 'none'}; "
        f"memory up {grew[0]:.0f} MB; {probes}"
    )
    return Seen(holds, text)


async def crowd_in_every_dialect(service: Service) -> Seen:
    """400 clients that come again at once, in every dialect: all live; refusals in each dialect's form, Retry-After."""
    bodies = dialects(service.photo)
    kinds: Counter[str] = Counter()
    took: list[float] = []
    end = time.monotonic() + service.seconds / 2

    async def client(path: str) -> None:
        body, sent_type = bodies[path]
        while time.monotonic() < end:
            status, seconds, headers = await service.ask(path, body, **{"Content-Type": sent_type})
            kind = headers.get("Content-Type", "none")
            if status == 503:
                took.append(seconds)
                kind += " with" if "Retry-After" in headers else " WITHOUT"
            kinds[f"{path} {status} {kind}"] += 1

    async with service.probing() as probes:
        paths = list(bodies)
        await asyncio.gather(*(client(paths[number % len(paths)]) for number in range(400)))
    right = (" 200 application/json", " 503 application/json with")
    wrong = {kind: number for kind, number in kinds.items() if not kind.endswith(right)}
    p99 = percentile(took, 0.99)
    text = f"{sum(kinds.values())} answers, wrong {wrong or 'none'}; refusals p99 {p99 * 1000:.0f} ms; {probes}"
    return Seen(probes.hold and not wrong, text)


async def fairness(service: Service) -> Seen:
    """A photo 0.5 s after a request of 64: within about 3 times its time alone."""
    alone = await service.alone()
    form = aiohttp.FormData()
    for number in range(64):
        form.add_field("image", service.photo, filename=f"{number}.jpg")
    begin = time.monotonic()

    async def many() -> tuple[int, float]:
        async with service.session.post(service.url + "/analyze", data=form) as answer:
            await answer.read()
            return answer.status, time.monotonic() - begin

    task = asyncio.create_task(many())
    beside: list[float] = []
    statuses = set()
    while len(beside) < 5 and not task.done():
        await asyncio.sleep(0.5)
        answered, took, _ = await service.ask()
        beside.append(took)
        statuses.add(answered)
    status, seconds = await task
    median = statistics.median(beside)
    ratio = median / alone
    text = f"{alone:.2f} s alone, {median:.2f} s beside: {ratio:.1f} times; the 64: {status}, {seconds:.1f} s"
    return Seen(status == 200 and statuses == {200} and ratio <= 3.5, text)


def infer_request(photo: bytes) -> v2.ModelInferRequest:
    """One photo in Open Inference's terms."""
    return v2.ModelInferRequest(
        model_name="analyze",
        inputs=[v2.ModelInferRequest.InferInputTensor(name="images", datatype="BYTES", shape=[1])],
        raw_input_contents=[len(photo).to_bytes(4, "little") + photo],
    )


async def overload_over_grpc(service: Service) -> Seen:
    """200 gRPC calls at once: what is refused is RESOURCE_EXHAUSTED with retry information."""
    request = infer_request(service.photo)
    request.parameters["timeout"].int64_param = 3_000_000
    data = request.SerializeToString()
    codes: Counter[str] = Counter()
    hints = []
    async with service.probing() as probes, grpc.aio.insecure_channel(service.grpc) as channel:

        async def call() -> None:
            try:
                await channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(data, timeout=60)
                codes["OK"] += 1
            except grpc.aio.AioRpcError as error:
                codes[error.code().name] += 1
                if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
                    keys = {key for key, _ in error.trailing_metadata() or ()}
                    hints.append({"grpc-status-details-bin", "grpc-retry-pushback-ms"} <= keys)

        await asyncio.gather(*(call() for _ in range(200)))
    return Seen(bool(hints) and all(hints) and probes.hold, f"{dict(codes)}, {sum(hints)} with a hint; {probes}")
