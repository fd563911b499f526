"""What one request may make us hold, whatever its protocol, and what all may together."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The defaults are those of the settings."""

    max_body_bytes: int = 64 * 1024 * 1024
    """Also after gzip is undone."""
    max_images: int = 64
    """Of one request."""
    max_pixels: int = 50_000_000
    """Width times height of one image."""
    upload_timeout_s: float = 20.0
    """In which a body must have come in."""
    bytes_in_flight: int = 512 * 1024 * 1024
    """Of all the bodies that one server holds at once."""
