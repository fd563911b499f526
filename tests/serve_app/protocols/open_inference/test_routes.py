"""The Open Inference Protocol V2 over REST: by Triton's own client, by hand, and malformed."""

import base64
import gzip
import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import InferenceServerException

from deployments.imaging.decode import decode
from deployments.imaging.rle import decode_rle
from deployments.models.card import TASKS
from serve_app.http.app import create_app
from serve_app.http.arrival import Arrival
from serve_app.http.request_id import RequestId
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.native import routes as native
from serve_app.protocols.open_inference import routes as open_inference
from serve_app.protocols.open_inference.tensors import output_specs
from tests.serve_app.conftest import HEIGHT, LIMITS, MODELS, WIDTH, FakeBranch, client_of, person_mask
from tests.serve_app.protocols.loopback import serving

LENGTH = "Inference-Header-Content-Length"


@pytest.fixture
def app(pipeline: Pipeline, limits: Limits) -> FastAPI:
    made = create_app(pipeline, limits, [native.routes], frozenset())
    made.include_router(open_inference.routes(pipeline, limits))
    return made


@pytest.fixture
def triton(app: FastAPI) -> Iterator[InferenceServerClient]:
    with serving(app) as url, InferenceServerClient(url.removeprefix("http://")) as client:
        yield client


def files(*data: bytes, binary: bool = True) -> InferInput:
    tensor = InferInput("images", [len(data)], "BYTES")
    tensor.set_data_from_numpy(np.array([*data, None], object)[:-1], binary_data=binary)
    return tensor


def infer_json(photo: bytes, **changes: Any) -> dict[str, Any]:
    """A request with the picture in base64; ``changes`` override keys of the input, or of the request."""
    tensor = {"name": "images", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(photo).decode()]}
    request: dict[str, Any] = {"inputs": [tensor]}
    for key, value in changes.items():
        (tensor if key in ("name", "datatype", "shape", "data", "tensor_parameters") else request)[key] = value
    if "tensor_parameters" in tensor:
        tensor["parameters"] = tensor.pop("tensor_parameters")
    return request


def with_bytes(header: dict[str, Any], *tensors: bytes) -> tuple[bytes, dict[str, str]]:
    """A body of the binary extension, and its header."""
    head = orjson.dumps(header)
    return b"".join([head, *tensors]), {LENGTH: str(len(head))}


# --- Triton's client


def test_triton_s_client_finds_server_and_models(triton: InferenceServerClient) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.get_server_metadata()["name"] == "maskgraph"
    assert "binary_tensor_data" in triton.get_server_metadata()["extensions"]
    for model in MODELS:
        assert triton.is_model_ready(model)
        assert triton.is_model_ready(model, "1")
        metadata = triton.get_model_metadata(model)
        assert metadata["inputs"] == [{"name": "images", "datatype": "BYTES", "shape": [-1]}]
        assert [output["name"] for output in metadata["outputs"]] == list(output_specs(MODELS[model]))
        config = triton.get_model_config(model)
        assert config["max_batch_size"] == 0
        assert [output["name"] for output in config["output"]] == list(output_specs(MODELS[model]))
    index = triton.get_model_repository_index()
    assert index == [{"name": name, "version": "1", "state": "READY", "reason": ""} for name in MODELS]
    assert not triton.is_model_ready("resnet")


def test_triton_s_client_sees_what_is_not_ready(triton: InferenceServerClient, faces: FakeBranch) -> None:
    faces.alive = False
    assert not triton.is_server_ready()
    assert not triton.is_model_ready("mask_detection")
    assert triton.is_model_ready("instance_segmentation")


def test_triton_s_client_gets_all_outputs_as_bytes(triton: InferenceServerClient, photo: bytes) -> None:
    result = triton.infer("analyze", [files(photo)], request_id="mine")
    answer = result.get_response()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("analyze", "1", "mine")
    assert all("binary_data_size" in output["parameters"] for output in answer["outputs"])
    assert result.as_numpy("mask_detection.labels").tolist() == [b"MASK"]
    assert result.as_numpy("mask_detection.boxes") == pytest.approx(np.array([[18.123456, 6, 30, 18]]))
    assert result.as_numpy("mask_detection.scores") == pytest.approx(np.array([0.912345678]))
    assert result.as_numpy("mask_detection.face_scores") == pytest.approx(np.array([0.987654321]))
    assert result.as_numpy("instance_segmentation.labels").tolist() == [b"chair", b"person"]
    assert result.as_numpy("instance_segmentation.label_ids").tolist() == [56, 0]
    assert np.array_equal(decode_rle(json.loads(result.as_numpy("instance_segmentation.masks")[1])), person_mask())
    assert result.as_numpy("people.instances").tolist() == [1]
    assert result.as_numpy("people.faces").tolist() == [0]
    assert result.as_numpy("image_sizes").tolist() == [[HEIGHT, WIDTH]]
    assert result.as_numpy("errors").tolist() == [b""]


