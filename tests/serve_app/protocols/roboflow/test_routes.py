import base64
from io import BytesIO

import httpx
import numpy as np
import pytest
import supervision
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from deployments.imaging.masks import encode_rle
from deployments.imaging.rle import decode_rle
from deployments.results import Box, Face, Instance
from serve_app.protocols.roboflow.answer import outline
from tests.photos import jpeg
from tests.serve_app.conftest import HEIGHT, WIDTH, FakeBranch
from tests.serve_app.protocols.roboflow.bodies import FACES, FACES_ID, INSTANCES, INSTANCES_ID, b64, picture


async def test_the_registry_names_both_models(client: httpx.AsyncClient) -> None:
    registry = (await client.get("/model/registry", params={"api_key": "None"})).json()
    assert registry == {
        "models": [
            {"model_id": FACES_ID, "task_type": "object-detection"},
            {"model_id": INSTANCES_ID, "task_type": "instance-segmentation"},
        ]
    }
    assert (await client.post("/model/add", json={"model_id": FACES_ID, "api_key": "k"})).json() == registry


async def test_faces(client: httpx.AsyncClient, photo: bytes) -> None:
    answer = await client.post(FACES, json={"model_id": FACES_ID, "api_key": "k", "image": picture(photo)})
    assert answer.status_code == 200
    body = answer.json()
    assert body["image"] == {"width": WIDTH, "height": HEIGHT}
    assert body["inference_id"]
    assert body["time"] >= 0
    assert "visualization" not in body
    (face,) = body["predictions"]
    assert face.pop("detection_id")
    assert face == {
        "x": pytest.approx((18.123456 + 30) / 2),
        "y": 12.0,
        "width": pytest.approx(30 - 18.123456),
        "height": 12.0,
        "confidence": 0.987654321,
        "class": "MASK",
        "class_confidence": 0.912345678,
        "class_id": 1,
    }


async def test_several_pictures_get_a_list(client: httpx.AsyncClient, photo: bytes) -> None:
    request = {"model_id": FACES_ID, "image": [picture(photo), picture(photo)]}
    body = (await client.post(FACES, json=request)).json()
    assert [len(answer["predictions"]) for answer in body] == [1, 1]
    assert body[0]["inference_id"] != body[1]["inference_id"]
    request["image"] = [picture(photo)]
    assert len((await client.post(FACES, json=request)).json()) == 1


async def test_masks_as_rle(client: httpx.AsyncClient, instances: FakeBranch, photo: bytes) -> None:
    request = {"model_id": INSTANCES_ID, "image": picture(photo), "response_mask_format": "rle"}
    predictions = (await client.post(INSTANCES, json=request)).json()["predictions"]
    assert [prediction["rle"] for prediction in predictions] == [each.mask for each in instances.results]  # type: ignore[union-attr]
    assert [prediction["mask_format"] for prediction in predictions] == ["rle", "rle"]
    assert [(prediction["class"], prediction["class_id"]) for prediction in predictions] == [
        ("chair", 56),
        ("person", 0),
    ]
    assert all("points" not in prediction for prediction in predictions)


async def test_masks_as_polygons_are_the_default(client: httpx.AsyncClient, photo: bytes) -> None:
    request = {"model_id": INSTANCES_ID, "image": picture(photo)}
    predictions = (await client.post(INSTANCES, json=request)).json()["predictions"]
    assert [prediction["mask_format"] for prediction in predictions] == ["polygon", "polygon"]
    person = predictions[1]
    assert {(point["x"], point["y"]) for point in person["points"]} == {(10, 4), (39, 4), (39, 43), (10, 43)}
    assert "rle" not in person


async def test_supervision_loads_faces(client: httpx.AsyncClient, photo: bytes) -> None:
    answer = await client.post(FACES, json={"model_id": FACES_ID, "image": picture(photo)})
    detections = supervision.Detections.from_inference(answer.json())
    assert detections.xyxy[0] == pytest.approx([18.123456, 6, 30, 18])
    assert detections.confidence is not None
    assert detections.confidence[0] == pytest.approx(0.987654321)
    assert detections.data["class_name"].tolist() == ["MASK"]
    assert detections.mask is None


