import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from deployments.calls import InstanceSegmentationOptions, MaskDetectionOptions, ObjectDetectionOptions
from deployments.imaging.spec import Fixed
from serve_app.admission import LEAST_PIXELS, Capacity
from serve_app.analysis import AnalyzeOptions, AnalyzeRequest, EncodedImage, ImageAnalysis
from serve_app.people import Person
from serve_app.pipeline import Pipeline
from tests.serve_app.conftest import HEIGHT, WIDTH, FakeBranch

MakePipeline = Callable[..., Pipeline]
OBJECT_OPTIONS = ObjectDetectionOptions(0.3, 0.5, ("cup",), 9)


async def analyze(pipeline: Pipeline, *images: bytes, **options: object) -> list[ImageAnalysis]:
    request = AnalyzeRequest([EncodedImage(data) for data in images], "id", AnalyzeOptions(**options))  # type: ignore[arg-type]
    return (await pipeline.analyze(request)).images


def failures(image: ImageAnalysis) -> set[tuple[str, str | None]]:
    return {(failure.code, failure.task) for failure in image.errors}


async def test_both_branches_answer_together(pipeline: Pipeline, photo: bytes) -> None:
    analysis = await pipeline.analyze(AnalyzeRequest([EncodedImage(photo, "a.png")], "id"))
    (image,) = analysis.images
    assert (image.name, image.width, image.height, image.errors) == ("a.png", WIDTH, HEIGHT, [])
    assert [face.label for face in image.faces] == ["MASK"]
    assert [instance.label for instance in image.instances] == ["chair", "person"]
    assert image.people == [Person(1, 0, "MASK")]
    assert analysis.models == {"mask_detection": "face_mask@1", "instance_segmentation": "solov2_people@1"}
    assert image.timing_ms["mask_detection"] == {"queue": 1.25, "run": 7.5}
    assert image.pixels is None


async def test_each_branch_gets_the_picture_as_its_card_says(
    pipeline: Pipeline, photo: bytes, faces: FakeBranch, instances: FakeBranch
) -> None:
    await analyze(pipeline, photo)
    for branch in (faces, instances):
        assert branch.images[0].shape == (*branch.card.image.resized_size(HEIGHT, WIDTH), 3)
        assert (branch.calls[0].height, branch.calls[0].width) == (HEIGHT, WIDTH)


async def test_options_and_identity_travel_with_the_call(
    pipeline: Pipeline, photo: bytes, faces: FakeBranch, instances: FakeBranch
) -> None:
    options = AnalyzeOptions(
        mask_detection=MaskDetectionOptions(0.7), instance_segmentation=InstanceSegmentationOptions(0.2, ("dog",), 3)
    )
    await pipeline.analyze(AnalyzeRequest([EncodedImage(photo)], "the-id", options, traceparent="trace"))
    assert faces.calls[0].options == MaskDetectionOptions(0.7)
    assert instances.calls[0].options == InstanceSegmentationOptions(0.2, ("dog",), 3)
    assert {(call.request_id, call.traceparent) for call in faces.calls + instances.calls} == {("the-id", "trace")}


async def test_pixels_come_as_an_array_and_are_kept_on_request(pipeline: Pipeline) -> None:
    pixels = np.zeros((5, 7, 3), np.uint8)
    (image,) = (await pipeline.analyze(AnalyzeRequest([pixels], "id", keep_pixels=True))).images
    assert (image.name, image.height, image.width) == (None, 5, 7)
    assert image.pixels is pixels


async def test_only_the_asked_task_runs(pipeline: Pipeline, photo: bytes, faces: FakeBranch) -> None:
    (image,) = await analyze(pipeline, photo, tasks=("instance_segmentation",))
    assert faces.calls == []
    assert image.people == [Person(1, None, None)]


async def test_a_bad_picture_harms_only_itself(pipeline: Pipeline, photo: bytes, faces: FakeBranch) -> None:
    good, cut, text, empty = await analyze(pipeline, photo, photo[:300], b"text", b"")
    assert good.errors == []
    assert good.faces
    assert failures(cut) == failures(empty) == {("unreadable_image", None)}
    assert failures(text) == {("unsupported_format", None)}
    assert len(faces.calls) == 1


async def test_pixels_over_the_limit_are_refused(make_pipeline: MakePipeline, photo: bytes) -> None:
    (image,) = await analyze(make_pipeline(max_pixels=HEIGHT * WIDTH - 1), photo)
    assert failures(image) == {("image_too_large", None)}


async def test_a_failed_branch_leaves_the_others_answer(
    pipeline: Pipeline, photo: bytes, faces: FakeBranch, instances: FakeBranch
) -> None:
    instances.fail("unavailable")
    (image,) = await analyze(pipeline, photo)
    assert image.faces == faces.results
    assert (image.instances, image.people) == ((), [])
    assert failures(image) == {("unavailable", "instance_segmentation")}


async def test_a_late_branch_leaves_the_others_answer(pipeline: Pipeline, photo: bytes, faces: FakeBranch) -> None:
    faces.gate = asyncio.Event()
    (image,) = await analyze(pipeline, photo, timeout_s=0.5)
    assert failures(image) == {("deadline_exceeded", "mask_detection")}
    assert [instance.label for instance in image.instances] == ["chair", "person"]
    assert faces.cancelled == 1


