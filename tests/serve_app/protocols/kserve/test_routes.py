import base64
import gzip
import json
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco

from deployments.calls import InstanceSegmentationOptions, MaskDetectionOptions
from deployments.imaging.draw import draw
from serve_app.http.arrival import Arrival
from serve_app.http.request_id import RequestId
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols import detections
from serve_app.protocols.kserve import routes as kserve
from tests.photos import png
from tests.serve_app.conftest import HEIGHT, WIDTH, FakeBranch, client_of, person_mask

FACES = "/v1/models/mask_detection"
INSTANCES = "/v1/models/instance_segmentation"
ANALYZE = "/v1/models/analyze"


def kserve_app(pipeline: Pipeline, limits: Limits) -> FastAPI:
    app = FastAPI()
    app.include_router(kserve.routes(pipeline, limits))
    app.add_middleware(Arrival, limits=limits)
    app.add_middleware(RequestId)
    return app


@pytest.fixture
async def client(pipeline: Pipeline, limits: Limits) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(kserve_app(pipeline, limits)) as made:
        yield made


@pytest.fixture
def b64(photo: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(photo).decode()}


async def predictions(client: httpx.AsyncClient, model: str, body: Any) -> Any:
    answer = await client.post(f"{model}:predict", json=body)
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["predictions"]
    return answer.json()["predictions"]


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


PIXEL = [[[1, 2, 3]]]
BODIES: dict[str, tuple[Any, int, str]] = {
    "an array": ([], 400, "Unrecognized request format"),
    "a string": ("instances", 400, "Unrecognized request format"),
    "neither key": ({}, 400, "exactly one"),
    "both keys": ({"instances": [PIXEL], "inputs": [PIXEL]}, 400, "exactly one"),
    "instances null": ({"instances": None}, 400, "instances"),
    "instances an object": ({"instances": {"b64": "AA=="}}, 400, "instances must be a list"),
    "no instances": ({"instances": []}, 400, "one image or more"),
    "inputs a number": ({"inputs": 3}, 400, "inputs must be a list"),
    "inputs a file": ({"inputs": {"b64": "AA=="}}, 400, "Missing named input: images"),
    "images no list": ({"inputs": {"images": {"b64": "AA=="}}}, 400, "inputs must be a list"),
    "no images": ({"inputs": {"images": []}}, 400, "one image or more"),
    "unknown input": ({"inputs": {"images": [PIXEL], "scale": 2}}, 400, "scale"),
    "too many": ({"instances": [PIXEL] * 9}, 413, "limit of 8 images"),
    "an instance null": ({"instances": [PIXEL, None]}, 400, "image 2"),
    "an instance a number": ({"instances": [3]}, 400, "image 1"),
    "an instance a string": ({"instances": ["AAAA"]}, 400, "b64"),
    "an empty object": ({"instances": [{}]}, 400, "image, images, image_bytes"),
    "unknown key": ({"instances": [{"photo": {"b64": "AA=="}}]}, 400, "photo"),
    "two keys": ({"instances": [{"image": PIXEL, "face_threshold": 0.1}]}, 400, "parameters"),
    "b64 beside another": ({"instances": [{"b64": "AA==", "type": "jpeg"}]}, 400, "image 1"),
    "b64 a number": ({"instances": [{"b64": 7}]}, 400, "base64"),
    "b64 broken": ({"instances": [{"image": {"b64": "a$b"}}]}, 400, "base64 is broken"),
    "b64 not ASCII": ({"instances": [{"b64": "é"}]}, 400, "base64 is broken"),
    "b64 empty": ({"instances": [{"b64": ""}]}, 400, "empty"),
    "no picture": ({"instances": [{"b64": "aGVsbG8="}]}, 400, "image 1: "),
    "pixels empty": ({"instances": [[]]}, 400, "[H][W][3]"),
    "pixels of rank 2": ({"instances": [[[1, 2, 3]]]}, 400, "[H][W][3]"),
    "rows empty": ({"instances": [[[], []]]}, 400, "[H][W][3]"),
    "ragged rows": ({"instances": [[[[1, 2, 3]], [[1, 2, 3], [1, 2, 3]]]]}, 400, "one length"),
    "four channels": ({"instances": [[[[1, 2, 3, 4]]]]}, 400, "three numbers"),
    "pixels of strings": ({"instances": [[[["1", "2", "3"]]]]}, 400, "numbers"),
    "pixels of bools": ({"instances": [[[[True, False, True]]]]}, 400, "numbers"),
    "pixels below 0": ({"instances": [[[[-1, 2, 3]]]]}, 400, "from 0 to 255"),
    "pixels above 255": ({"instances": [[[[1, 2, 256]]]]}, 400, "from 0 to 255"),
    "pixels from 0 to 1": ({"instances": [[[[0.5, 0.25, 1]]]]}, 400, "0 to 1"),
    "a signature number": ({"instances": [PIXEL], "signature_name": 100}, 400, "'signature_name' key must be a string"),
    "parameters a list": ({"instances": [PIXEL], "parameters": []}, 400, "parameters must be an object"),
    "unknown option": ({"instances": [PIXEL], "parameters": {"treshold": 1}}, 400, "treshold"),
    "another model's option": ({"instances": [PIXEL], "parameters": {"max_instances": 1}}, 400, "max_instances"),
    "threshold over 1": ({"instances": [PIXEL], "parameters": {"face_threshold": 7}}, 400, "from 0 to 1"),
    "threshold below 0": ({"instances": [PIXEL], "parameters": {"face_threshold": -0.1}}, 400, "from 0 to 1"),
    "threshold a string": ({"instances": [PIXEL], "parameters": {"face_threshold": "0.5"}}, 400, "from 0 to 1"),
    "threshold a bool": ({"instances": [PIXEL], "parameters": {"face_threshold": True}}, 400, "from 0 to 1"),
    "filter a string": ({"instances": [PIXEL], "parameters": {"output_filter": "boxes"}}, 400, "output_filter"),
    "filter empty": ({"instances": [PIXEL], "parameters": {"output_filter": []}}, 400, "output_filter"),
    "unknown output": ({"instances": [PIXEL], "parameters": {"output_filter": ["boxes"]}}, 400, "boxes"),
    "output of a list": ({"instances": [PIXEL], "parameters": {"output_filter": [["x"]]}}, 400, "output_filter"),
    "masks of faces": (
        {"instances": [PIXEL], "parameters": {"output_filter": ["detection_masks"]}},
        400,
        "detection_masks",
    ),
}


