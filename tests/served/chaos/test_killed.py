"""What clients notice of a process that dies: nothing but a wait, and of the proxy that it is gone for a while."""

import asyncio
import os
import signal
from contextlib import suppress

import httpx
import pytest

from benchmarks import processes
from tests.photos import astronaut, jpeg

pytestmark = [pytest.mark.serve, pytest.mark.chaos]
PHOTO = jpeg(astronaut())


def kill(title: str) -> None:
    """kill -9 of a process of this session's cluster, by the end of its title."""
    titles = processes.titles(processes.trees([os.getpid()]))
    found = [pid for pid, name in titles.items() if name.endswith(title)]
    assert found, f"no {title} among {sorted(titles.values())}"
    os.kill(found[0], signal.SIGKILL)


async def ask(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/analyze", content=PHOTO, headers={"Content-Type": "image/jpeg"})


@pytest.mark.parametrize("deployment", ["MaskDetection", "InstanceSegmentation", "Ingress"])
async def test_a_dying_replica_loses_no_answer(service: str, deployment: str) -> None:
    async with httpx.AsyncClient(base_url=service, timeout=120) as client:
        expected = (await ask(client)).json()["images"][0]
        asked = [asyncio.create_task(ask(client)) for _ in range(6)]
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert done
        await asyncio.to_thread(kill, deployment)
        answers = [await task for task in asked]
        answers += [await ask(client)]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        (image,) = answer.json()["images"]
        assert image["errors"] == []
        assert [face["label"] for face in image["faces"]] == [face["label"] for face in expected["faces"]]
        assert len(image["instances"]) == len(expected["instances"])


async def test_a_proxy_that_died_comes_back(service: str) -> None:
    await asyncio.to_thread(kill, "ProxyActor")
    async with httpx.AsyncClient(base_url=service, timeout=60) as client:
        async with asyncio.timeout(60):
            while True:
                with suppress(httpx.TransportError):
                    if (await client.get("/readyz")).status_code == 200:
                        break
                await asyncio.sleep(0.1)
        assert (await ask(client)).status_code == 200