@pytest.mark.parametrize("mask_format", ["polygon", "rle"])
async def test_supervision_loads_masks(
    client: httpx.AsyncClient, instances: FakeBranch, photo: bytes, mask_format: str
) -> None:
    pixel = np.zeros((HEIGHT, WIDTH), bool)
    pixel[3, 5] = True
    instances.results += [Instance(2, "car", 0.3, Box(5, 3, 6, 4), encode_rle(pixel), 1)]  # type: ignore[list-item]
    request = {"model_id": INSTANCES_ID, "image": picture(photo), "response_mask_format": mask_format}
    detections = supervision.Detections.from_inference((await client.post(INSTANCES, json=request)).json())
    assert detections.xyxy.tolist() == [[50, 40, 64, 48], [10, 4, 40, 44], [5, 3, 6, 4]]
    expected = np.stack([decode_rle(instance.mask) for instance in instances.results])  # type: ignore[union-attr]
    if mask_format == "polygon":
        expected[1, 30:34, 20:26] = True  # one polygon has no hole
    assert np.array_equal(np.asarray(detections.mask), expected)


async def test_supervision_loads_nothing_found(
    client: httpx.AsyncClient, faces: FakeBranch, instances: FakeBranch, photo: bytes
) -> None:
    faces.results, instances.results = [], []
    for path, model in ((FACES, FACES_ID), (INSTANCES, INSTANCES_ID)):
        answer = (await client.post(path, json={"model_id": model, "image": picture(photo)})).json()
        assert answer["predictions"] == []
        assert len(supervision.Detections.from_inference(answer)) == 0


async def test_choices_reach_the_models(
    client: httpx.AsyncClient, faces: FakeBranch, instances: FakeBranch, photo: bytes
) -> None:
    choices = {"confidence": 0.7, "class_filter": ["person", "MASK"], "max_detections": 5, "iou_threshold": 0.5}
    ignored = {"disable_preproc_auto_orient": True, "stroke_width": 3, "source": "x", "visualization_labels": True}
    for path, model in ((FACES, FACES_ID), (INSTANCES, INSTANCES_ID)):
        request = {"model_id": model, "image": picture(photo), **choices, **ignored}
        assert (await client.post(path, json=request)).status_code == 200
    assert faces.calls[0].options.face_threshold == 0.7  # type: ignore[union-attr]
    options = instances.calls[0].options
    assert (options.score_threshold, options.classes, options.max_instances) == (0.7, ("person", "MASK"), 5)  # type: ignore[union-attr]


@pytest.mark.parametrize("confidence", ["best", "default", None])
async def test_the_models_own_threshold(
    client: httpx.AsyncClient, faces: FakeBranch, photo: bytes, confidence: str | None
) -> None:
    request = {"model_id": FACES_ID, "image": picture(photo), "confidence": confidence, "class_filter": []}
    assert len((await client.post(FACES, json=request)).json()["predictions"]) == 1
    assert faces.calls[0].options.face_threshold is None  # type: ignore[union-attr]


async def test_faces_are_filtered_by_class_then_number(
    client: httpx.AsyncClient, faces: FakeBranch, photo: bytes
) -> None:
    labels = ["MASK", "NO MASK", "NO MASK"]
    faces.results = [Face(Box(n, n, n + 9, n + 9), 0.9 - n / 10, label, 0.9) for n, label in enumerate(labels)]  # type: ignore[arg-type]
    request = {"model_id": FACES_ID, "image": picture(photo), "class_filter": ["NO MASK"], "max_detections": 1}
    (face,) = (await client.post(FACES, json=request)).json()["predictions"]
    assert (face["class"], face["class_id"], face["confidence"]) == ("NO MASK", 0, 0.8)
    request["class_filter"] = ["cat"]
    assert (await client.post(FACES, json=request)).json()["predictions"] == []


