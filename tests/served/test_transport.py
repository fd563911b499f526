"""How pixels and large answers travel between real processes."""

import time

import numpy as np
import pytest
from ray import serve

from deployments.calls import Answer, Call, InstanceSegmentationOptions, Pixels
from deployments.models.card import card_path, read_card
from deployments.results import Box, Instance
from deployments.shared_pixels import SharedPixels, can_share
from serve_app.branch import ServeBranch

pytestmark = pytest.mark.serve

MASK_BYTES = 60_000
MASKS = 100


class LargeAnswers:
    """Answers as a segmenter does that finds a hundred noisy masks in 12 megapixels."""

    async def __call__(self, pixels: Pixels, call: Call) -> Answer:
        size = [call.height, call.width]
        found = [
            Instance(0, "person", 0.5, Box(0, 0, 1, 1), {"size": size, "counts": f"{number:0{MASK_BYTES}}"}, number)
            for number in range(MASKS)
        ]
        return Answer(found, 0.0, 0.0)


class Sums:
    """Answers how much all the pixels are together, if they are shared."""

    async def __call__(self, pixels: Pixels, call: Call) -> Answer:
        assert isinstance(pixels, SharedPixels)
        return Answer((), 0.0, float(pixels.open().sum()))


@pytest.mark.skipif(not can_share(), reason="pixels are shared on Linux only")
async def test_a_replica_on_this_machine_reads_the_pixels_where_they_are(addresses: object) -> None:
    deployment = serve.deployment(ray_actor_options={"num_cpus": 0.1})(Sums)
    handle = serve.run(deployment.bind(), name="sums", route_prefix=None)
    try:
        branch = ServeBranch(handle, read_card(card_path("solov2_people")))
        for value in (1, 2, 3):
            image = np.full((1000, 2000, 3), value, np.uint8)
            call = Call(1000, 2000, InstanceSegmentationOptions(), deadline=time.time() + 60, request_id="sum")
            assert (await branch(image, call)).run_ms == image.sum()
    finally:
        serve.delete("sums")


async def test_an_answer_over_four_mib_arrives(addresses: object) -> None:
    deployment = serve.deployment(ray_actor_options={"num_cpus": 0.1})(LargeAnswers)
    handle = serve.run(deployment.bind(), name="large", route_prefix=None)
    try:
        branch = ServeBranch(handle, read_card(card_path("solov2_people")))
        call = Call(3000, 4000, InstanceSegmentationOptions(), deadline=time.time() + 60, request_id="large")
        answer = await branch(np.zeros((288, 384, 3), np.uint8), call)
        assert {len(instance.mask["counts"]) for instance in answer.results} == {MASK_BYTES}
        assert [instance.area for instance in answer.results] == list(range(MASKS))
    finally:
        serve.delete("large")
