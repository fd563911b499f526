"""Where converted networks are kept between starts, and which of them no start will read again."""

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from deployments.models.checkpoints.weights_cache import cache_folder

SOURCES = [
    source for package in ("engines", "models") for source in (Path(__file__).parents[1] / package).rglob("*.py")
]
"""The code that a converted network depends on."""
PACKAGES = ("openvino", "torch", "torchvision")
"""What it depends on besides."""


def converted_folder() -> Path:
    """For what this code and these versions convert: another's would give wrong answers."""
    return _root() / _identity()


def outdated_folders() -> list[Path]:
    """What other code or other versions left in the cache."""
    root = _root()
    return sorted(path for path in root.iterdir() if path != converted_folder()) if root.is_dir() else []


def _root() -> Path:
    return cache_folder() / "openvino"


@cache
def _identity() -> str:
    digest = hashlib.sha256()
    for package in PACKAGES:
        try:
            digest.update(f"{package} {version(package)}".encode())
        except PackageNotFoundError:
            continue
    for source in sorted(SOURCES):
        digest.update(source.read_bytes())
    return digest.hexdigest()
