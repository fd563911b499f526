"""What one request may make us hold, whatever its protocol."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may send."""

    max_body_bytes: int
    """Also after gzip is undone."""
    max_images: int
    max_pixels: int
    """Width times height of one image."""
