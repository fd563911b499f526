import re

import numpy as np
import pytest

from deployments.calls import ObjectDetectionOptions
from deployments.models.card import TASKS
from serve_app.analysis import EncodedImage
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.open_inference.inference import InferenceError, InferRequest, OpenInference, Parameter
from tests.serve_app.conftest import FakeBranch


def call(model: str, *files: bytes, outputs: tuple[str, ...] = ()) -> InferRequest:
    return InferRequest(model, [EncodedImage(data) for data in files], outputs, {}, "a-request")


@pytest.fixture
def service(pipeline: Pipeline, limits: Limits) -> OpenInference:
    return OpenInference(pipeline, limits)


async def test_of_several_images_one_that_fails_is_told_of_in_errors(service: OpenInference, photo: bytes) -> None:
    _, made = await service.infer(call("mask_detection", b"no picture", photo))
    tensors = {tensor.name: tensor for tensor in made}
    assert np.asarray(tensors["image_index"].values).tolist() == [1]
    told, nothing = tensors["errors"].values
    assert b"not a JPEG" in told
    assert nothing == b""


async def test_an_image_that_fails_fails_the_request_where_errors_are_not_sent(
    service: OpenInference, photo: bytes
) -> None:
    with pytest.raises(InferenceError, match=re.escape("image 2: the data is not a JPEG")) as refused:
        await service.infer(call("mask_detection", photo, b"no picture", outputs=("boxes",)))
    assert refused.value.code == "unsupported_format"


async def test_one_task_of_analyze_may_fail(service: OpenInference, faces: FakeBranch, photo: bytes) -> None:
    faces.fail("unavailable")
    version, made = await service.infer(call("analyze", photo))
    assert version == "1"
    tensors = {tensor.name: tensor for tensor in made}
    assert tensors["mask_detection.boxes"].shape == (0, 4)
    assert tensors["instance_segmentation.boxes"].shape == (2, 4)
    assert tensors["errors"].values == [b"mask_detection is unavailable"]
    with pytest.raises(InferenceError, match="mask_detection is unavailable"):
        await service.infer(call("mask_detection", photo))


async def test_the_worst_failure_stands_for_all(
    service: OpenInference, faces: FakeBranch, instances: FakeBranch, photo: bytes
) -> None:
    faces.fail("unavailable")
    instances.fail("deadline_exceeded")
    with pytest.raises(InferenceError, match="image 2: mask_detection is unavailable") as refused:
        await service.infer(call("analyze", b"", photo))
    assert refused.value.code == "unavailable"


async def test_statistics_count_images_requests_failures_and_times(service: OpenInference, photo: bytes) -> None:
    await service.infer(call("analyze", photo, photo))
    with pytest.raises(InferenceError):
        await service.infer(call("analyze", b""))
    statistics = service.statistics("analyze")["analyze"]
    assert (statistics.inference_count, statistics.execution_count) == (2, 1)
    assert (statistics.success.count, statistics.fail.count) == (1, 1)
    assert (statistics.queue.count, statistics.queue.ns) == (1, 1_250_000)
    assert (statistics.compute_infer.count, statistics.compute_infer.ns) == (1, 7_500_000)
    assert statistics.success.ns > 0
    assert statistics.last_inference > 1_500_000_000_000
    assert service.statistics()["mask_detection"].success.count == 0


async def test_unknown_models_and_versions_are_not_found(service: OpenInference) -> None:
    assert service.version("analyze") == service.version("analyze", "1") == "1"
    for model, version in (("resnet", ""), ("analyze", "2"), ("analyze", "one")):
        with pytest.raises(InferenceError) as refused:
            service.version(model, version)
        assert refused.value.code == "not_found"


async def test_a_model_is_ready_when_its_tasks_are(service: OpenInference, faces: FakeBranch) -> None:
    faces.alive = False
    assert service.ready("instance_segmentation")
    assert not service.ready("mask_detection")
    assert not service.ready()
    assert service.states() == {
        "mask_detection": "UNAVAILABLE",
        "instance_segmentation": "READY",
        "analyze": "UNAVAILABLE",
    }


async def test_the_third_model_is_served_where_it_is_configured(
    pipeline_of_three: Pipeline, limits: Limits, objects: FakeBranch, photo: bytes
) -> None:
    service = OpenInference(pipeline_of_three, limits)
    assert service.states() == dict.fromkeys([*TASKS, "analyze"], "READY")
    assert (service.version("object_detection"), service.version("analyze")) == ("3", "3")
    properties = service.properties("object_detection")
    assert properties["object_detection.labels"] == "cup,bottle"
    assert properties["parameters"] == "score_threshold,nms_iou,classes,max_objects,timeout"
    parameters: dict[str, Parameter] = {"nms_iou": 0.5, "classes": "cup, bottle", "max_objects": 2}
    request = InferRequest("object_detection", [EncodedImage(photo)], ("labels",), parameters, "a-request")
    version, (labels,) = await service.infer(request)
    assert version == "3"
    assert labels.values == [b"bottle", b"cup"]
    assert objects.calls[0].options == ObjectDetectionOptions(None, 0.5, ("cup", "bottle"), 2)
    among: dict[str, Parameter] = {f"object_detection.{name}": value for name, value in parameters.items()}
    await service.infer(InferRequest("analyze", [EncodedImage(photo)], (), among, "a-request"))
    assert objects.calls[1].options == objects.calls[0].options
