"""What to change so that the service prepares a photo as the code did that wrote a tensor."""

from collections.abc import Iterator

import yaml

from deployments.imaging.spec import ImageSpec
from serve_app.commands.preprocessing.against import Finding
from serve_app.commands.preprocessing.normalizations import absent, altered_spec
from serve_app.commands.preprocessing.recipe import ROUNDING
from serve_app.commands.preprocessing.resampling import RESAMPLINGS


def card_changes(finding: Finding, spec: ImageSpec) -> str:
    """The lines of the card's ``image`` that would reproduce the tensor, as YAML; empty where none would change."""
    recipe = finding.best.recipe
    steps = {cause.step for cause in finding.causes if cause.largest > ROUNDING}
    changes: dict[str, object] = {}
    if "channel order" in steps:
        changes["color_order"] = recipe.color_order
    interpolation = RESAMPLINGS[recipe.resampling].in_a_card
    if interpolation and steps & {"antialias", "interpolation"}:
        changes["interpolation"] = interpolation
    altered = altered_spec(spec, recipe)
    if "mean/std" in steps:
        changes["mean"], changes["std"] = ([float(f"{each:.6g}") for each in v] for v in (altered.mean, altered.std))
    if "value range" in steps:
        changes["scale"] = float(f"{altered.scale:.8g}")
    return yaml.safe_dump({"image": changes}, sort_keys=False, default_flow_style=None) if changes else ""


def beyond_a_card(finding: Finding, spec: ImageSpec) -> Iterator[str]:
    """Sentences on what no line of a card changes, or what is better left."""
    recipe = finding.best.recipe
    for cause in finding.causes:
        if cause.step == "EXIF":
            yield (
                "EXIF: the service turns every photo upright, and no card changes that. Train on upright photos: "
                "PIL.ImageOps.exif_transpose, where cv2.imread does it by itself."
            )
        elif cause.step in ("interpolation", "antialias") and not RESAMPLINGS[recipe.resampling].in_a_card:
            yield (
                f"{cause.step}: no card can say {cause.found}; train with {cause.card}, or live with "
                f"{cause.mean:.1f} grey levels on average."
            )
        elif cause.step == "reader":
            yield (
                f"reader: {cause.found} decodes this file to other pixels than the service, as it may with "
                "transparency, 16 bits or CMYK; convert the training pictures to plain RGB."
            )
        elif cause.step == "mean/std" and recipe.normalization == absent(spec):
            yield "mean/std: if the tensor was written before normalising, leave the card's mean and std as they are."
    for placement in finding.placement:
        if placement.step == "size":
            yield (
                f"size: this photo becomes {placement.found} pixels in the tensor, and {placement.card} by the card's "
                "image.resize."
            )
        else:
            yield f"{placement.step}: {placement.found}; the service pads {placement.card}."
