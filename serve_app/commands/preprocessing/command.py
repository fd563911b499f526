"""``maskgraph compare-preprocessing``."""

from pathlib import Path

from deployments.models.card import card_path, read_card
from deployments.models.load import load
from serve_app.commands.output import console_beside, write_json
from serve_app.commands.preprocessing.against import find
from serve_app.commands.preprocessing.compare import compare
from serve_app.commands.preprocessing.dump import read_dump
from serve_app.commands.preprocessing.photo import Photo
from serve_app.commands.preprocessing.picture import sheet
from serve_app.commands.preprocessing.report import comparison_json, finding_json, print_comparison, print_finding
from serve_app.settings import Settings

PICTURES = (".png", ".jpg", ".jpeg")


def compare_preprocessing(photo: Path, reference: str, drawing: Path | None, json: Path | None) -> None:
    """Print what the usual ways to prepare a photo change, draw them side by side, write the table as JSON.

    Raises ValueError for a photo or card that cannot be used, OSError for files.
    """
    if drawing and drawing.suffix.lower() not in PICTURES:
        raise ValueError(f"{drawing.name} is not a name for a picture; .png or .jpg")
    card = read_card(card_path(reference))
    encoded = Photo(photo.read_bytes(), Settings().max_pixels)
    comparison = compare(encoded, load(reference, card.task, "auto", None))
    print_comparison(console_beside(json), photo.name, card, comparison)
    if drawing:
        sheet(comparison).save(drawing, quality=65, optimize=True)
    write_json(json, comparison_json(card, comparison))


def compare_against(photo: Path, reference: str, file: Path, json: Path | None) -> bool:
    """Print which recipe made a tensor or picture of this photo; true if the card's own rule did.

    Raises as ``compare_preprocessing``, and UnusableDump.
    """
    card = read_card(card_path(reference))
    max_pixels = Settings().max_pixels
    finding = find(Photo(photo.read_bytes(), max_pixels), read_dump(file, max_pixels), card.image)
    print_finding(console_beside(json), file, card, finding)
    write_json(json, finding_json(card, finding))
    return finding.agrees
