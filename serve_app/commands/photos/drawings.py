"""Where the drawn pictures go."""

import base64
from collections.abc import Sequence
from pathlib import Path

from serve_app.commands.photos.find import FoundPhoto

SUFFIXES = {"jpeg": (".jpg", ".jpeg"), "png": (".png",)}


def check_drawings(photos: Sequence[FoundPhoto], folder: Path) -> None:
    """Raise ValueError where a drawing would take the place of a photo, or of another drawing."""
    resolved = folder.resolve()
    places: dict[Path, Path] = {}
    for photo in photos:
        if photo.path.resolve().is_relative_to(resolved):
            raise ValueError(f"{photo.path} lies in the folder of the drawings; name another one")
        other = places.setdefault(photo.place, photo.path)
        if other != photo.path:
            raise ValueError(f"the drawings of {other} and {photo.path} would be one file; draw them in two runs")


def save_drawing(uri: str, folder: Path, place: Path) -> None:
    """Write the picture of a data URI below a folder: the photo's own place there, its suffix where that fits."""
    head, _, data = uri.partition(",")
    suffixes = SUFFIXES[head.removeprefix("data:image/").removesuffix(";base64")]
    fits = place.suffix.lower() in suffixes
    target = folder / (place if fits else place.with_name(place.name + suffixes[0]))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(base64.b64decode(data))
