"""Tensors made with the real libraries, each with a drift that must be named."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import v2

from deployments.imaging.spec import ImageSpec
from serve_app.commands.preprocessing.advice import beyond_a_card, card_changes
from serve_app.commands.preprocessing.against import Finding, find
from serve_app.commands.preprocessing.dump import UnusableDump, read_dump
from serve_app.commands.preprocessing.photo import Photo
from serve_app.commands.preprocessing.recipe import ROUNDING
from tests.photos import astronaut, grace_hopper, png
from tests.serve_app.commands.preprocessing.conftest import MAX_PIXELS, encode
from tests.serve_app.commands.preprocessing.training_code import (
    FLOAT_FIRST,
    IMAGENET,
    MEAN,
    STD,
    TO_FLOAT,
    TO_UNIT,
    UNIT_MEAN,
    UNIT_STD,
    TrainingCode,
    card_rule,
    opencv,
    opencv_ignoring_exif,
    torchvision_with,
)


def found_in(photo: Photo, array: NDArray[np.generic], spec: ImageSpec, folder: Path) -> Finding:
    np.save(folder / "dump.npy", array)
    return find(photo, read_dump(folder / "dump.npy", MAX_PIXELS), spec)


def steps(finding: Finding) -> dict[str, str]:
    """What was found in each step that is more than rounding."""
    return {cause.step: cause.found for cause in finding.causes if cause.largest > ROUNDING}


DRIFTS: dict[str, tuple[TrainingCode, dict[str, str]]] = {
    "BGR": (partial(opencv, rgb=False), {"channel order": "BGR", "antialias": "OpenCV INTER_LINEAR"}),
    "OpenCV": (partial(opencv, rgb=True), {"antialias": "OpenCV INTER_LINEAR"}),
    "OpenCV area": (
        partial(opencv, rgb=True, interpolation=cv2.INTER_AREA),
        {"interpolation": "OpenCV INTER_AREA"},
    ),
    "nearest": (
        partial(opencv, rgb=True, interpolation=cv2.INTER_NEAREST),
        {"interpolation": "OpenCV INTER_NEAREST"},
    ),
    "no antialias": (
        torchvision_with(TO_UNIT, IMAGENET, antialias=False),
        {"antialias": "torchvision antialias=False"},
    ),
    "no antialias, float": (
        torchvision_with(IMAGENET, antialias=False, first=FLOAT_FIRST),
        {"antialias": "bilinear without antialias"},
    ),
    "0..1 under a mean for 0..255": (
        torchvision_with(TO_UNIT, v2.Normalize(MEAN, STD)),
        {"value range": "0..1, meant 0..255"},
    ),
    "0..255 under a mean for 0..1": (
        torchvision_with(TO_FLOAT, v2.Normalize(UNIT_MEAN, UNIT_STD)),
        {"value range": "0..255, meant 0..1"},
    ),
    "mean/std missing": (torchvision_with(TO_FLOAT), {"mean/std": "none"}),
    "mean/std missing, 0..1": (
        torchvision_with(TO_UNIT),
        {"mean/std": "none", "value range": "0..1, meant 0..255"},
    ),
    "mean/std reversed": (
        torchvision_with(TO_UNIT, v2.Normalize(UNIT_MEAN[::-1], UNIT_STD[::-1])),
        {"mean/std": "the card's, in reverse channel order"},
    ),
    "mean/std of 0.5": (
        torchvision_with(TO_UNIT, v2.Normalize([0.5] * 3, [0.5] * 3)),
        {"mean/std": "0.5 and 0.5"},
    ),
    "mean without std": (
        torchvision_with(TO_FLOAT, v2.Normalize(MEAN, [1.0] * 3)),
        {"mean/std": "ImageNet's mean without std"},
    ),
    "CLIP's": (
        torchvision_with(
            TO_UNIT,
            v2.Normalize([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]),
        ),
        {"mean/std": "CLIP's"},
    ),
}


@pytest.mark.parametrize("name", DRIFTS)
def test_each_drift_is_named_and_its_recipe_reproduces_the_tensor(
    photo_file: Path, photo: Photo, spec: ImageSpec, tmp_path: Path, name: str
) -> None:
    training_code, expected = DRIFTS[name]
    finding = found_in(photo, training_code(photo_file), spec, tmp_path)
    assert steps(finding) == expected
    assert finding.best.reproduces
    assert finding.best.largest < 0.6
    assert not finding.agrees
    assert finding.placement == []


@pytest.mark.parametrize("name", sorted(DRIFTS.keys() - {"OpenCV area", "nearest"}))
def test_with_the_changes_that_are_proposed_the_cards_rule_reproduces_the_tensor(
    photo_file: Path, photo: Photo, spec: ImageSpec, tmp_path: Path, name: str
) -> None:
    tensor = DRIFTS[name][0](photo_file)
    changes = yaml.safe_load(card_changes(found_in(photo, tensor, spec, tmp_path), spec))["image"]
    changed = ImageSpec.model_validate(spec.model_dump() | changes)
    assert found_in(photo, tensor, changed, tmp_path).agrees


def test_what_no_card_can_say_is_said(photo_file: Path, photo: Photo, spec: ImageSpec, tmp_path: Path) -> None:
    finding = found_in(photo, DRIFTS["OpenCV area"][0](photo_file), spec, tmp_path)
    assert card_changes(finding, spec) == ""
    (advice,) = beyond_a_card(finding, spec)
    assert "no card can say OpenCV INTER_AREA" in advice


@pytest.mark.parametrize(
    ("training_code", "also"),
    [
        (opencv_ignoring_exif, {"antialias": "OpenCV INTER_LINEAR"}),
        (torchvision_with(TO_UNIT, IMAGENET, exif=False), {}),
        (
            torchvision_with(TO_UNIT, IMAGENET, exif=False, antialias=False),
            {"antialias": "torchvision antialias=False"},
        ),
    ],
)
def test_ignored_exif_is_named(
    turned_file: Path, turned: Photo, spec: ImageSpec, tmp_path: Path, training_code: TrainingCode, also: dict[str, str]
) -> None:
    finding = found_in(turned, training_code(turned_file), spec, tmp_path)
    assert steps(finding) == {"EXIF": "ignored"} | also
    assert finding.best.reproduces
    assert any("exif_transpose" in sentence for sentence in beyond_a_card(finding, spec))


def test_the_cards_own_rule_is_recognised(photo_file: Path, turned_file: Path, spec: ImageSpec, tmp_path: Path) -> None:
    for file in (photo_file, turned_file):
        photo = Photo(file.read_bytes(), MAX_PIXELS)
        for code in (card_rule, torchvision_with(IMAGENET, first=FLOAT_FIRST)):  # the latter rounds nothing
            finding = found_in(photo, code(file), spec, tmp_path)
            assert finding.agrees
            assert card_changes(finding, spec) == ""


def test_float16_is_given_its_precision(photo_file: Path, photo: Photo, spec: ImageSpec, tmp_path: Path) -> None:
    finding = found_in(photo, card_rule(photo_file).astype(np.float16), spec, tmp_path)
    assert finding.agrees
    drifted = found_in(photo, opencv(photo_file, rgb=False).astype(np.float16), spec, tmp_path)
    assert steps(drifted) == {"channel order": "BGR", "antialias": "OpenCV INTER_LINEAR"}
    # All numbers lie between -2.1 and -1.8, where float16 has 160 steps for the whole range of pixels.
    coarse = found_in(photo, DRIFTS["0..1 under a mean for 0..255"][0](photo_file).astype(np.float16), spec, tmp_path)
    assert coarse.best.reproduces
    assert coarse.best.largest > 2
    assert steps(coarse) == {"value range": "0..1, meant 0..255"}


@pytest.mark.parametrize("image", [astronaut(), grace_hopper()])
def test_other_photos_and_sizes(spec: ImageSpec, tmp_path: Path, image: NDArray[np.uint8]) -> None:
    (tmp_path / "photo.jpg").write_bytes(encode(image))
    bgr = cv2.resize(cv2.imread(str(tmp_path / "photo.jpg")), (224, 200)).astype(np.float32) / 255
    photo = Photo((tmp_path / "photo.jpg").read_bytes(), MAX_PIXELS)
    finding = found_in(photo, bgr, spec, tmp_path)
    assert finding.best.reproduces
    assert steps(finding).keys() == {"channel order", "antialias", "mean/std", "value range"}
    assert [(each.step, each.found) for each in finding.placement] == [("size", "224x200")]


def test_padding_is_looked_through(photo_file: Path, photo: Photo, spec: ImageSpec, tmp_path: Path) -> None:
    tensor = card_rule(photo_file)
    assert found_in(photo, np.pad(tensor, ((0, 0), (0, 128), (0, 32))), spec, tmp_path).agrees
    grey = np.pad(tensor, ((0, 0), (0, 128), (0, 0)), constant_values=0.5)
    finding = found_in(photo, grey, spec, tmp_path)
    assert [(each.step, each.found) for each in finding.placement] == [("padding value", "0.5, 0.5, 0.5")]
    letterbox = np.pad(tensor, ((0, 0), (64, 64), (0, 0)))
    finding = found_in(photo, letterbox, spec, tmp_path)
    assert finding.best.reproduces
    assert [each.step for each in finding.placement] == ["padding"]
    assert not finding.agrees


def test_a_photo_that_is_black_at_its_edge_is_not_cut(spec: ImageSpec, tmp_path: Path) -> None:
    image = astronaut().copy()
    image[400:] = 0
    photo = Photo(png(image), MAX_PIXELS)
    resized = np.array(Image.fromarray(image).resize((448, 448), Image.Resampling.BILINEAR)).astype(np.float32)
    assert found_in(photo, (resized - np.array(MEAN)) / np.array(STD), spec, tmp_path).agrees
    padded = np.pad(resized / 255, ((0, 128), (0, 0), (0, 0)))
    finding = found_in(photo, padded, spec, tmp_path)
    assert finding.best.region.height == 448
    assert finding.best.reproduces


def test_a_mean_and_std_of_ones_own_are_stated(photo_file: Path, photo: Photo, spec: ImageSpec, tmp_path: Path) -> None:
    mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    finding = found_in(photo, torchvision_with(TO_UNIT, v2.Normalize(mean, std))(photo_file), spec, tmp_path)
    assert steps(finding) == {"mean/std": "not a known one"}
    assert finding.best.reproduces
    changes = yaml.safe_load(card_changes(finding, spec))["image"]
    np.testing.assert_allclose(changes["mean"], np.array(mean) * 255, atol=0.01)
    np.testing.assert_allclose(changes["std"], np.array(std) * 255, atol=0.01)


@pytest.mark.parametrize("rgb", [True, False])
def test_a_resized_picture_is_judged_by_its_pixels(
    photo_file: Path, photo: Photo, spec: ImageSpec, tmp_path: Path, rgb: bool
) -> None:
    image = cv2.resize(cv2.imread(str(photo_file)), (448, 299))
    cv2.imwrite(str(tmp_path / "resized.png"), image if rgb else image[..., ::-1].copy())
    finding = find(photo, read_dump(tmp_path / "resized.png", MAX_PIXELS), spec)
    assert finding.best.reproduces
    expected = {"antialias": "OpenCV INTER_LINEAR"}
    assert steps(finding) == (expected if rgb else expected | {"channel order": "BGR"})


def test_a_bgr_card_is_told_of_rgb(photo_file: Path, photo: Photo, spec: ImageSpec, tmp_path: Path) -> None:
    bgr = spec.model_copy(update={"color_order": "bgr", "interpolation": "opencv_bilinear"})
    assert found_in(photo, opencv(photo_file, rgb=False), bgr, tmp_path).agrees
    finding = found_in(photo, opencv(photo_file, rgb=True), bgr, tmp_path)
    assert steps(finding) == {"channel order": "RGB"}


def test_a_card_for_0_to_1_is_told_of_0_to_255(photo_file: Path, photo: Photo, spec: ImageSpec, tmp_path: Path) -> None:
    unit = spec.model_copy(update={"scale": 1 / 255, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)})
    assert found_in(photo, torchvision_with(TO_UNIT)(photo_file), unit, tmp_path).agrees
    finding = found_in(photo, torchvision_with(TO_FLOAT)(photo_file), unit, tmp_path)
    assert steps(finding) == {"value range": "0..255, meant 0..1"}


def test_transparency_that_training_dropped_is_named(spec: ImageSpec, tmp_path: Path) -> None:
    rgba = np.dstack([astronaut(), np.tile(np.linspace(0, 255, 512).astype(np.uint8), (512, 1))])
    (tmp_path / "photo.png").write_bytes(png(rgba))
    photo = Photo((tmp_path / "photo.png").read_bytes(), MAX_PIXELS)
    picture = Image.open(tmp_path / "photo.png").convert("RGB").resize((448, 448), Image.Resampling.BILINEAR)
    finding = found_in(photo, np.array(picture), spec, tmp_path)
    assert finding.best.reproduces
    assert steps(finding).keys() == {"reader"}


def test_nothing_known_is_admitted(photo_file: Path, photo: Photo, spec: ImageSpec, tmp_path: Path) -> None:
    tensor = card_rule(photo_file)
    for strange in (tensor[:, 20:220, 30:300], tensor[:, :, ::-1], np.clip(tensor, -1, 1)):
        finding = found_in(photo, strange, spec, tmp_path)
        assert not finding.best.reproduces
        assert not finding.agrees
        assert finding.others == []


def test_what_the_photo_or_tensor_is_silent_on_is_said(
    turned_file: Path, photo: Photo, turned: Photo, spec: ImageSpec, tmp_path: Path
) -> None:
    assert found_in(turned, card_rule(turned_file), spec, tmp_path).not_judged == []
    (tmp_path / "same.png").write_bytes(png(photo.served))
    silent = find(photo, read_dump(tmp_path / "same.png", MAX_PIXELS), spec).not_judged
    assert [step.split(" (")[0] for step in silent] == ["EXIF", "the resize", "mean/std and value range"]


def test_what_every_recipe_would_fit_is_refused(photo: Photo, spec: ImageSpec, tmp_path: Path) -> None:
    with pytest.raises(UnusableDump, match="one colour"):
        found_in(photo, np.full((3, 299, 448), 0.5, np.float32), spec, tmp_path)
    flat = Photo(png(np.full((40, 40, 3), 7, np.uint8)), MAX_PIXELS)
    with pytest.raises(UnusableDump, match="too flat"):
        found_in(flat, np.arange(3 * 40 * 40).reshape(3, 40, 40).astype(np.float32), spec, tmp_path)


def test_a_tiny_patch_in_padding_is_not_taken_for_the_photo(photo: Photo, spec: ImageSpec, tmp_path: Path) -> None:
    tensor = np.zeros((3, 299, 448), np.float32)
    tensor[:, 100:102, 100:103] = 1
    finding = found_in(photo, tensor, spec, tmp_path)
    assert not finding.best.reproduces
