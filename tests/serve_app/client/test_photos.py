from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from deployments.imaging.decode import decode
from serve_app.client.photos import Colors, photo_file, upright
from tests.photos import astronaut, jpeg

PIXELS: NDArray[np.uint8] = np.ascontiguousarray(astronaut()[:60, :40])
ORIENTATION = 0x0112


def seen(photo: Any, colors: Colors | None = None) -> NDArray[np.uint8]:
    """The pixels that the service makes of what it gets: RGB [H, W, 3]."""
    return decode(photo_file(photo, colors).data, 10**6)


def turned(orientation: int) -> bytes:
    """A JPEG of a camera that was held so."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", exif=exif)
    return file.getvalue()


def test_files_go_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a photo.jpg"
    path.write_bytes(jpeg(PIXELS))
    assert photo_file(path, None) == photo_file(str(path), None) == ("a photo.jpg", jpeg(PIXELS))
    assert photo_file(jpeg(PIXELS), None) == (None, jpeg(PIXELS))


def test_a_name_that_is_no_unicode(tmp_path: Path) -> None:
    path = tmp_path / b"caf\xe9.jpg".decode(errors="surrogateescape")
    path.write_bytes(b"...")
    assert photo_file(path, None).name == "caf\ufffd.jpg"


def test_arrays_lose_nothing() -> None:
    np.testing.assert_array_equal(seen(PIXELS, "RGB"), PIXELS)
    np.testing.assert_array_equal(seen(PIXELS[..., ::-1], "BGR"), PIXELS)
    np.testing.assert_array_equal(seen(PIXELS[::2, ::3], "RGB"), PIXELS[::2, ::3])
    grey = np.ascontiguousarray(PIXELS[..., 0])
    np.testing.assert_array_equal(seen(grey), np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize("colors", [None, "rgb"])
def test_the_colour_order_of_an_array_must_be_stated(colors: Any) -> None:
    with pytest.raises(ValueError, match="colors='BGR'"):
        photo_file(PIXELS, colors)


@pytest.mark.parametrize(
    "pixels",
    [PIXELS / 255, PIXELS[..., :2], PIXELS.astype(np.uint16), PIXELS[None], np.dstack([PIXELS, PIXELS]), PIXELS[:0]],
)
def test_other_arrays_are_refused(pixels: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match=r"pixels are uint8 \[H, W, 3\] or \[H, W\], not"):
        photo_file(pixels, "RGB")


def test_what_is_no_photo() -> None:
    with pytest.raises(TypeError, match="not int"):
        photo_file(3, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_file_its_bytes_and_its_pillow_image_are_one_photo(orientation: int, tmp_path: Path) -> None:
    data = turned(orientation)
    path = tmp_path / "turned.jpg"
    path.write_bytes(data)
    by_file = seen(path)
    assert by_file.shape[:2] == ((60, 40) if orientation < 5 else (40, 60))
    with Image.open(path) as image:
        assert photo_file(image, None).name == "turned.jpg"
        np.testing.assert_allclose(seen(image).astype(int), by_file, atol=2)  # two JPEG decoders
        np.testing.assert_array_equal(upright(image, None), seen(image))
    np.testing.assert_array_equal(upright(data, None), upright(path, None))


def test_a_pillow_image_that_was_turned_already_stays() -> None:
    with Image.open(BytesIO(turned(6))) as image:
        before = ImageOps.exif_transpose(image)
    np.testing.assert_array_equal(seen(before), np.asarray(before))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F", "HSV"])
def test_pillow_images_of_any_mode(mode: str) -> None:
    image = Image.fromarray(PIXELS).convert("L" if mode in ("I;16", "F") else "RGB").convert(mode)
    assert seen(image).shape == (60, 40, 3)


@pytest.mark.parametrize("exif", [b"", b"Exif\0\0broken"])
def test_xmp_turns_nothing_nor_does_broken_exif(exif: bytes) -> None:
    written = PngInfo()
    written.add_itxt("XML:com.adobe.xmp", '<rdf:Description tiff:Orientation="6"/>')
    file = BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG", pnginfo=written, exif=exif)
    for photo in (file.getvalue(), Image.open(file)):
        np.testing.assert_array_equal(seen(photo), PIXELS)
        np.testing.assert_array_equal(upright(photo, None), PIXELS)


def test_what_is_transparent_lies_on_white() -> None:
    image = Image.fromarray(PIXELS).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    for photo in (image, image.quantize()):
        np.testing.assert_allclose(upright(photo, None).astype(int), seen(photo), atol=1)


def test_a_tiff_is_turned_once(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(PIXELS).save(tmp_path / "turned.tiff", exif=exif)
    with Image.open(tmp_path / "turned.tiff") as image:
        np.testing.assert_array_equal(seen(image), seen(tmp_path / "turned.tiff"))
