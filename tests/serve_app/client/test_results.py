import contextlib
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from pycocotools import mask as coco

from serve_app.client import AsyncClient, Box, Instance, ServiceFault, read_answer
from tests.serve_app.client.conftest import EMPTY

FIELDS = ("label", "label_id", "score", "box", "left", "top", "right", "bottom", "instance", "face", "mask", "code")
NO_MASK = Instance(0, "person", 0.9, Box(0, 0, 2, 2), 4, None)


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_masks_are_what_pycocotools_encoded(mask: NDArray[np.bool_]) -> None:
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    rle = {"size": encoded["size"], "counts": encoded["counts"].decode()}
    instance = Instance(0, "person", 0.9, Box(0, 0, 1, 1), int(mask.sum()), rle)  # type: ignore[arg-type]
    assert instance.mask.dtype == bool
    np.testing.assert_array_equal(instance.mask, mask)


async def test_polygons_are_those_of_the_service(client: httpx.AsyncClient, awaited: AsyncClient, photo: bytes) -> None:
    answer = await client.post("/analyze", files={"image": photo}, params={"masks": "polygon"})
    of_service = [instance["mask"] for instance in answer.json()["images"][0]["instances"]]
    analysis = await awaited.analyze(photo)
    assert [instance.polygon() for instance in analysis.instances] == of_service


async def test_every_field_of_the_services_answer_is_kept(awaited: AsyncClient, photo: bytes) -> None:
    answer = await awaited.ask([photo])
    (image,) = answer["images"]
    (analysis,) = read_answer(answer)
    assert (analysis.name, analysis.width, analysis.height) == (image["name"], image["width"], image["height"])
    assert (analysis.models, analysis.request_id) == (answer["models"], answer["request_id"])
    assert analysis.timing_ms == answer["timing_ms"]
    for face, given_face in zip(analysis.faces, image["faces"], strict=True):
        box = {side: getattr(face.box, side) for side in ("left", "top", "right", "bottom")}
        tied = [analysis.instances.index(one.instance) for one in analysis.people if one.face is face]
        assert given_face == {
            "label": face.label,
            "confidence": face.confidence,
            "face_score": face.face_score,
            "box": box,
            "person": tied[0],
        }
    for instance, given_instance in zip(analysis.instances, image["instances"], strict=True):
        box = {side: getattr(instance.box, side) for side in ("left", "top", "right", "bottom")}
        assert given_instance == {
            "label": instance.label,
            "label_id": instance.label_id,
            "score": instance.score,
            "box": box,
            "area": instance.area,
            "mask": instance.rle,
        }


def test_an_answer_without_masks_says_so() -> None:
    for ask in (lambda: NO_MASK.mask, NO_MASK.polygon):
        with pytest.raises(ValueError, match="masks=False"):
            ask()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from([*EMPTY["images"][0], "objects", "annotated"]), JSON))
def test_any_json_is_read_or_refused(image: dict[str, Any]) -> None:
    with contextlib.suppress(ServiceFault):
        read_answer({**EMPTY, "images": [{**EMPTY["images"][0], **image}]})


def test_an_answer_of_another_kind() -> None:
    assert read_answer(EMPTY)[0].faces == ()
    for broken in ({}, {"images": 3}, {**EMPTY, "images": [{}]}, {**EMPTY, "images": [None]}):
        with pytest.raises(ServiceFault, match="no answer of Maskgraph"):
            read_answer(broken)
