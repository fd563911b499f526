import base64

import httpx
import numpy as np
import orjson
import pytest
from fastapi import FastAPI
from tritonclient.http import InferResult

from deployments.imaging.decode import decode
from deployments.models.card import TASKS
from serve_app.http.arrival import Arrival
from serve_app.http.request_id import RequestId
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.open_inference import routes as open_inference
from tests.serve_app.conftest import HEIGHT, WIDTH, FakeBranch, client_of
from tests.serve_app.protocols.open_inference.bodies import LENGTH, infer_json


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
