"""What is wrong with a picture, in words fit for the client."""

from typing import ClassVar


class ImageError(ValueError):
    """A picture that cannot be used; the message is fit for the client, ``code`` for programs."""

    code: ClassVar[str] = "image_error"


class UnreadableImage(ImageError):
    """Empty, truncated or corrupt data."""

    code = "unreadable_image"


class UnsupportedFormat(ImageError):
    """Not one of the formats read here, or a kind of pixel that has no defined RGB value."""

    code = "unsupported_format"


class ImageTooLarge(ImageError):
    """More pixels than the limit allows."""

    code = "image_too_large"