@pytest.mark.parametrize("binary_input", [True, False], ids=["binary", "base64"])
@pytest.mark.parametrize("binary_output", [True, False])
def test_triton_s_client_chooses_outputs_and_their_form(
    triton: InferenceServerClient, photo: bytes, binary_input: bool, binary_output: bool
) -> None:
    data = photo if binary_input else base64.b64encode(photo)
    result = triton.infer(
        "instance_segmentation",
        [files(data, data, binary=binary_input)],
        outputs=[
            InferRequestedOutput("dense_masks", binary_data=binary_output),
            InferRequestedOutput("image_index", binary_data=not binary_output),
            InferRequestedOutput("labels", binary_data=binary_output),
        ],
    )
    assert [output["name"] for output in result.get_response()["outputs"]] == ["dense_masks", "image_index", "labels"]
    as_json = {"image_index"} if binary_output else {"dense_masks", "labels"}
    assert {output["name"] for output in result.get_response()["outputs"] if "data" in output} == as_json
    assert result.as_numpy("image_index").tolist() == [0, 0, 1, 1]
    masks = result.as_numpy("dense_masks")
    assert masks.dtype == np.uint8
    assert np.array_equal(masks[3], person_mask())
    assert [str(label, "utf-8") if isinstance(label, bytes) else label for label in result.as_numpy("labels")] == [
        "chair",
        "person",
    ] * 2


@pytest.mark.parametrize("binary", [True, False])
def test_triton_s_client_sends_pixels(
    triton: InferenceServerClient, photo: bytes, faces: FakeBranch, binary: bool
) -> None:
    pixels = np.stack([decode(photo, 10_000)[:20, :30], decode(photo, 10_000)[20:40, 30:60]])
    tensor = InferInput("images", pixels.shape, "UINT8")
    tensor.set_data_from_numpy(pixels, binary_data=binary)
    result = triton.infer("mask_detection", [tensor], model_version="1")
    assert result.as_numpy("image_index").tolist() == [0, 1]
    assert result.as_numpy("image_sizes").tolist() == [[20, 30], [20, 30]]
    assert sorted(image.tobytes() for image in faces.images) == sorted(image.tobytes() for image in pixels)


def test_triton_s_client_sets_options(
    triton: InferenceServerClient, photo: bytes, faces: FakeBranch, instances: FakeBranch
) -> None:
    parameters = {"face_threshold": 0.25, "score_threshold": 0.75, "classes": "person,chair", "max_instances": 2}
    triton.infer("analyze", [files(photo)], parameters=parameters, timeout=2_000_000, priority=1, sequence_id=5)
    assert faces.calls[0].options.face_threshold == 0.25  # type: ignore[union-attr]
    assert instances.calls[0].options.classes == ("person", "chair")  # type: ignore[union-attr]
    assert instances.calls[0].options.max_instances == 2  # type: ignore[union-attr]


@pytest.mark.parametrize("compressed", [None, "gzip"])
def test_triton_s_client_compresses_both_ways(
    triton: InferenceServerClient, photo: bytes, compressed: str | None
) -> None:
    result = triton.infer(
        "instance_segmentation",
        [files(photo)],
        outputs=[InferRequestedOutput("dense_masks", binary_data=True), InferRequestedOutput("masks")],
        request_compression_algorithm=compressed,
        response_compression_algorithm=compressed,
    )
    assert np.array_equal(result.as_numpy("dense_masks")[1], person_mask())


def test_triton_s_client_builds_bodies_that_are_read(app: FastAPI, photo: bytes) -> None:
    body, length = InferenceServerClient.generate_request_body([files(photo)])
    with serving(app) as url:
        response = httpx.post(f"{url}/v2/models/mask_detection/infer", content=body, headers={LENGTH: str(length)})
    result = InferResult.from_response_body(response.content, header_length=int(response.headers[LENGTH]))
    assert result.as_numpy("labels").tolist() == [b"MASK"]


