"""Options of the native API: one strict model for query, form and JSON fields alike."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from deployments.calls import InstanceSegmentationOptions, MaskDetectionOptions, ObjectDetectionOptions
from deployments.models.card import TASKS, Task
from serve_app.analysis import AnalyzeOptions
from serve_app.http.errors import RequestError

MaskForm = Literal["rle", "polygon", "png", "none"]
CLASSES: dict[str, Task] = {"classes": "instance_segmentation", "object_detection.classes": "object_detection"}
"""Options that name labels, and the task whose labels they are."""
LISTS = ("tasks", *CLASSES)
"""Options that may repeat, or hold several values between commas, where they come as text."""


class NativeOptions(BaseModel):
    """What a request may ask of every service; None leaves the model's or the service's default."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    tasks: tuple[Task, ...]
    face_threshold: float | None = Field(
        None, alias="mask_detection.face_threshold", ge=0, le=1, description="Least score of a face."
    )
    score_threshold: float | None = Field(
        None, alias="instance_segmentation.score_threshold", ge=0, le=1, description="Least score of an instance."
    )
    classes: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = Field(
        None, description="Labels of the instances to keep. As text: repeated, or separated by commas."
    )
    max_instances: int | None = Field(None, ge=1, le=1000, description="Most instances an image, the best first.")
    masks: MaskForm = Field(
        "rle",
        description="Form of the instance masks: COCO RLE; polygons along pixel edges, with holes; an 8-bit grey PNG "
        "as a data URI, 255 inside; or none.",
    )
    annotate: bool = Field(False, description="Adds each picture with its answer drawn on it, as a data URI.")
    timeout_s: float | None = Field(
        None, gt=0, description="Seconds that the answer may take; the service's own limit is the most."
    )

    def for_pipeline(self) -> AnalyzeOptions:
        """The part that the pipeline acts on."""
        return AnalyzeOptions(
            self.tasks,
            MaskDetectionOptions(self.face_threshold),
            InstanceSegmentationOptions(self.score_threshold, self.classes, self.max_instances),
            timeout_s=self.timeout_s,
        )


class WithObjectDetection(NativeOptions):
    """What a request may ask of a service with that branch."""

    object_score_threshold: float | None = Field(
        None, alias="object_detection.score_threshold", ge=0, le=1, description="Least score of an object."
    )
    object_nms_iou: float | None = Field(
        None,
        alias="object_detection.nms_iou",
        ge=0,
        le=1,
        description="Of two objects of one label whose boxes' intersection over union is larger, the better is kept.",
    )
    object_classes: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = Field(
        None,
        alias="object_detection.classes",
        description="Labels of the objects to keep. As text: repeated, or separated by commas.",
    )
    max_objects: int | None = Field(
        None, alias="object_detection.max_objects", ge=1, le=1000, description="Most objects an image, the best first."
    )

    def for_pipeline(self) -> AnalyzeOptions:
        """The part that the pipeline acts on."""
        objects = ObjectDetectionOptions(
            self.object_score_threshold, self.object_nms_iou, self.object_classes, self.max_objects
        )
        return replace(super().for_pipeline(), object_detection=objects)


@cache
def options_model(tasks: tuple[Task, ...]) -> type[NativeOptions]:
    """The options of a service of these tasks, which are what a request may ask for, and asks for by default."""
    description = "Which models to ask. As text: repeated, or separated by commas."
    served = Annotated[tuple[Literal[tasks], ...], Field(strict=False, min_length=1)]  # type: ignore[valid-type]
    return create_model(
        "Options",
        __base__=WithObjectDetection if "object_detection" in tasks else NativeOptions,
        tasks=(served, Field(tasks, description=description)),
    )


def known_options(model: type[NativeOptions]) -> tuple[str, ...]:
    """The names of its options in the API."""
    return tuple(info.alias or name for name, info in model.model_fields.items())


def parse_options(
    text: Iterable[tuple[str, str]], fields: Mapping[str, Any], labels: Mapping[Task, Sequence[str]]
) -> NativeOptions:
    """Options from text (query and form) and from JSON fields together; ``labels`` are those of each task served.

    JSON fields may nest: ``{"mask_detection": {"face_threshold": 0.5}}``. Raises RequestError 400 naming the option
    that is unknown, wrong or given twice.
    """
    model = options_model(tuple(labels))
    from_text = _validated(model, _collect(text), strict=False)
    from_fields = _validated(model, _flatten(fields), strict=True)
    for name in from_text.keys() & from_fields.keys():
        raise _given_twice(name)
    given = {**from_text, **from_fields}
    for option, task in CLASSES.items():
        for name in given.get(option) or ():
            if name not in labels[task]:
                known = ", ".join(labels[task])
                near = " or ".join(map(repr, get_close_matches(name[:80], labels[task])))
                hint = f", did you mean {near}?" if near else ""
                message = f"option {option!r}: unknown class {name[:80]!r}{hint}; known classes: {known}"
                raise RequestError(400, "bad_option", message)
    options = model.model_validate(given)
    return options.model_copy(update={"tasks": tuple(dict.fromkeys(options.tasks))})


def _collect(text: Iterable[tuple[str, str]]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, value in text:
        if name in LISTS:
            given.setdefault(name, []).extend(part.strip() for part in value.split(","))
        elif name in given:
            raise _given_twice(name)
        else:
            given[name] = value
    return given


def _flatten(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names for the fields of a task's object."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        nested = name in TASKS and isinstance(value, dict)
        for full, inner in ((f"{name}.{key}", item) for key, item in value.items()) if nested else ((name, value),):
            if full in flat:
                raise _given_twice(full)
            flat[full] = inner
    return flat


def _validated(model: type[NativeOptions], given: dict[str, Any], strict: bool) -> dict[str, Any]:
    """The given options, checked and typed, by their names in the API."""
    known = known_options(model)
    for name in given:
        if name not in known:
            message = f"unknown option {name[:80]!r}; known options: {', '.join(known)}"
            raise RequestError(400, "unknown_option", message)
    try:
        # True would override the fields that take a JSON array for a tuple.
        options = model.model_validate(given, strict=None if strict else False)
    except ValidationError as invalid:
        error = invalid.errors(include_url=False, include_context=False)[0]
        value = error["input"]
        but = f", not {str(value)[:80]!r}" if isinstance(value, str | int | float) else ""
        message = error["msg"][0].lower() + error["msg"][1:]
        raise RequestError(400, "bad_option", f"option {str(error['loc'][0])!r}: {message}{but}") from None
    return options.model_dump(by_alias=True, exclude_unset=True)


def _given_twice(name: str) -> RequestError:
    return RequestError(400, "bad_option", f"option {name[:80]!r} is given more than once")
