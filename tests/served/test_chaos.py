"""What clients notice of a replica that dies: nothing but a wait."""

import asyncio

import httpx
import pytest

from tests.photos import astronaut, jpeg

pytestmark = [pytest.mark.serve, pytest.mark.chaos]


def kill_a_replica(deployment: str) -> None:
    import ray

    actors = ray.util.list_named_actors(all_namespaces=True)
    names = [actor["name"] for actor in actors if f"#{deployment}#" in actor["name"]]
    assert names, "no replica to kill"
    ray.kill(ray.get_actor(names[0], namespace="serve"), no_restart=True)


@pytest.mark.parametrize("deployment", ["MaskDetection", "InstanceSegmentation"])
async def test_a_dying_replica_loses_no_answer(service: str, deployment: str) -> None:
    photo = jpeg(astronaut())
    async with httpx.AsyncClient(base_url=service, timeout=120) as client:

        async def ask() -> httpx.Response:
            return await client.post("/analyze", content=photo, headers={"Content-Type": "image/jpeg"})

        expected = (await ask()).json()["images"][0]
        asked = [asyncio.create_task(ask()) for _ in range(6)]
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert done
        await asyncio.to_thread(kill_a_replica, deployment)
        answers = [await task for task in asked]
        answers += [await ask()]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        (image,) = answer.json()["images"]
        assert image["errors"] == []
        assert [face["label"] for face in image["faces"]] == [face["label"] for face in expected["faces"]]
        assert len(image["instances"]) == len(expected["instances"])