def test_triton_s_client_reads_errors(triton: InferenceServerClient, photo: bytes, faces: FakeBranch) -> None:
    with pytest.raises(InferenceServerException, match="unknown model 'resnet'"):
        triton.infer("resnet", [files(photo)])
    with pytest.raises(InferenceServerException, match="unknown model 'resnet'"):
        triton.get_model_metadata("resnet")
    with pytest.raises(InferenceServerException, match="not a JPEG"):
        triton.infer("analyze", [files(b"no picture")])
    with pytest.raises(InferenceServerException, match="there is no /v2/repository/models/analyze/load here"):
        triton.load_model("analyze")
    faces.fail("overloaded")
    with pytest.raises(InferenceServerException, match="mask_detection is overloaded") as raised:
        triton.infer("mask_detection", [files(photo)])
    assert raised.value.status() == "503"


def test_triton_s_client_reads_statistics(triton: InferenceServerClient, photo: bytes) -> None:
    triton.infer("analyze", [files(photo, photo)])
    (one,) = triton.get_inference_statistics("analyze", "1")["model_stats"]
    assert (one["inference_count"], one["execution_count"]) == (2, 1)
    assert one["inference_stats"]["queue"] == {"count": 1, "ns": 1_250_000}
    assert one["inference_stats"]["cache_hit"] == {"count": 0, "ns": 0}
    stats = triton.get_inference_statistics()["model_stats"]
    assert [(model["name"], model["inference_count"]) for model in stats] == [(m, 2 * (m == "analyze")) for m in MODELS]


# --- By hand


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/v2", "extensions"),
        ("/v2/health/live", "live"),
        ("/v2/health/ready", "ready"),
        ("/v2/models", "models"),
        ("/v2/models/stats", "model_stats"),
        ("/v2/models/analyze", "outputs"),
        ("/v2/models/analyze/ready", "ready"),
        ("/v2/models/analyze/stats", "model_stats"),
        ("/v2/models/analyze/config", "input"),
        ("/v2/models/analyze/versions/1", "outputs"),
        ("/v2/models/analyze/versions/1/ready", "ready"),
        ("/v2/models/analyze/versions/1/stats", "model_stats"),
        ("/v2/models/analyze/versions/1/config", "input"),
    ],
)
async def test_every_route_answers_with_and_without_a_slash(
    client: httpx.AsyncClient, path: str, slash: str, key: str
) -> None:
    response = await client.get(path + slash)
    assert response.status_code == 200
    assert key in response.json()
    assert (await client.head(path + slash)).status_code == 200


@pytest.mark.parametrize("path", ["infer", "infer/", "versions/1/infer", "versions/1/infer/"])
async def test_json_in_gives_json_out(client: httpx.AsyncClient, photo: bytes, path: str) -> None:
    response = await client.post(f"/v2/models/mask_detection/{path}", json=infer_json(photo, id="mine"))
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert LENGTH not in response.headers
    answer = response.json()
    assert answer["id"] == "mine"
    made = {output["name"]: output for output in answer["outputs"]}
    assert made["boxes"]["shape"] == [1, 4]
    assert made["boxes"]["data"] == pytest.approx([18.123456, 6, 30, 18])
    assert made["labels"] == {"name": "labels", "datatype": "BYTES", "shape": [1], "data": ["MASK"]}


async def test_an_output_s_own_form_goes_before_the_request_s(client: httpx.AsyncClient, photo: bytes) -> None:
    outputs = [{"name": "labels", "parameters": {"binary_data": False}}, {"name": "scores"}]
    request = infer_json(photo, outputs=outputs, parameters={"binary_data_output": True})
    response = await client.post("/v2/models/mask_detection/infer", json=request)
    head, tail = response.content[: int(response.headers[LENGTH])], response.content[int(response.headers[LENGTH]) :]
    labels, scores = orjson.loads(head)["outputs"]
    assert labels["data"] == ["MASK"]
    assert scores["parameters"] == {"binary_data_size": 4}
    assert np.frombuffer(tail, "<f4") == pytest.approx([0.912345678])


