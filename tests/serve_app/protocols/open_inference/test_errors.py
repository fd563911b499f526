"""What the Open Inference Protocol's REST routes refuse, and how."""

import gzip
import logging
from typing import Any

import httpx
import orjson
import pytest

from serve_app.pipeline import Pipeline
from tests.serve_app.conftest import HEIGHT, LIMITS, WIDTH, FakeBranch
from tests.serve_app.protocols.open_inference.bodies import LENGTH, binary_input, infer_json, is_error


def with_bytes(header: dict[str, Any], *tensors: bytes) -> tuple[bytes, dict[str, str]]:
    """A body of the binary extension, and its header."""
    head = orjson.dumps(header)
    return b"".join([head, *tensors]), {LENGTH: str(len(head))}


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
