"""Uploads that stall, and bodies that are not what they seem."""

import asyncio
import gzip
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import grpc

from benchmarks.scenarios.service import JPEG, Seen, Service, growing
from serve_app.protocols.open_inference.protos import open_inference_pb2 as v2

MB = 1024 * 1024
STALLED = "POST /analyze HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 1000\r\n{}\r\nx"


async def stalled(service: Service, connections: int, header: str = "") -> Seen:
    """Uploads that stall: each 408 in a set time, others answered as ever."""
    alone = await service.alone()
    raised: list[float] = []
    ends: Counter[bytes] = Counter()

    async def stall() -> None:
        reader, writer = await asyncio.open_connection(*service.address)
        try:
            writer.write(STALLED.format(header).encode())
            start = time.monotonic()
            ends[(await asyncio.wait_for(reader.read(12), 100))[9:12]] += 1
            raised.append(time.monotonic() - start)
        except (TimeoutError, OSError):
            ends[b"none"] += 1
        finally:
            writer.close()

    tasks = [asyncio.create_task(stall()) for _ in range(connections)]
    await asyncio.sleep(1)
    async with service.probing() as probes:
        beside = await service.alone()
        await asyncio.gather(*tasks)
    worst = max(raised, default=0.0)
    seen = {code.decode(): count for code, count in ends.items()}
    text = f"{alone:.2f} s alone, {beside:.2f} s beside; uploads ended {seen} after {worst:.1f} s at most; {probes}"
    return Seen(seen == {"408": connections} and beside < 2 * alone + 0.2 and probes.hold, text)


async def stalled_70(service: Service) -> Seen:
    """70 uploads that stall, with a header that asks Serve for endless time: each 408 in a set time, others as ever."""
    return await stalled(service, 70, "X-Request-Timeout-Seconds: 1000000\r\n")


async def stalled_1000(service: Service) -> Seen:
    """1000 uploads that stall: each 408 in a set time, others answered as ever."""
    return await stalled(service, 1000)


async def chunked_over_the_limit(service: Service) -> Seen:
    """Four chunked bodies of 300 MB beside a load that fills the service: 413 on the way, memory bounded."""

    async def body() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b"x" * MB

    async def send() -> int:
        async with service.session.post(service.url + "/analyze", data=body(), headers=JPEG) as answer:
            await answer.read()
            return answer.status

    load = [asyncio.create_task(service.ask()) for _ in range(60)]
    async with growing(service) as grew:
        statuses = [each if isinstance(each, int) else 0 for each in await gather_all(*(send() for _ in range(4)))]
    await asyncio.gather(*load)
    return Seen(
        set(statuses) <= {413, 503} and grew[0] < 700, f"{statuses}; memory up {grew[0]:.0f} MB, photos' included"
    )


async def gather_all(*awaitables: Awaitable[Any]) -> list[Any]:
    """Results and exceptions."""
    return list(await asyncio.gather(*awaitables, return_exceptions=True))


async def json_bombs(service: Service) -> Seen:
    """64 MB of tiny JSON values, gzipped: 400 or 413 in a second, memory up by less than 200 MB, probes answered."""
    many = b"[" + b"[]," * (21 * MB) + b"[]]"
    bombs = [
        ("/analyze", b'{"images":["AAAA"],"options":{"x":' + many + b"}}"),
        ("/analyze", b'{"images":[' + b'"",' * (21 * MB) + b'""]}'),
        ("/v2/repository/index", many),
        ("/v2/models/analyze/infer", many),
        ("/v1/models/analyze:predict", b'{"instances":' + many + b"}"),
    ]
    packed = [(path, gzip.compress(body[: 64 * MB - 16], 1)) for path, body in bombs]
    seen = []
    async with service.probing() as probes, growing(service) as grew:
        for path, body in packed:
            kind = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
            status, seconds, _ = await service.ask(path, body, **kind)
            seen.append((status, round(seconds, 2)))
        await asyncio.sleep(1.5)
    holds = all(status in (400, 413) and seconds < 1 for status, seconds in seen) and grew[0] < 200
    return Seen(holds and probes.hold, f"{seen}; memory up {grew[0]:.0f} MB; {probes}")


async def protobuf_bombs(service: Service) -> Seen:
    """60 MB of empty dims, garbage, 400 MB of zeros gzipped: refused unparsed, memory under twice the message limit."""
    shape = b"\x12\x00" * (30 * MB)
    tensor = b"\x12" + _varint(len(shape)) + shape
    value = b"\x12" + _varint(len(tensor)) + tensor
    entry = b"\x0a\x06images" + value
    predict = b"\x0a\x10\x0a\x0emask_detection" + b"\x12" + _varint(len(entry)) + entry
    zeros = v2.ModelInferRequest(model_name="analyze", raw_input_contents=[bytes(400 * MB)]).SerializeToString()
    options = [("grpc.max_send_message_length", -1)]
    codes = []
    async with (
        service.probing() as probes,
        growing(service) as grew,
        grpc.aio.insecure_channel(service.grpc, options=options) as channel,
    ):
        for method, data, compression in (
            ("tensorflow.serving.PredictionService/Predict", predict, None),
            ("tensorflow.serving.PredictionService/Predict", b"\xff\xff", None),
            ("tensorflow.serving.ModelService/GetModelStatus", b"\xff\xff", None),
            ("inference.GRPCInferenceService/ModelInfer", b"\xff\xff", None),
            ("inference.GRPCInferenceService/ModelInfer", zeros, grpc.Compression.Gzip),
        ):
            try:
                await channel.unary_unary(f"/{method}")(data, timeout=60, compression=compression)
                codes.append("OK")
            except grpc.aio.AioRpcError as error:
                codes.append(error.code().name)
    wanted = {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED"}
    return Seen(
        set(codes) <= wanted and grew[0] < 256 and probes.hold, f"{codes}; memory up {grew[0]:.0f} MB; {probes}"
    )


def _varint(number: int) -> bytes:
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])