async def test_an_id_is_repeated_only_where_it_was_given(client: httpx.AsyncClient, photo: bytes) -> None:
    answer = (await client.post("/v2/models/mask_detection/infer", json=infer_json(photo))).json()
    assert "id" not in answer


async def test_a_body_without_json_is_a_picture_and_outputs_are_bytes(client: httpx.AsyncClient, photo: bytes) -> None:
    response = await client.post("/v2/models/mask_detection/infer", content=photo, headers={LENGTH: "0"})
    assert response.headers["content-type"] == "application/octet-stream"
    result = InferResult.from_response_body(response.content, header_length=int(response.headers[LENGTH]))
    assert result.as_numpy("labels").tolist() == [b"MASK"]


@pytest.mark.parametrize("nested", [True, False])
async def test_pixels_come_nested_or_flat(
    client: httpx.AsyncClient, photo: bytes, faces: FakeBranch, nested: bool
) -> None:
    pixels = decode(photo, 10_000)[None, :5, :7]
    data = pixels.tolist() if nested else pixels.reshape(-1).tolist()
    request = infer_json(photo, datatype="UINT8", shape=[1, 5, 7, 3], data=data)
    response = await client.post("/v2/models/mask_detection/infer", json=request)
    assert response.status_code == 200
    assert np.array_equal(faces.images[0], pixels[0])


async def test_files_may_have_a_row_each(client: httpx.AsyncClient, photo: bytes) -> None:
    text = base64.b64encode(photo).decode()
    request = infer_json(photo, shape=[2, 1], data=[[text], [text]])
    response = await client.post("/v2/models/mask_detection/infer", json=request)
    assert response.json()["outputs"][-2]["data"] == [HEIGHT, WIDTH] * 2


async def test_answers_are_compressed_only_where_that_is_accepted(client: httpx.AsyncClient, photo: bytes) -> None:
    request = infer_json(photo, outputs=[{"name": "dense_masks"}])
    for accepted, coding in (("gzip", "gzip"), ("identity", None), ("gzip;q=0", None), ("br, GZIP;q=0.5", "gzip")):
        response = await client.post(
            "/v2/models/instance_segmentation/infer", json=request, headers={"Accept-Encoding": accepted}
        )
        assert response.headers.get("content-encoding") == coding
        assert response.json()["outputs"][0]["shape"] == [2, HEIGHT, WIDTH]


async def test_the_repository_index_may_be_of_ready_models(client: httpx.AsyncClient, faces: FakeBranch) -> None:
    faces.alive = False
    everything = (await client.post("/v2/repository/index")).json()
    assert [model["state"] for model in everything] == ["UNAVAILABLE", "READY", "UNAVAILABLE"]
    ready = (await client.post("/v2/repository/index", json={"ready": True})).json()
    assert [model["name"] for model in ready] == ["instance_segmentation"]


async def test_trace_and_request_id_reach_the_models(
    client: httpx.AsyncClient, photo: bytes, faces: FakeBranch
) -> None:
    trace = f"00-{'1' * 32}-{'2' * 16}-01"
    headers = {"X-Request-ID": "r-1", "traceparent": trace}
    await client.post("/v2/models/mask_detection/infer", json=infer_json(photo), headers=headers)
    assert (faces.calls[0].request_id, faces.calls[0].traceparent) == ("r-1", trace)


# --- Malformed


def is_error(response: httpx.Response) -> str:
    """The message of the one form that errors have."""
    content = response.json()
    assert list(content) == ["error"]
    assert isinstance(content["error"], str)
    return content["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v2/nothing", 404, "there is no /v2/nothing here"),
        ("GET", "/v2/health", 404, "there is no /v2/health here"),
        ("GET", "/v2//", 404, "there is no"),
        ("GET", "/v2/models/resnet", 404, "unknown model 'resnet'; models: mask_detection"),
        ("GET", "/v2/models/resnet/ready", 404, "unknown model 'resnet'"),
        ("GET", "/v2/models/%00%ff/ready", 404, "unknown model"),
        ("GET", "/v2/models/..%2f..%2fetc/passwd", 404, "there is no"),
        ("GET", f"/v2/models/{'m' * 5000}", 404, "unknown model"),
        ("GET", "/v2/models/analyze/versions/2", 404, "no version '2'; its version is 1"),
        ("GET", "/v2/models/analyze/versions/latest/ready", 404, "no version 'latest'"),
        ("GET", "/v2/models/resnet/stats", 404, "unknown model"),
        ("GET", "/v2/models/resnet/config", 404, "unknown model"),
        ("POST", "/v2/models/resnet/infer", 404, "unknown model"),
        ("POST", "/v2/models/analyze/versions/9/infer", 404, "no version '9'"),
        ("GET", "/v2/models/analyze/infer", 405, "GET is not allowed on /v2/models/analyze/infer; use POST"),
        ("POST", "/v2", 405, "use GET"),
        ("DELETE", "/v2/models/analyze", 405, "use GET"),
        ("GET", "/v2/repository/index", 405, "use POST"),
        ("POST", "/v2/repository/models/analyze/unload", 404, "there is no"),
    ],
)
async def test_wrong_paths_and_methods(
    client: httpx.AsyncClient, method: str, path: str, status: int, message: str
) -> None:
    response = await client.request(method, path)
    assert response.status_code == status
    assert message in is_error(response)


