"""AVIF, decoded by Pillow, and HEIC, decoded by pillow-heif where it is installed."""

from io import BytesIO

import numpy as np
from PIL import AvifImagePlugin
from PIL.ImageFile import ImageFile

from deployments.imaging.decode.av1 import measure_av1
from deployments.imaging.decode.errors import ImageTooLarge, UnreadableImage, UnsupportedFormat
from deployments.imaging.decode.isobmff import Item, read_container
from deployments.imaging.decode.picture import Pixels
from deployments.imaging.decode.raster import RasterPicture, to_rgb

MAX_FRAMES = 16
"""Layers of one picture. A decoder works through all that an item holds before it gives one out."""

_METADATA = (b"Exif", b"mime", b"uri ")
_CODED = (b"av01", b"hvc1")

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # pictures are decoded side by side already


class HeifPicture(RasterPicture):
    """The primary picture of an AVIF or HEIC file, of a sequence its still picture.

    Turned by the container's own irot and imir, as ISO/IEC 23008-12 has it: EXIF says there what was done already.
    """

    def __init__(self, data: bytes) -> None:
        """Raises UnreadableImage, UnsupportedFormat."""
        self._container = read_container(data)
        self._data = data
        kinds = {item.kind for item in self._pictures()}
        hidden = [item.kind_at for item in self._container.items.values() if item.kind in _METADATA]
        if kinds == {b"av01"}:
            plugin: type[ImageFile] = AvifImagePlugin.AvifImageFile
            data = data[:8] + b"avif" + data[12:]  # of a sequence the still picture, whose size is known here
        elif kinds == {b"hvc1"}:
            plugin = _heic_plugin()
        else:
            raise UnsupportedFormat("of HEIF containers, AVIF and HEIC of one picture or a grid are read; save as JPEG")
        super().__init__(plugin(BytesIO(_hide(data, hidden))))

    def pixels(self, max_pixels: int) -> Pixels:
        if sum(part.width * part.height for part in self._pictures()) > 2 * max_pixels:
            raise ImageTooLarge(f"the picture's tiles have more pixels together than the limit, {max_pixels}")
        for item in self._container.items.values():
            if item.kind in _CODED:
                self._check_frames(item)
        self._image.load()
        if self._image.mode == "I;16":
            return np.repeat((np.asarray(self._image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
        return to_rgb(self._image)

    def _pictures(self) -> list[Item]:
        """What the primary picture is decoded from."""
        primary, items = self._container.primary, self._container.items
        return [items[part] for part in primary.parts if part in items] if primary.kind == b"grid" else [primary]

    def _check_frames(self, item: Item) -> None:
        """A decoder takes a frame's size from the bitstream, whatever the container says (libheif compares them)."""
        data = item.data(self._data)
        if item.kind == b"av01":
            frames = measure_av1(data)
            if frames.width > item.width or frames.height > item.height:
                raise UnreadableImage("the AVIF data is corrupt: its frames are larger than it states")
            count = frames.count
        else:
            count = _count_hevc_pictures(data)
        if count > MAX_FRAMES:
            raise UnreadableImage(f"a still picture with more than {MAX_FRAMES} frames is not read")


def _heic_plugin() -> type[ImageFile]:
    try:
        from pillow_heif import options
        from pillow_heif.as_plugin import HeifImageFile
    except ImportError:
        raise UnsupportedFormat(
            "HEIC is read only by a service with pillow-heif (pip install 'maskgraph[heic]'); save as JPEG"
        ) from None
    options.DECODE_THREADS = 1
    return HeifImageFile


def _hide(data: bytes, kinds_at: list[int]) -> bytes:
    """The same bytes, with the items of these kinds under a name that decoders pass over."""
    changed = bytearray(data)
    for start in kinds_at:
        changed[start : start + 4] = b"free"
    return bytes(changed)


def _count_hevc_pictures(data: bytes) -> int:
    """First slices among the NAL units, which stand behind their lengths (ITU-T H.265, 7.3.1 and 7.3.6)."""
    position = count = 0
    while position + 7 <= len(data):
        kind, first_slice = data[position + 4] >> 1 & 63, data[position + 6] >> 7
        count += kind < 32 and first_slice
        position += 4 + int.from_bytes(data[position : position + 4])
    return count
