import pytest

from serve_app.client.options import NAMES, Options, query
from serve_app.protocols.native.options import known_options, options_model

ALL_TASKS = ("mask_detection", "instance_segmentation", "object_detection")


def test_every_option_of_the_service_is_there() -> None:
    assert {*NAMES.values(), "masks", "timeout_s"} == set(known_options(options_model(ALL_TASKS)))
    assert Options.__annotations__.keys() == {*NAMES, "masks", "timeout_s", "colors"}


def test_as_text() -> None:
    options: Options = {"tasks": ["mask_detection"], "face_threshold": 0.5, "annotate": True, "masks": False}
    assert query(options) == {
        "tasks": ["mask_detection"],
        "mask_detection.face_threshold": "0.5",
        "annotate": "true",
        "masks": "none",
    }
    assert query({"colors": "BGR", "timeout_s": 3}) == {"masks": "rle"}


def test_an_unknown_one_is_named() -> None:
    with pytest.raises(TypeError, match=r"unknown option 'mask'; known options: .*masks"):
        query({"mask": False})  # type: ignore[typeddict-unknown-key]
