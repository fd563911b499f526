import base64
import gzip
from collections.abc import Callable
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from PIL import Image
from pycocotools import mask as coco

from deployments.calls import InstanceSegmentationOptions, MaskDetectionOptions
from deployments.imaging.draw import draw
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols import detections
from tests.photos import png
from tests.serve_app.conftest import HEIGHT, WIDTH, FakeBranch, client_of, person_mask
from tests.serve_app.protocols.kserve.bodies import ANALYZE, FACES, INSTANCES, kserve_app, predictions


@pytest.fixture
def b64(photo: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(photo).decode()}


async def test_lists_models(client: httpx.AsyncClient) -> None:
    for path in ("/v1/models", "/v1/models/"):
        assert (await client.get(path)).json() == {"models": ["mask_detection", "instance_segmentation", "analyze"]}


@pytest.mark.parametrize("suffix", ["", "/versions/1", "/labels/stable"])
async def test_status_is_the_union_of_both_protocols(client: httpx.AsyncClient, suffix: str) -> None:
    answer = await client.get(FACES + suffix)

    assert answer.status_code == 200
    assert answer.json() == {
        "name": "mask_detection",
        "ready": True,
        "model_version_status": [
            {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ],
    }


async def test_status_of_a_model_that_does_not_answer(client: httpx.AsyncClient, instances: FakeBranch) -> None:
    instances.alive = False

    assert (await client.get(FACES)).status_code == 200
    for model in (INSTANCES, ANALYZE):
        answer = await client.get(model)
        assert answer.status_code == 503
        assert answer.json()["ready"] is False
        assert answer.json()["model_version_status"][0]["state"] == "LOADING"
        assert "not ready" in answer.json()["error"]


async def test_head_is_answered_as_get(client: httpx.AsyncClient) -> None:
    assert (await client.head(FACES)).status_code == 200


@pytest.mark.parametrize("suffix", ["", "/versions/1", "/labels/stable"])
async def test_metadata_is_tensorflow_servings(client: httpx.AsyncClient, suffix: str) -> None:
    content = (await client.get(f"{INSTANCES}{suffix}/metadata")).json()

    assert content["model_spec"] == {"name": "instance_segmentation", "signature_name": "", "version": "1"}
    signature = content["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["images"] == {
        "dtype": "DT_STRING",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
        "name": "images:0",
    }
    boxes = signature["outputs"]["detection_boxes"]
    assert [dim["size"] for dim in boxes["tensor_shape"]["dim"]] == ["-1", "-1", "4"]


async def test_faces(client: httpx.AsyncClient, b64: dict[str, str]) -> None:
    (found,) = await predictions(client, FACES, {"instances": [{"image": b64}]})

    assert list(found) == [
        "detection_boxes",
        "detection_classes",
        "detection_class_names",
        "detection_scores",
        "num_detections",
    ]
    assert found["detection_boxes"][0] == pytest.approx([6 / 48, 18.123456 / 64, 18 / 48, 30 / 64])
    assert found["detection_classes"] == [2.0]
    assert found["detection_class_names"] == ["MASK"]
    assert found["detection_scores"] == [pytest.approx(0.912345678)]
    assert found["num_detections"] == 1.0


async def test_instances(client: httpx.AsyncClient, b64: dict[str, str]) -> None:
    (found,) = await predictions(client, INSTANCES, {"instances": [{"image": b64}]})

    assert found["detection_class_names"] == ["chair", "person"]
    assert found["detection_classes"] == [57.0, 1.0]
    assert found["num_detections"] == 2.0
    assert np.shape(found["detection_masks"]) == (2, 64, 64)
    exact = [coco.decode(mask).astype(bool) for mask in found["detection_masks_rle"]]
    np.testing.assert_array_equal(exact[1], person_mask())


async def test_analyze_ties_faces_to_instances(client: httpx.AsyncClient, b64: dict[str, str]) -> None:
    (found,) = await predictions(client, ANALYZE, {"instances": [{"image": b64}]})

    assert found["mask_detection.detection_class_names"] == ["MASK"]
    assert found["instance_segmentation.detection_class_names"] == ["chair", "person"]
    assert found["instance_faces"] == [-1, 0]


async def test_every_form_of_a_row_finds_the_same(
    client: httpx.AsyncClient, photo: bytes, b64: dict[str, str], faces: FakeBranch
) -> None:
    pixels = np.asarray(Image.open(BytesIO(photo))).tolist()
    forms = [b64, {"image": b64}, {"images": b64}, {"image_bytes": b64}, pixels, {"image": pixels}]

    found = await predictions(client, FACES, {"instances": forms})

    assert found == [found[0]] * len(forms)
    for image in faces.images:
        np.testing.assert_array_equal(image, pixels)


async def test_float_pixels_are_rounded(client: httpx.AsyncClient, faces: FakeBranch) -> None:
    await predictions(client, FACES, {"instances": [[[[0.4, 254.6, 128]]]]})

    np.testing.assert_array_equal(faces.images[0], [[[0, 255, 128]]])


async def test_kserve_inputs_are_answered_with_predictions(client: httpx.AsyncClient, b64: dict[str, str]) -> None:
    assert len(await predictions(client, FACES, {"inputs": [{"image": b64}]})) == 1


@pytest.mark.parametrize("named", [False, True])
async def test_tensorflow_columns(
    client: httpx.AsyncClient, b64: dict[str, str], faces: FakeBranch, instances: FakeBranch, named: bool
) -> None:
    inputs = {"images": [b64, b64], "score_threshold": 0.25} if named else [b64, b64]

    answer = await client.post(f"{INSTANCES}:predict", json={"signature_name": "serving_default", "inputs": inputs})

    assert answer.status_code == 200
    assert list(answer.json()) == ["outputs"]
    outputs = answer.json()["outputs"]
    assert np.shape(outputs["detection_boxes"]) == (2, 2, 4)
    assert outputs["num_detections"] == [2.0, 2.0]
    expected = InstanceSegmentationOptions(score_threshold=0.25 if named else None)
    assert [call.options for call in instances.calls] == [expected, expected]
    assert faces.calls == []


async def test_one_output_is_a_bare_value(client: httpx.AsyncClient, b64: dict[str, str]) -> None:
    only = {"parameters": {"output_filter": ["detection_class_names"]}}

    assert await predictions(client, FACES, {"instances": [b64], **only}) == [["MASK"]]
    columns = await client.post(f"{FACES}:predict", json={"inputs": [b64], **only})
    assert columns.json() == {"outputs": [["MASK"]]}


async def test_nothing_found(client: httpx.AsyncClient, b64: dict[str, str], instances: FakeBranch) -> None:
    instances.results = []

    (row,) = await predictions(client, INSTANCES, {"instances": [b64]})
    columns = (await client.post(f"{INSTANCES}:predict", json={"inputs": [b64]})).json()["outputs"]

    assert row["num_detections"] == 0.0
    assert row["detection_boxes"] == row["detection_masks"] == row["detection_masks_rle"] == []
    assert columns["detection_boxes"] == [[]]


async def test_the_picture_on_request(
    client: httpx.AsyncClient, photo: bytes, b64: dict[str, str], faces: FakeBranch
) -> None:
    (picture,) = await predictions(
        client, FACES, {"instances": [b64], "parameters": {"output_filter": ["annotated_image"]}}
    )

    drawn = np.asarray(Image.open(BytesIO(base64.b64decode(picture["b64"]))))
    np.testing.assert_array_equal(drawn, draw(np.asarray(Image.open(BytesIO(photo))), faces.results, []))


async def test_options_reach_the_models(
    client: httpx.AsyncClient, b64: dict[str, str], faces: FakeBranch, instances: FakeBranch
) -> None:
    options = {"face_threshold": 0.75, "score_threshold": 1, "classes": ["person"], "max_instances": 3}

    await predictions(client, ANALYZE, {"instances": [b64], "parameters": options})

    assert faces.calls[0].options == MaskDetectionOptions(0.75)
    assert instances.calls[0].options == InstanceSegmentationOptions(1.0, ("person",), 3)


async def test_request_id_and_trace_reach_the_models(
    client: httpx.AsyncClient, b64: dict[str, str], faces: FakeBranch
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for header, expected in ((trace, trace), ("nonsense", None)):
        await client.post(
            f"{FACES}:predict", json={"instances": [b64]}, headers={"X-Request-ID": "abc", "traceparent": header}
        )
        assert faces.calls[-1].request_id == "abc"
        assert faces.calls[-1].traceparent == expected


async def test_unknown_keys_beside_are_ignored_and_gzip_is_read(client: httpx.AsyncClient, b64: dict[str, str]) -> None:
    body = gzip.compress(orjson.dumps({"instances": [b64], "id": "7"}))

    answer = await client.post(f"{FACES}:predict", content=body, headers={"Content-Encoding": "gzip"})

    assert answer.status_code == 200


async def test_instances_of_unlike_numbers_are_not_padded_in_rows(
    make_pipeline: Callable[..., Pipeline], limits: Limits, instances: FakeBranch
) -> None:
    pipeline = make_pipeline()
    small, large = png(np.zeros((8, 8, 3), np.uint8)), png(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    everything = instances.results
    answer_as_usual = instances.__class__.__call__

    class PerSize(FakeBranch):
        async def __call__(self, image: Any, call: Any) -> Any:
            self.results = everything if call.height == HEIGHT else []
            return await answer_as_usual(self, image, call)

    instances.__class__ = PerSize
    rows = [{"b64": base64.b64encode(data).decode()} for data in (small, large)]
    async with client_of(kserve_app(pipeline, limits)) as client:
        row_answer = await predictions(client, INSTANCES, {"instances": rows})
        column_answer = (await client.post(f"{INSTANCES}:predict", json={"inputs": rows})).json()["outputs"]

    assert [len(row["detection_boxes"]) for row in row_answer] == [0, 2]
    assert column_answer["detection_boxes"][0] == [[0.0] * 4] * 2
    assert column_answer["detection_masks_rle"][0] == [None, None]
    assert column_answer["num_detections"] == [0.0, 2.0]


@pytest.mark.parametrize(
    ("code", "status"),
    [("overloaded", 503), ("unavailable", 503), ("deadline_exceeded", 504), ("internal", 500)],
)
async def test_failures_of_a_model(
    client: httpx.AsyncClient, b64: dict[str, str], faces: FakeBranch, code: str, status: int
) -> None:
    faces.fail(code)

    for model in (FACES, ANALYZE):
        answer = await client.post(f"{model}:predict", json={"instances": [b64]})
        assert answer.status_code == status
        assert answer.json() == {"error": f"image 1: mask_detection is {code}"}
        assert ("Retry-After" in answer.headers) == (status == 503)


async def test_answers_too_large_are_refused(
    client: httpx.AsyncClient, b64: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detections, "MAX_MASK_BYTES", 10_000)
    monkeypatch.setattr(detections, "MAX_PICTURE_BYTES", 100)
    for output in ("detection_masks", "annotated_image"):
        body = {"instances": [b64], "parameters": {"output_filter": [output]}}
        answer = await client.post(f"{INSTANCES}:predict", json=body)
        assert answer.status_code == 400
        assert output in answer.json()["error"]
