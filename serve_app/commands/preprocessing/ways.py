"""The ways in which people usually load, resize and normalise a photo."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from deployments.imaging.spec import ImageSpec
from serve_app.commands.preprocessing.normalizations import absent, halves, known, reversed_card
from serve_app.commands.preprocessing.recipe import Recipe, card_recipe


@dataclass(frozen=True)
class Way:
    """A recipe under the name that people know it by."""

    name: str
    recipe: Recipe


def usual_ways(spec: ImageSpec, turned: bool) -> list[Way]:
    """First the ways to load and resize, under the card's mean and std; then slips with numbers, on the card's resize.

    turned: whether the photo has an EXIF orientation, so that ignoring it is a way of its own.
    """
    return [*_loaders(spec, turned), *_slips(spec)]


def _loaders(spec: ImageSpec, turned: bool) -> Iterator[Way]:
    rule = card_recipe(spec)
    opencv = replace(rule, reader="opencv", resampling="opencv_bilinear")
    yield Way("OpenCV, BGR", replace(opencv, color_order="bgr"))
    yield Way("OpenCV, RGB", replace(opencv, color_order="rgb"))
    rgb = replace(rule, color_order="rgb")
    # None of these applies EXIF unless it is told to; cv2.imread does.
    others = {
        "Pillow": replace(rgb, reader="pillow", resampling="antialiased_bilinear"),
        "torchvision, antialias": replace(rgb, reader="pillow", resampling="torchvision_antialias"),
        "torchvision, no antialias": replace(rgb, reader="pillow", resampling="torchvision_no_antialias"),
    }
    for name, recipe in others.items():
        yield Way(name, recipe)
    if turned:
        for name, recipe in others.items():
            yield Way(f"{name}, EXIF ignored", replace(recipe, orientation="stored"))


def _slips(spec: ImageSpec) -> Iterator[Way]:
    rule = card_recipe(spec)
    if spec.scale > 0.5:
        yield Way("pixels in 0..1", replace(rule, value_factor=1 / 255))
    else:
        yield Way("pixels in 0..255", replace(rule, value_factor=255.0))
    others = (
        ("no mean/std", absent(spec)),
        ("mean/std in reverse order", reversed_card(spec)),
        ("mean/std of 0.5", halves()),
    )
    distinct = known(spec)[1:]
    for name, normalization in others:
        if normalization in distinct:  # not the card's own under another name
            yield Way(name, replace(rule, normalization=normalization))