async def assert_refused(client: httpx.AsyncClient, answer: httpx.Response, status: int, named: str) -> None:
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert named in answer.json()["error"]
    assert (await client.post(f"{FACES}:predict", json={"instances": [PIXEL]})).status_code == 200


@pytest.mark.parametrize("case", BODIES)
async def test_malformed_bodies(client: httpx.AsyncClient, case: str) -> None:
    body, status, named = BODIES[case]
    await assert_refused(client, await client.post(f"{FACES}:predict", json=body), status, named)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"classes": "person"}, "classes"),
        ({"classes": []}, "classes"),
        ({"classes": [3]}, "'3'"),
        ({"classes": ["unicorn"]}, "unicorn"),
        ({"max_instances": 0}, "max_instances"),
        ({"max_instances": 1.5}, "max_instances"),
        ({"max_instances": True}, "max_instances"),
        ({"max_instances": 10**9}, "max_instances"),
    ],
)
async def test_malformed_options_of_instances(client: httpx.AsyncClient, parameters: Any, named: str) -> None:
    answer = await client.post(f"{INSTANCES}:predict", json={"instances": [PIXEL], "parameters": parameters})
    await assert_refused(client, answer, 400, named)


@pytest.mark.parametrize(
    ("content", "headers", "status", "named"),
    [
        (b"", {}, 400, "Unrecognized request format"),
        (b"{", {}, 400, "Unrecognized request format"),
        (b"\xff\xd8\xff", {}, 400, "Unrecognized request format"),
        (b'{"instances": [NaN]}', {}, 400, "Unrecognized request format"),
        (b'{"instances": [[[[1, 2, 3]]]], "parameters": {"face_threshold": NaN}}', {}, 400, "Unrecognized request"),
        (b'{"instances": [[[[1, 2, 3]]]], "parameters": {"face_threshold": 1e999}}', {}, 400, ""),
        (b'{"instances": ' + b"[" * 5000 + b"]" * 5000 + b"}", {}, 400, "Unrecognized request format"),
        (b"x" * 1_000_001, {}, 413, "limit of 1000000 bytes"),
        (b"{}", {"Content-Length": "1e3"}, 400, "Content-Length"),
        (b"{}", {"Content-Encoding": "br"}, 415, "br"),
        (b"{}", {"Content-Encoding": "gzip"}, 400, "gzip"),
        (gzip.compress(b" " * 2_000_000), {"Content-Encoding": "gzip"}, 413, "limit of 1000000 bytes"),
    ],
)
async def test_malformed_bytes(
    client: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int, named: str
) -> None:
    answer = await client.post(f"{FACES}:predict", content=content, headers=headers)
    await assert_refused(client, answer, status, named)


