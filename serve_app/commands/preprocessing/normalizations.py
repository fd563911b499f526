"""The means and stds that are in use, and how a card's rule changes under another."""

from deployments.imaging.spec import ImageSpec
from serve_app.commands.preprocessing.recipe import Normalization, Recipe, Triple, card_normalization

IMAGENET_MEAN: Triple = (123.675, 116.28, 103.53)
IMAGENET_STD: Triple = (58.395, 57.12, 57.375)
CAFFE_MEAN: Triple = (123.68, 116.779, 103.939)
CLIP_MEAN: Triple = (122.7709, 116.7460, 104.0937)
CLIP_STD: Triple = (68.5005, 66.6322, 70.3232)


def reverse(values: Triple) -> Triple:
    """The same for the opposite channel order."""
    first, second, third = values
    return third, second, first


def absent(spec: ImageSpec) -> Normalization:
    """The pixels times the card's scale, as they are."""
    std = 1 / spec.scale
    return Normalization("none", (0.0, 0.0, 0.0), (std, std, std))


def halves() -> Normalization:
    """-1 to 1: mean 0.5 and std 0.5 on pixels of 0..1."""
    return Normalization("0.5 and 0.5", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))


def reversed_card(spec: ImageSpec) -> Normalization:
    """The card's, given in the other channel order."""
    card = card_normalization(spec)
    return Normalization("the card's, in reverse channel order", reverse(card.mean), reverse(card.std))


def known(spec: ImageSpec) -> list[Normalization]:
    """The card's own first; where two are equal, only the first is listed."""
    ones: Triple = (1.0, 1.0, 1.0)
    candidates = [card_normalization(spec), reversed_card(spec), absent(spec)]
    for name, mean, std in (
        ("ImageNet's", IMAGENET_MEAN, IMAGENET_STD),
        ("ImageNet's mean without std", IMAGENET_MEAN, ones),
        ("Caffe's mean without std", CAFFE_MEAN, ones),
        ("CLIP's", CLIP_MEAN, CLIP_STD),
    ):
        candidates.append(Normalization(name, mean, std))
        candidates.append(Normalization(f"{name}, in reverse channel order", reverse(mean), reverse(std)))
    candidates.append(halves())
    distinct: dict[tuple[float, ...], Normalization] = {}
    for each in candidates:
        distinct.setdefault(tuple(round(value, 3) for value in each.mean + each.std), each)
    return list(distinct.values())


def factors(spec: ImageSpec, normalization: Normalization) -> tuple[float, ...]:
    """The value ranges under which a normalisation is met: as meant, 255 times too small, and too large.

    Pixels without a mean and std only come as 0..255 and as 0..1.
    """
    if normalization == absent(spec):
        return (1.0, 1 / 255) if spec.scale > 0.5 else (1.0, 255.0)
    return 1.0, 1 / 255, 255.0


def altered_spec(spec: ImageSpec, recipe: Recipe) -> ImageSpec:
    """The card's spec with a recipe's channel order, mean, std and value range, so that a model can be run under it."""
    mean, std = (
        tuple(value * spec.scale for value in values)
        for values in (recipe.normalization.mean, recipe.normalization.std)
    )
    update = {"color_order": recipe.color_order, "mean": mean, "std": std, "scale": spec.scale * recipe.value_factor}
    return spec.model_copy(update=update)