def differs(drawn: bytes, photo: bytes) -> bool:
    """Whether ``drawn`` is a JPEG of the photo with something on it."""
    image = Image.open(BytesIO(drawn))
    assert (image.format, image.size) == ("JPEG", (WIDTH, HEIGHT))
    plain = Image.open(BytesIO(jpeg(np.asarray(Image.open(BytesIO(photo)).convert("RGB")), 90)))
    return bool(np.abs(np.asarray(image).astype(int) - np.asarray(plain).astype(int)).max() > 50)


@pytest.mark.parametrize(("path", "model"), [(FACES, FACES_ID), (INSTANCES, INSTANCES_ID)])
async def test_predictions_are_drawn_on_request(client: httpx.AsyncClient, photo: bytes, path: str, model: str) -> None:
    request = {"model_id": model, "image": [picture(photo)] * 2, "visualize_predictions": True}
    for answer in (await client.post(path, json=request)).json():
        assert differs(base64.b64decode(answer["visualization"], validate=True), photo)


@pytest.mark.parametrize("media_type", ["application/json", "application/x-www-form-urlencoded", "text/plain"])
async def test_hosted_takes_base64_as_the_body(client: httpx.AsyncClient, photo: bytes, media_type: str) -> None:
    for body in (b64(photo), base64.encodebytes(photo), "data:image/png;base64," + b64(photo)):
        answer = await client.post(f"/{FACES_ID}?api_key=k", content=body, headers={"Content-Type": media_type})
        assert answer.status_code == 200
        assert [face["class"] for face in answer.json()["predictions"]] == ["MASK"]


async def test_hosted_takes_a_file(client: httpx.AsyncClient, photo: bytes) -> None:
    answer = await client.post(f"/{INSTANCES_ID}", files={"file": ("photo.png", photo)})
    assert [each["class"] for each in answer.json()["predictions"]] == ["chair", "person"]


@pytest.mark.parametrize(("given", "used"), [("0.3", 0.3), ("40", 0.4), ("100", 1.0), ("1", 0.01), ("best", None)])
async def test_hosted_confidence_may_be_a_percentage(
    client: httpx.AsyncClient, instances: FakeBranch, photo: bytes, given: str, used: float | None
) -> None:
    query = {"confidence": given, "overlap": "30", "max_detections": "7", "classes": "person, chair", "stroke": "2"}
    answer = await client.post(f"/{INSTANCES_ID}", params=query, content=b64(photo))
    assert answer.status_code == 200
    options = instances.calls[0].options
    assert options.score_threshold == used  # type: ignore[union-attr]
    assert (options.classes, options.max_instances) == (("person", "chair"), 7)  # type: ignore[union-attr]


async def test_hosted_formats(client: httpx.AsyncClient, photo: bytes) -> None:
    async def post(**query: str) -> httpx.Response:
        return await client.post(f"/{INSTANCES_ID}", params=query, content=b64(photo))

    image = await post(format="image")
    assert image.headers["content-type"] == "image/jpeg"
    assert differs(image.content, photo)
    both = (await post(format="image_and_json", response_mask_format="rle")).json()
    assert differs(base64.b64decode(both["visualization"]), photo)
    assert [prediction["mask_format"] for prediction in both["predictions"]] == ["rle", "rle"]
    assert "visualization" not in (await post(format="json")).json()


@settings(max_examples=200, deadline=None)
@given(arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_an_outline_fills_to_one_part_of_the_mask(mask: np.ndarray) -> None:
    import cv2

    points = [(point["x"], point["y"]) for point in outline(encode_rle(mask))]
    if not mask.any():
        assert points == []
        return
    assert len(points) >= 3
    _, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    (number,) = {int(parts[y, x]) for x, y in points}  # a border runs through one part's own pixels
    part = np.pad(parts == number, 1)
    filled = np.pad(cv2.fillPoly(np.zeros(mask.shape, np.uint8), [np.array(points, np.int32)], 1), 1) > 0
    _, background = cv2.connectedComponents((~part).astype(np.uint8), connectivity=4)
    holes = ~part & (background != background[0, 0])
    assert np.array_equal(filled, part | holes)
