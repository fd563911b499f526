"""Picture files, one target a format."""

import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.fuzzing.target import Target, WrongAnswer
from deployments.imaging.decode import ImageError, decode, exif_orientation, read_header

MAX_PIXELS = 1_000_000
EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"


def picture(width: int = 16, height: int = 16) -> Image.Image:
    """A few edges and a gradient."""
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([rows * 9 % 256, columns * 7 % 256, (rows ^ columns) * 5 % 256], 2).astype("u1"))


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    """The file."""
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def jpeg() -> Target:
    """Baseline, progressive, CMYK, grey, with restarts, with EXIF and a profile."""
    image = picture()
    return Target(
        {
            "baseline": encoded(image, "JPEG"),
            "progressive": encoded(image, "JPEG", progressive=True, subsampling=2),
            "cmyk": encoded(image.convert("CMYK"), "JPEG"),
            "grey": encoded(image.convert("L"), "JPEG"),
            "restarts": encoded(image, "JPEG", restart_marker_blocks=1),
            "metadata": encoded(image, "JPEG", exif=EXIF, icc_profile=bytes(200), comment=b"none"),
        },
        check_picture,
    )


def png() -> Target:
    """Every colour type and depth that Pillow writes, and an animation."""
    image = picture()
    grey = image.convert("L")
    return Target(
        {
            "rgb": encoded(image, "PNG", icc_profile=bytes(200), exif=EXIF),
            "rgba": encoded(image.convert("RGBA"), "PNG"),
            "grey": encoded(grey, "PNG", transparency=9),
            "grey_alpha": encoded(grey.convert("LA"), "PNG"),
            "deep": encoded(Image.fromarray(np.asarray(grey).astype("u2") * 257), "PNG"),
            "palette": encoded(image.quantize(16), "PNG", bits=4, transparency=3),
            "bits": encoded(grey.convert("1"), "PNG"),
            "animated": encoded(image, "PNG", save_all=True, append_images=[image.rotate(90)]),
        },
        check_png,
    )


def webp() -> Target:
    """Lossy, lossless, with alpha, animated."""
    image = picture()
    return Target(
        {
            "lossy": encoded(image, "WEBP", exif=EXIF),
            "lossless": encoded(image, "WEBP", lossless=True),
            "alpha": encoded(image.convert("RGBA"), "WEBP"),
            "animated": encoded(image, "WEBP", save_all=True, append_images=[image.rotate(90)]),
        },
        check_picture,
    )


def gif() -> Target:
    """Still, transparent, animated, interlaced."""
    image = picture().quantize(16)
    return Target(
        {
            "still": encoded(image, "GIF"),
            "transparent": encoded(image, "GIF", transparency=3),
            "interlaced": encoded(image, "GIF", interlace=1),
            "animated": encoded(image, "GIF", save_all=True, append_images=[image.rotate(90)], duration=40),
        },
        check_picture,
    )


def bmp() -> Target:
    """24 and 32 bits, a palette, run lengths."""
    image = picture()
    grey = encoded(image.convert("L"), "BMP")
    runs = b"\x10\x05\0\0" * 16 + b"\0\1"
    start = int.from_bytes(grey[10:14], "little")
    return Target(
        {
            "rgb": encoded(image, "BMP"),
            "rgba": encoded(image.convert("RGBA"), "BMP"),
            "palette": encoded(image.quantize(16), "BMP"),
            "bits": encoded(image.convert("1"), "BMP"),
            "run_lengths": grey[:30] + (1).to_bytes(4, "little") + grey[34:start] + runs,
        },
        check_picture,
    )


def tiff() -> Target:
    """Every compression that libtiff has here, several modes, several pages."""
    image = picture()
    kinds = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    return Target(
        {
            **{kind: encoded(image, "TIFF", compression=kind) for kind in kinds},
            "group4": encoded(image.convert("1"), "TIFF", compression="group4"),
            "deep": encoded(Image.fromarray(np.asarray(image.convert("L")).astype("u2") * 257), "TIFF"),
            "palette": encoded(image.quantize(16), "TIFF"),
            "pages": encoded(image, "TIFF", save_all=True, append_images=[image.rotate(90)]),
            "tiles": encoded(image, "TIFF", compression="tiff_lzw", tiffinfo={322: 16, 323: 16}),
        },
        check_picture,
    )


def avif() -> Target:
    """Still, with alpha, a sequence."""
    image = picture()
    return Target(
        {
            "still": encoded(image, "AVIF", speed=10),
            "alpha": encoded(image.convert("RGBA"), "AVIF", speed=10, exif=EXIF),
            "sequence": encoded(image, "AVIF", speed=10, save_all=True, append_images=[image.rotate(90)]),
        },
        check_picture,
    )


def heic() -> Target:
    """A still picture and one with alpha."""
    import pillow_heif

    made = {}
    for mode in ("RGB", "RGBA"):
        image, buffer = picture(64, 64).convert(mode), BytesIO()
        pillow_heif.from_bytes(mode, image.size, image.tobytes()).save(buffer, quality=50)
        made[mode.lower()] = buffer.getvalue()
    return Target(made, check_picture)


def check_picture(data: bytes) -> None:
    """A picture within the limit, or an ImageError."""
    with suppress(ImageError):
        read_header(data)
        exif_orientation(data)
    try:
        pixels = decode(data, MAX_PIXELS)
    except ImageError:
        return
    if pixels.dtype != np.uint8 or pixels.shape[2:] != (3,) or not 0 < pixels.size <= 3 * MAX_PIXELS:
        raise WrongAnswer(f"{pixels.dtype} {pixels.shape}")


def check_png(data: bytes) -> None:
    """With checksums that fit, too, which no mutation hits upon."""
    check_picture(data)
    check_picture(b"".join([data[:8], *_with_checksums(data)]))


def _with_checksums(data: bytes) -> Iterator[bytes]:
    position = 8
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4])
        body = data[position + 4 : end]
        yield data[position : position + 4] + body + zlib.crc32(body).to_bytes(4)
        position = end + 4
