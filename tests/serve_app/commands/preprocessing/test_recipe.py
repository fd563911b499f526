from dataclasses import replace
from typing import get_args

import cv2
import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as torchvision

from deployments.imaging.resize import prepare as prepare_as_served
from deployments.imaging.spec import ImageSpec, Interpolation
from deployments.models.device import Normalizer
from serve_app.commands.preprocessing.normalizations import altered_spec, factors, known
from serve_app.commands.preprocessing.photo import Photo
from serve_app.commands.preprocessing.recipe import (
    Normalization,
    Recipe,
    card_recipe,
    difference,
    explain,
    network_input,
    prepare,
    seen,
)
from serve_app.commands.preprocessing.resampling import RESAMPLINGS
from tests.photos import china

UNIT = {"scale": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
SPECS = [{}, {"color_order": "bgr"}, UNIT, UNIT | {"color_order": "bgr"}]


def served_input(photo: Photo, spec: ImageSpec) -> np.ndarray:
    """What the service's models feed their networks, [h, w, 3]."""
    pixels = torch.from_numpy(prepare_as_served(photo.served, spec).copy()).permute(2, 0, 1)[None]
    return Normalizer(spec, torch.device("cpu"))(pixels)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("update", SPECS)
@pytest.mark.parametrize("interpolation", get_args(Interpolation))
def test_the_cards_recipe_is_what_the_service_does(
    photo: Photo, spec: ImageSpec, update: dict, interpolation: Interpolation
) -> None:
    spec = spec.model_copy(update=update | {"interpolation": interpolation})
    rule = card_recipe(spec)
    np.testing.assert_allclose(network_input(prepare(photo, rule, spec), rule), served_input(photo, spec), atol=2e-6)


@pytest.mark.parametrize("update", SPECS)
def test_a_model_under_an_altered_spec_sees_the_recipes_numbers(photo: Photo, spec: ImageSpec, update: dict) -> None:
    spec = spec.model_copy(update=update)
    rule = card_recipe(spec)
    recipes = [
        replace(rule, color_order=order, normalization=normalization, value_factor=factor)
        for order in ("rgb", "bgr")
        for normalization in known(spec)
        for factor in factors(spec, normalization)
    ]
    assert len(recipes) > 40
    for recipe in recipes:
        numbers = network_input(prepare(photo, recipe, spec), recipe)
        np.testing.assert_allclose(
            served_input(photo, altered_spec(spec, recipe)), numbers, atol=2e-6 * abs(numbers).max()
        )


def test_the_cards_normalization_comes_first_and_only_once(spec: ImageSpec) -> None:
    for update in SPECS:
        names = [each.name for each in known(spec.model_copy(update=update))]
        assert names[0] == "the card's"
        assert "ImageNet's" not in names  # that is the card's
    assert {each.name for each in known(spec)} >= {"none", "0.5 and 0.5", "CLIP's"}


@pytest.mark.parametrize(
    ("name", "by_the_library"),
    [
        ("torchvision_antialias", lambda image: _torchvision(image, True)),
        ("torchvision_no_antialias", lambda image: _torchvision(image, False)),
        ("opencv_area", lambda image: cv2.resize(image, (300, 200), interpolation=cv2.INTER_AREA)),
        ("opencv_nearest", lambda image: cv2.resize(image, (300, 200), interpolation=cv2.INTER_NEAREST)),
    ],
)
def test_resampling_is_the_librarys(name: str, by_the_library: object) -> None:
    np.testing.assert_array_equal(RESAMPLINGS[name].run(china(), 200, 300), by_the_library(china()))


def _torchvision(image: np.ndarray, antialias: bool) -> np.ndarray:
    tensor = torch.from_numpy(image.copy()).permute(2, 0, 1)
    return torchvision.resize(tensor, [200, 300], antialias=antialias).permute(1, 2, 0).numpy()


def test_every_interpolation_of_a_card_can_be_run() -> None:
    assert {each.in_a_card for each in RESAMPLINGS.values()} >= set(get_args(Interpolation)) <= RESAMPLINGS.keys()


def test_difference_is_in_the_cards_grey_levels_and_pads_with_the_mean(spec: ImageSpec) -> None:
    one = np.zeros((2, 2, 3), np.float32)
    other = np.zeros((1, 3, 3), np.float32)
    other[0, 2, 1] = 2  # where the first has padding
    found = difference(one, other, spec)
    assert found.levels.shape == (2, 3, 3)
    assert found.largest == pytest.approx(2 * 57.12)
    assert found.mean == pytest.approx(2 * 57.12 / 18)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_what_a_network_sees_by_its_own_rule_is_the_picture(photo: Photo, spec: ImageSpec, order: str) -> None:
    spec = spec.model_copy(update={"color_order": order})
    rule = card_recipe(spec)
    prepared = prepare(photo, rule, spec)
    np.testing.assert_array_equal(seen(network_input(prepared, rule), spec), prepared)


def test_a_step_that_changes_nothing_on_this_photo_is_no_cause(photo: Photo, turned: Photo, spec: ImageSpec) -> None:
    recipe = replace(card_recipe(spec), reader="pillow", orientation="stored")
    assert explain(photo, recipe, spec) == []
    (cause,) = explain(turned, recipe, spec)
    assert (cause.step, cause.found, cause.card) == ("EXIF", "ignored", "applied")


def test_causes_come_heaviest_first_and_each_alone(photo: Photo, spec: ImageSpec) -> None:
    rule = card_recipe(spec)
    doubled = Normalization("doubled", (0.0, 0.0, 0.0), (2.0, 2.0, 2.0))
    recipe = replace(rule, color_order="bgr", resampling="opencv_bilinear", normalization=doubled)
    causes = explain(photo, recipe, spec)
    assert [cause.step for cause in causes] == ["mean/std", "channel order", "antialias"]
    expected = network_input(prepare(photo, rule, spec), rule)
    swapped = difference(_swapped(photo, rule, spec), expected, spec)
    assert causes[1].mean == pytest.approx(swapped.mean, rel=1e-5)
    assert causes[1].largest == pytest.approx(swapped.largest, rel=1e-5)


def _swapped(photo: Photo, rule: Recipe, spec: ImageSpec) -> np.ndarray:
    pixels = prepare(photo, rule, spec)[..., ::-1].astype(np.float32)
    return (pixels - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