async def test_many_values_are_refused_before_they_are_parsed(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.protocols.kserve.request.PIXELS_MEMORY", 32_000)
    answer = await client.post(f"{FACES}:predict", json={"instances": [[[]] * 1000]})
    await assert_refused(client, answer, 400, "too many values")


async def test_pictures_over_the_pixel_limit(client: httpx.AsyncClient) -> None:
    file = BytesIO()
    Image.new("1", (2000, 2000)).save(file, "PNG")
    body = {"instances": [PIXEL, {"b64": base64.b64encode(file.getvalue()).decode()}]}
    answer = await client.post(f"{FACES}:predict", json=body)
    await assert_refused(client, answer, 413, "image 2: the picture is 2000x2000")


@pytest.mark.parametrize(
    ("method", "path", "status", "named"),
    [
        ("GET", "/v1/models/unicorn", 404, "Model with name unicorn does not exist."),
        ("POST", "/v1/models/unicorn:predict", 404, "Model with name unicorn does not exist."),
        ("GET", "/v1/models/unicorn/metadata", 404, "unicorn"),
        ("GET", f"{FACES}/versions/7", 404, "version 7 of model mask_detection"),
        ("POST", f"{FACES}/versions/7:predict", 404, "version 7"),
        ("GET", f"{FACES}/versions/{'9' * 400}", 404, "Malformed request"),
        ("GET", f"{FACES}/versions/one", 404, "Malformed request"),
        ("GET", f"{FACES}/versions/", 404, "Malformed request"),
        ("GET", f"{FACES}/labels/canary/metadata", 400, "Unrecognized servable version label: canary"),
        ("POST", f"{FACES}/labels/canary:predict", 400, "canary"),
        ("POST", f"{FACES}:classify", 404, "Malformed request"),
        ("POST", f"{FACES}:explain", 404, "Malformed request"),
        ("POST", f"{FACES}/infer", 404, "Malformed request"),
        ("GET", f"{FACES}/", 404, "Malformed request"),
        ("GET", "/v1/models//metadata", 404, "Malformed request"),
        ("GET", f"{FACES}:predict", 405, "use POST"),
        ("POST", FACES, 405, "use GET"),
        ("POST", "/v1/models", 405, "use GET"),
        ("DELETE", f"{FACES}/metadata", 405, "use GET"),
    ],
)
async def test_malformed_paths(client: httpx.AsyncClient, method: str, path: str, status: int, named: str) -> None:
    answer = await client.request(method, path)
    assert (answer.headers.get("Allow") is not None) == (status == 405)
    await assert_refused(client, answer, status, named)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just({"b64": "iVBORw0KGgo="}),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["instances", "inputs", "images", "image", "b64", "parameters", "output_filter", "classes"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=JSON, parameters=JSON, by_column=st.booleans())
async def test_no_json_is_a_fault_of_ours(
    client: httpx.AsyncClient, items: Any, parameters: Any, by_column: bool
) -> None:
    content = json.dumps({"inputs" if by_column else "instances": items, "parameters": parameters}).encode()
    answer = await client.post(f"{INSTANCES}:predict", content=content)
    assert answer.status_code in (200, 400, 413)
    assert list(answer.json()) in (["error"], ["predictions"], ["outputs"])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=80))
async def test_no_bytes_are_a_fault_of_ours(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post(f"{ANALYZE}:predict", content=body)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    "instance",
    [
        lambda file: {"key": "1", "image": file},
        lambda file: {"image": {**file, "key": 7}},
        lambda file: {**file, "key": None},
    ],
)
@pytest.mark.parametrize("signature", [None, "", "serving_default", "predict_images"])
async def test_what_other_models_take_is_ignored(
    client: httpx.AsyncClient, photo: bytes, instance: Callable[[Any], Any], signature: str | None
) -> None:
    item = instance({"b64": base64.b64encode(photo).decode()})
    (found,) = await predictions(client, FACES, {"instances": [item], "signature_name": signature})
    assert found["detection_class_names"] == ["MASK"]
