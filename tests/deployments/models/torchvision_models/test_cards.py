"""The cards of torchvision's networks in configs/models."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models import detection
from torchvision.models._meta import _COCO_CATEGORIES

from deployments.imaging.spec import Fixed, ImageSpec, KeepRatio
from deployments.models.card import ModelCard, read_card
from deployments.models.torchvision_models.networks import Network, build

FOLDER = Path(__file__).parents[4] / "configs" / "models"
CARDS = {path.stem: card for path in FOLDER.glob("*.yaml") if (card := read_card(path)).architecture == "torchvision"}


def test_there_are_cards() -> None:
    assert {"ssdlite320_coco", "maskrcnn_resnet50_fpn_v2_coco", "goods"} <= CARDS.keys()


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_networks_are_made_as_torchvision_makes_them(card: ModelCard) -> None:
    settings = Network.model_validate(card.network)
    assert card.task in settings.tasks
    network: Any = build(settings, len(card.labels))
    assert card.image == transform_of(network)


@pytest.mark.parametrize("size", [(427, 640), (480, 640), (640, 425), (1080, 1920), (3, 1000), (799, 801)])
def test_pictures_are_resized_to_the_size_that_torchvision_gives_them(size: tuple[int, int]) -> None:
    card = CARDS["maskrcnn_resnet50_fpn_v2_coco"]
    network: Any = build(Network.model_validate(card.network), len(card.labels))
    resized, _ = network.transform.resize(torch.empty(3, *size, device="meta"))
    assert card.image.resized_size(*size) == tuple(resized.shape[1:])


def transform_of(network: Any) -> ImageSpec:
    """The rule by which torchvision itself would prepare pictures for the network."""
    transform = network.transform
    return ImageSpec(
        color_order="rgb",
        resize=Fixed(rule="fixed", height=transform.fixed_size[1], width=transform.fixed_size[0])
        if transform.fixed_size
        else KeepRatio(
            rule="keep_ratio", short_side=transform.min_size[0], long_side=transform.max_size, rounding="down"
        ),
        interpolation="bilinear",
        pad_multiple=transform.size_divisible,
        mean=tuple(transform.image_mean),
        std=tuple(transform.image_std),
        scale=1 / 255,
    )


@pytest.mark.parametrize("card", [c for c in CARDS.values() if c.name.endswith("coco")], ids=lambda card: card.name)
def test_published_weights_have_these_labels_and_names(card: ModelCard) -> None:
    published = getattr(detection, f"{Network.model_validate(card.network).model}")
    assert card.labels == tuple(_COCO_CATEGORIES[1:])
    (weights,) = [w for w in vars(detection).values() if matches(w, published.__name__)]
    assert weights.COCO_V1.url.rpartition("/")[2] == card.weights
    assert len(weights.COCO_V1.meta["categories"]) == len(card.labels) + 1


def matches(weights: Any, name: str) -> bool:
    return getattr(weights, "__name__", "").lower() == f"{name}_weights"


def test_goods_are_an_example_of_labels_of_ones_own() -> None:
    assert len(CARDS["goods"].labels) == 8
    network: Any = build(Network.model_validate(CARDS["goods"].network), 8)
    assert network.head.classification_head.num_columns == 9