async def test_waiting_for_a_slot_ends_with_the_deadline(
    make_pipeline: MakePipeline, photo: bytes, faces: FakeBranch
) -> None:
    faces.gate = asyncio.Event()
    pipeline = make_pipeline(capacity=Capacity(pixels=1 * LEAST_PIXELS))
    first = asyncio.create_task(analyze(pipeline, photo))
    await faces.entered.wait()
    (second,) = await analyze(pipeline, photo, timeout_s=0.05)
    assert failures(second) == {("deadline_exceeded", None)}
    faces.gate.set()
    assert (await first)[0].errors == []


async def test_a_request_may_not_ask_for_more_time(
    make_pipeline: MakePipeline, photo: bytes, faces: FakeBranch
) -> None:
    faces.gate = asyncio.Event()
    (image,) = await analyze(make_pipeline(timeout_s=0.5), photo, timeout_s=1000.0)
    assert failures(image) == {("deadline_exceeded", "mask_detection")}


async def test_a_cancelled_request_cancels_its_calls_and_gives_back_its_slot(
    make_pipeline: MakePipeline, photo: bytes, faces: FakeBranch
) -> None:
    faces.gate = asyncio.Event()
    pipeline = make_pipeline(capacity=Capacity(pixels=1 * LEAST_PIXELS))
    task = asyncio.create_task(analyze(pipeline, photo, photo))
    await faces.entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert faces.cancelled == 1
    faces.gate = None
    assert (await analyze(pipeline, photo))[0].errors == []


async def test_no_more_pictures_are_held_than_allowed(
    make_pipeline: MakePipeline, photo: bytes, faces: FakeBranch
) -> None:
    faces.gate = asyncio.Event()
    pipeline = make_pipeline(capacity=Capacity(pixels=2 * LEAST_PIXELS))
    task = asyncio.create_task(analyze(pipeline, *[photo] * 6))
    while len(faces.calls) < 2:
        faces.entered.clear()
        await faces.entered.wait()
    # All that could start has: a third would need no more than these turns of the loop and the decode thread.
    for _ in range(20):
        await pipeline.on_thread(int)
    assert len(faces.calls) == 2
    faces.gate.set()
    assert [image.errors for image in await task] == [[]] * 6


async def test_readiness_is_each_branchs(pipeline: Pipeline, instances: FakeBranch) -> None:
    instances.alive = False
    assert pipeline.ready() == {"mask_detection": True, "instance_segmentation": False}


async def test_every_branch_that_there_is_answers_unless_some_are_asked(
    pipeline_of_three: Pipeline, photo: bytes, objects: FakeBranch, faces: FakeBranch
) -> None:
    request = AnalyzeRequest([EncodedImage(photo)], "id", AnalyzeOptions(object_detection=OBJECT_OPTIONS))
    analysis = await pipeline_of_three.analyze(request)
    assert list(analysis.models) == ["mask_detection", "instance_segmentation", "object_detection"]
    (image,) = analysis.images
    assert image.objects == image.found("object_detection") == objects.results
    assert image.found("mask_detection") == image.faces == faces.results
    assert image.people == [Person(1, 0, "MASK")]
    assert image.timing_ms["object_detection"] == {"queue": 1.25, "run": 7.5}
    assert objects.calls[0].options == OBJECT_OPTIONS
    (image,) = await analyze(pipeline_of_three, photo, tasks=("object_detection",))
    assert (image.objects, image.faces, image.people) == (objects.results, (), [])


async def test_a_failed_third_branch_leaves_the_others_answers(
    pipeline_of_three: Pipeline, photo: bytes, objects: FakeBranch, instances: FakeBranch
) -> None:
    objects.fail("overloaded")
    (image,) = await analyze(pipeline_of_three, photo)
    assert failures(image) == {("overloaded", "object_detection")}
    assert (image.objects, image.instances) == ((), instances.results)
    instances.fail("unavailable")
    objects.failure = None
    (image,) = await analyze(pipeline_of_three, photo)
    assert failures(image) == {("unavailable", "instance_segmentation")}
    assert image.objects == objects.results


async def test_an_answer_names_the_model_that_ran(pipeline: Pipeline, photo: bytes, faces: FakeBranch) -> None:
    size = Fixed(rule="fixed", height=24, width=24)
    new = faces.card.model_copy(
        update={"version": "2", "image": faces.card.image.model_copy(update={"resize": size, "pad_multiple": 1})}
    )
    faces.running = [new]
    analysis = await pipeline.analyze(AnalyzeRequest([EncodedImage(photo)], "id"))
    assert analysis.images[0].errors == []
    assert analysis.models["mask_detection"] == "face_mask@2"
    assert faces.images[-1].shape == (24, 24, 3)
    assert pipeline.cards["mask_detection"] == new


async def test_no_answer_mixes_two_versions(pipeline: Pipeline, photo: bytes, faces: FakeBranch) -> None:
    old, new = faces.card, faces.card.model_copy(update={"version": "2"})
    faces.running = [old, new]
    analysis = await pipeline.analyze(AnalyzeRequest([EncodedImage(photo)] * 2, "id"))
    assert sorted(len(image.faces) for image in analysis.images) == [0, 1]
    (late,) = (image for image in analysis.images if not image.faces)
    assert failures(late) == {("unavailable", "mask_detection")}
    assert len(late.instances) == 2
    assert analysis.models["mask_detection"] == "face_mask@1"