GOOD = b"\2\0\0\0ab"
MALFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "no inputs": ({"inputs": []}, "expected 1 input but got 0"),
    "inputs is null": ({"inputs": None}, "inputs must be a list of objects"),
    "inputs is an object": ({"inputs": {"images": 1}}, "inputs must be a list of objects"),
    "an input is a string": ({"inputs": ["images"]}, "inputs must be a list of objects"),
    "two inputs": ({"inputs": [{"name": "images"}, {"name": "images"}]}, "expected 1 input but got 2"),
    "input of another name": ({"name": "image"}, "unexpected input 'image' for model analyze; its input is images"),
    "name is a number": ({"name": 1}, "the name of each of inputs must be a string"),
    "no datatype": ({"datatype": None}, "the datatype must be a string"),
    "unknown datatype": ({"datatype": "IMAGE"}, "the datatype must be BYTES"),
    "float pixels": ({"datatype": "FP32", "shape": [1, 1, 1, 3], "data": [0.0] * 3}, "the datatype must be BYTES"),
    "no shape": ({"shape": None}, "the shape must be a list"),
    "shape of strings": ({"shape": ["1"]}, "the shape must be a list"),
    "shape of floats": ({"shape": [1.0]}, "the shape must be a list"),
    "shape of bools": ({"shape": [True]}, "the shape must be a list"),
    "shape of high rank": ({"shape": [1] * 100}, "the shape must be a list of at most 8"),
    "shape beyond 64 bits": ({"shape": [2**70]}, "the shape must be a list"),
    "negative shape": ({"shape": [-1]}, "the shape of BYTES"),
    "shape of more files than data": ({"shape": [3]}, "needs 3 elements; there are 1"),
    "too many files": ({"shape": [9], "data": ["AA=="] * 9}, "more images than the limit of 8"),
    "huge pixels": ({"datatype": "UINT8", "shape": [1, 2**40, 2**40, 3], "data": [0]}, "more pixels an image"),
    "pixels of no images": ({"datatype": "UINT8", "shape": [0, 4, 4, 3], "data": []}, "must be [N, H, W, 3]"),
    "pixels that do not fill": ({"datatype": "UINT8", "shape": [1, 2, 2, 3], "data": [0] * 11}, "needs 12 elements"),
    "pixels out of range": ({"datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [0, 0, 256]}, "from 0 to 255"),
    "negative pixels": ({"datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [0, 0, -1]}, "from 0 to 255"),
    "pixels of bools": ({"datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [True] * 3}, "whole numbers"),
    "pixels of strings": ({"datatype": "UINT8", "shape": [1, 1, 1, 3], "data": ["0"] * 3}, "whole numbers"),
    "ragged pixels": ({"datatype": "UINT8", "shape": [1, 1, 2, 3], "data": [[[[0] * 3, [0]]]]}, "nested data must be"),
    "pixels nested too deep": ({"datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [[[[[0]] * 3]]]}, "whole numbers"),
    "no data": ({"data": None, "shape": [1]}, "data must be a list"),
    "data is a string": ({"data": "AA=="}, "data must be a list"),
    "file is a number": ({"data": [1]}, "image 1: must be a base64 string"),
    "file is an object": ({"data": [{"b64": "AA=="}]}, "image 1: must be a base64 string"),
    "file is no base64": ({"data": ["~~~"]}, "image 1: the base64 is broken"),
    "file is not ASCII": ({"data": ["é"]}, "image 1: the base64 is broken"),
    "file is empty": ({"data": [""]}, "image 1: is empty"),
    "file is a path": ({"data": ["/etc/passwd"]}, "the data is not a JPEG"),
    "file is a URL": ({"data": ["http://127.0.0.1/x.jpg"]}, "image 1: the base64 is broken"),
    "file is no picture": ({"data": ["AAAA"]}, "not a JPEG"),
    "data and bytes": ({"tensor_parameters": {"binary_data_size": 0}}, "either data or the parameter"),
    "unknown input parameter": ({"tensor_parameters": {"shared_memory_region": "x"}}, "'shared_memory_region' of inp"),
    "input parameters are a list": ({"tensor_parameters": []}, "must be an object"),
    "id is a number": ({"id": 1}, "id must be a string"),
    "parameters are a list": ({"parameters": []}, "the parameters of the request must be an object"),
    "parameter is null": ({"parameters": {"face_threshold": None}}, "must be a string, a number, true or false"),
    "parameter is an object": ({"parameters": {"face_threshold": {}}}, "must be a string, a number, true or false"),
    "unknown parameter": ({"parameters": {"treshold": 0.5}}, "has no parameter 'treshold'; its parameters are"),
    "threshold above 1": ({"parameters": {"face_threshold": 1.01}}, "face_threshold must be a number from 0 to 1"),
    "threshold of a string": ({"parameters": {"score_threshold": "NaN"}}, "score_threshold must be a number"),
    "unknown class": ({"parameters": {"classes": "unicorn"}}, "'unicorn' is not a label"),
    "too many instances": ({"parameters": {"max_instances": 10**9}}, "max_instances must be a whole number"),
    "negative timeout": ({"parameters": {"timeout": -5}}, "timeout must be a whole number"),
    "binary output of a string": ({"parameters": {"binary_data_output": "yes"}}, "binary_data_output must be true or"),
    "outputs are names": ({"outputs": ["image_sizes"]}, "outputs must be a list of objects"),
    "output without a name": ({"outputs": [{}]}, "the name of each of outputs must be a string"),
    "unknown output": ({"outputs": [{"name": "boxes"}]}, "unexpected output 'boxes' for model analyze; its outputs"),
    "output twice": ({"outputs": [{"name": "errors"}] * 2}, "more than once"),
    "classes instead of tensors": (
        {"outputs": [{"name": "errors", "parameters": {"classification": 3}}]},
        "parameter 'classification' of output 'errors' is not supported",
    ),
    "shared memory": (
        {"tensor_parameters": {"shared_memory_region": "a", "shared_memory_byte_size": 4}},
        "parameter 'shared_memory_region' of input images is not supported",
    ),
    "binary_data of a number": ({"outputs": [{"name": "errors", "parameters": {"binary_data": 1}}]}, "type bool"),
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_malformed_requests(client: httpx.AsyncClient, photo: bytes, faces: FakeBranch, case: str) -> None:
    changes, message = MALFORMED[case]
    response = await client.post("/v2/models/analyze/infer", json=infer_json(photo, **changes))
    assert response.status_code == 400
    assert message in is_error(response)
    assert faces.calls == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not valid JSON"),
        (b"[]", "the JSON must be an object"),
        (b"{", "not valid JSON"),
        (b"\xff\xd8\xff\xe0 a picture", "Inference-Header-Content-Length must be its length"),
        (b'{"inputs": [], "parameters": {"face_threshold": NaN}}', "not valid JSON"),
        (b'{"inputs": [], "parameters": {"face_threshold": Infinity}}', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
async def test_bodies_that_are_no_json(client: httpx.AsyncClient, body: bytes, message: str) -> None:
    response = await client.post("/v2/models/analyze/infer", content=body)
    assert response.status_code == 400
    assert message in is_error(response)


async def test_json_of_too_many_values_is_refused_before_it_is_parsed(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, photo: bytes
) -> None:
    monkeypatch.setattr("serve_app.protocols.open_inference.body.PIXELS_MEMORY", 700)
    assert (await client.post("/v2/models/analyze/infer", json=infer_json(photo))).status_code == 200
    response = await client.post("/v2/models/analyze/infer", content=b"{" + b"[]," * 20)
    assert response.status_code == 400
    assert "too many values" in is_error(response)


def binary_input(size: Any, **changes: Any) -> dict[str, Any]:
    tensor = {"name": "images", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": size}}
    return {"inputs": [{**tensor, **changes}]}


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        (binary_input(6), b"", "announces 6 bytes after the JSON; there are 0"),
        (binary_input(6), GOOD + b"x", "announces 6 bytes after the JSON; there are 7"),
        (binary_input(-6), GOOD, "announces -6 bytes"),
        (binary_input(2**62), GOOD, "announces 4611686018427387904 bytes"),
        (binary_input("6"), GOOD, "must be of type int"),
        (binary_input(True), GOOD, "must be of type int"),
        (binary_input(6.0), GOOD, "must be of type int"),
        (binary_input(0), b"", "element 1 of 1 takes 0 bytes after its length; there are 0"),
        (binary_input(3), b"\1\0\0", "element 1 of 1"),
        (binary_input(6), b"\3\0\0\0ab", "element 1 of 1 takes 3 bytes after its length; there are 2"),
        (binary_input(6), b"\xff\xff\xff\xffab", "takes 4294967295 bytes"),
        (binary_input(6), b"\1\0\0\0ab", "1 bytes follow the last of 1 elements"),
        (binary_input(6, shape=[2]), GOOD, "element 2 of 2"),
        (binary_input(6, shape=[9]), GOOD, "more images than the limit"),
        (binary_input(6, datatype="UINT8", shape=[1, 1, 1, 3]), GOOD, "needs 3 bytes; there are 6"),
        (binary_input(6, datatype="UINT8", shape=[1, 2**31, 2**31, 3]), GOOD, "more pixels an image"),
        (binary_input(6, data=["AA=="]), GOOD, "either data or the parameter"),
        ({"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1]}]}, GOOD, "either data or the parameter"),
        ({"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "data": ["AA=="]}]}, GOOD, "announces 0"),
    ],
)
async def test_tensors_that_are_not_what_is_announced(
    client: httpx.AsyncClient, header: dict[str, Any], data: bytes, message: str
) -> None:
    body, headers = with_bytes(header, data)
    response = await client.post("/v2/models/analyze/infer", content=body, headers=headers)
    assert response.status_code == 400
    assert message in is_error(response)


@pytest.mark.parametrize("length", ["-1", "1.5", "many", "9" * 30, "99999", " ", "+5"])
async def test_wrong_lengths_of_the_json(client: httpx.AsyncClient, photo: bytes, length: str) -> None:
    body = orjson.dumps(infer_json(photo))
    response = await client.post("/v2/models/analyze/infer", content=body, headers={LENGTH: length})
    assert response.status_code == 400
    assert LENGTH in is_error(response)


async def test_bodies_over_the_limit_in_gzip_too(client: httpx.AsyncClient) -> None:
    url = "/v2/models/analyze/infer"
    over = bytes(LIMITS.max_body_bytes + 1)
    assert (await client.post(url, content=over)).status_code == 413
    response = await client.post(url, content=gzip.compress(over), headers={"Content-Encoding": "gzip"})
    assert response.status_code == 413
    assert "larger than the limit" in is_error(response)
    response = await client.post(url, content=b"no gzip", headers={"Content-Encoding": "gzip"})
    assert (response.status_code, is_error(response)) == (400, "the body is not valid gzip")
    response = await client.post(url, content=b"{}", headers={"Content-Encoding": "deflate"})
    assert (response.status_code, "deflate" in is_error(response)) == (415, True)


@pytest.mark.parametrize("body", [b"[]", b"nothing", b'{"ready": 1}'])
async def test_wrong_bodies_of_the_repository_index(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/v2/repository/index", content=body)
    assert response.status_code == 400
    assert is_error(response)


@pytest.mark.parametrize(
    ("code", "status"), [("overloaded", 503), ("unavailable", 503), ("deadline_exceeded", 504), ("internal", 500)]
)
async def test_failures_have_their_status(
    client: httpx.AsyncClient, photo: bytes, faces: FakeBranch, code: str, status: int
) -> None:
    faces.fail(code)
    response = await client.post("/v2/models/mask_detection/infer", json=infer_json(photo))
    assert response.status_code == status
    assert is_error(response) == f"mask_detection is {code}"
    assert ("retry-after" in response.headers) == (status == 503)


async def test_a_picture_of_too_many_pixels(client: httpx.AsyncClient, pipeline: Pipeline, photo: bytes) -> None:
    pipeline.max_pixels = HEIGHT * WIDTH - 1
    response = await client.post("/v2/models/mask_detection/infer", json=infer_json(photo))
    assert response.status_code == 413
    assert "the limit is 3071 pixels" in is_error(response)


async def test_a_fault_of_ours_tells_nothing_of_our_insides(
    client: httpx.AsyncClient, photo: bytes, faces: FakeBranch, caplog: pytest.LogCaptureFixture
) -> None:
    faces.error = RuntimeError("secret")
    with caplog.at_level(logging.CRITICAL):
        response = await client.post("/v2/models/mask_detection/infer", json=infer_json(photo))
    assert response.status_code == 500
    assert is_error(response) == "the service failed on this request"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
async def fuzzed(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as made:
        yield made


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    request=st.fixed_dictionaries(
        {},
        optional={
            "id": JSON_VALUES,
            "parameters": JSON_VALUES | st.dictionaries(st.sampled_from(["face_threshold", "classes"]), JSON_VALUES),
            "outputs": JSON_VALUES,
            "inputs": JSON_VALUES
            | st.lists(
                st.fixed_dictionaries(
                    {"name": st.just("images")},
                    optional={
                        "datatype": st.sampled_from(["BYTES", "UINT8"]) | JSON_VALUES,
                        "shape": st.lists(st.integers(-2, 5), max_size=5) | JSON_VALUES,
                        "data": JSON_VALUES,
                        "parameters": JSON_VALUES | st.fixed_dictionaries({"binary_data_size": st.integers(-5, 50)}),
                    },
                ),
                max_size=2,
            ),
        },
    ),
    tail=st.binary(max_size=20),
    slip=st.integers(-3, 3),
)
async def test_no_request_makes_the_service_fail(
    fuzzed: httpx.AsyncClient, request: dict[str, Any], tail: bytes, slip: int
) -> None:
    head = json.dumps(request).encode()
    headers = {LENGTH: str(max(0, len(head) + slip))}
    response = await fuzzed.post("/v2/models/analyze/infer", content=head + tail, headers=headers)
    assert response.status_code == 400
    assert is_error(response)


async def test_a_third_model_where_it_is_configured(
    pipeline_of_three: Pipeline, limits: Limits, photo: bytes, client: httpx.AsyncClient
) -> None:
    path, body = "/v2/models/object_detection", infer_json(photo, outputs=[{"name": "labels"}, {"name": "boxes"}])
    assert (await client.post(f"{path}/infer", json=body)).status_code == 404
    app = FastAPI()
    app.include_router(open_inference.routes(pipeline_of_three, limits))
    app.add_middleware(Arrival, limits=limits)
    app.add_middleware(RequestId)
    async with client_of(app) as three:
        assert (await three.get("/v2/models")).json() == {"models": [*TASKS, "analyze"]}
        metadata = (await three.get(path)).json()
        assert metadata["versions"] == ["3"]
        names = [output["name"] for output in metadata["outputs"]]
        assert names == ["boxes", "labels", "label_ids", "scores", "image_index", "image_sizes", "errors"]
        labels, boxes = (await three.post(f"{path}/infer", json=body)).json()["outputs"]
    assert labels["data"] == ["bottle", "cup"]
    assert (boxes["shape"], boxes["data"][:4]) == ([2, 4], [8, 12, 24, 36])


async def test_parameters_for_other_servers_codecs_are_ignored(client: httpx.AsyncClient, photo: bytes) -> None:
    plain = await client.post("/v2/models/analyze/infer", json=infer_json(photo))
    codecs = {"content_type": "base64", "headers": {"x": "y"}}
    request = infer_json(
        photo,
        tensor_parameters={"content_type": "pillow_image", "headers": {}, "mine": [1, {"a": None}]},
        parameters=codecs,
        outputs=[{"name": "errors", "parameters": {"content_type": "str", "mine": []}}],
    )
    answer = await client.post("/v2/models/analyze/infer", json=request)
    assert answer.status_code == plain.status_code == 200
    assert [tensor["name"] for tensor in answer.json()["outputs"]] == ["errors"]
    nulls = await client.post(
        "/v2/models/analyze/infer", json=infer_json(photo, tensor_parameters=None, parameters=None)
    )
    assert nulls.json()["outputs"] == plain.json()["outputs"]
