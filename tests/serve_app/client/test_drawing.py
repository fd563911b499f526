from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from deployments.imaging.labels import FACE_COLORS, instance_color
from deployments.imaging.masks import encode_rle
from serve_app.client import Analysis, AsyncClient, Box, Face, Instance, read_answer
from tests.photos import astronaut
from tests.serve_app.client.conftest import EMPTY
from tests.serve_app.conftest import HEIGHT, WIDTH


async def test_close_to_the_services_own_drawing(awaited: AsyncClient, photo: bytes) -> None:
    analysis = await awaited.analyze(photo, annotate=True)
    drawn = analysis.draw(photo)
    assert (drawn.mode, drawn.size) == ("RGB", (WIDTH, HEIGHT))
    assert analysis.annotated is not None
    by_service = np.asarray(Image.open(BytesIO(analysis.annotated)), int)
    plain = np.asarray(Image.open(BytesIO(photo)), int)
    from_service = np.abs(np.asarray(drawn, int) - by_service).mean()
    assert from_service < np.abs(np.asarray(drawn, int) - plain).mean() / 3


def square_with_a_hole() -> Analysis:
    """A person of 200x200 pixels at (200, 250) in a photo of 512x512, with a hole, and a face at the top left."""
    mask = np.zeros((512, 512), bool)
    mask[250:450, 200:400] = True
    mask[330:370, 280:320] = False
    person = Instance(0, "person", 0.9, Box(200, 250, 400, 450), int(mask.sum()), encode_rle(mask))
    face = Face(Box(20, 40, 120, 140), 0.9, "MASK", 0.8)
    return replace(read_answer(EMPTY)[0], width=512, height=512, instances=(person,), faces=(face,))


def test_what_is_drawn_where() -> None:
    drawn = np.asarray(square_with_a_hole().draw(astronaut(), colors="RGB"), int)
    tint = np.array(instance_color(0))
    np.testing.assert_allclose(drawn[400, 300], astronaut()[400, 300] * 0.6 + tint * 0.4, atol=1.5)
    np.testing.assert_array_equal(drawn[350, 300], astronaut()[350, 300])  # in the hole
    np.testing.assert_array_equal(drawn[350, 279], tint)  # at its edge
    np.testing.assert_array_equal(drawn[90, 20], FACE_COLORS["MASK"])
    np.testing.assert_array_equal(drawn[480:], astronaut()[480:])


def test_without_masks_boxes_remain() -> None:
    analysis = square_with_a_hole()
    unmasked = replace(analysis, instances=(replace(analysis.instances[0], rle=None),))
    drawn = np.asarray(unmasked.draw(astronaut(), colors="RGB"))
    np.testing.assert_array_equal(drawn[350, 200], instance_color(0))
    np.testing.assert_array_equal(drawn[400, 300], astronaut()[400, 300])


async def test_another_photo_is_refused(awaited: AsyncClient, photo: bytes) -> None:
    analysis = await awaited.analyze(photo)
    with pytest.raises(ValueError, match="the photo is 9x8, the answer is of one of 64x48"):
        analysis.draw(np.zeros((8, 9, 3), np.uint8), colors="RGB")
    with pytest.raises(OSError, match="cannot identify"):
        analysis.draw(b"no photo")
