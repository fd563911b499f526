"""The Open Inference Protocol over REST, by Triton's own client."""

import base64
import json
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import InferenceServerException

from deployments.imaging.decode import decode
from deployments.imaging.rle import decode_rle
from serve_app.protocols.open_inference.tensors import output_specs
from tests.serve_app.conftest import HEIGHT, MODELS, WIDTH, FakeBranch, person_mask
from tests.serve_app.protocols.loopback import serving
from tests.serve_app.protocols.open_inference.bodies import LENGTH


@pytest.fixture
def triton(app: FastAPI) -> Iterator[InferenceServerClient]:
    with serving(app) as url, InferenceServerClient(url.removeprefix("http://")) as client:
        yield client


def files(*data: bytes, binary: bool = True) -> InferInput:
    tensor = InferInput("images", [len(data)], "BYTES")
    tensor.set_data_from_numpy(np.array([*data, None], object)[:-1], binary_data=binary)
    return tensor


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
