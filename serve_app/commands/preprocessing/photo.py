"""One photo as the usual libraries read it."""

from io import BytesIO
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from deployments.imaging.decode import decode, exif_orientation, upright

Pixels = NDArray[np.uint8]
Reader = Literal["maskgraph", "opencv", "pillow"]
Orientation = Literal["upright", "stored"]

OPPOSITE_TURN = {6: 8, 8: 6}
"""The orientations whose correction is not its own inverse."""


class CannotRead(Exception):
    """A library does not read this photo; the message says which and why."""


class Photo:
    """An encoded photo, checked and decoded once as the service does it; other readers run when asked."""

    def __init__(self, data: bytes, max_pixels: int) -> None:
        """Raises ImageError as ``decode``, whose limits hold before any other library sees the data."""
        self.served = decode(data, max_pixels)
        self.orientation = exif_orientation(data)
        self._data = data
        self._read: dict[tuple[Reader, Orientation], Pixels] = {("maskgraph", "upright"): self.served}

    @property
    def is_turned(self) -> bool:
        """Whether the file asks for a rotation or reflection, so that ignoring its EXIF shows."""
        return self.orientation in range(2, 9)

    def pixels(self, reader: Reader, orientation: Orientation) -> Pixels:
        """RGB uint8 [H, W, 3] as a library reads it, with the EXIF orientation applied or as stored.

        Raises CannotRead.
        """
        if (reader, orientation) not in self._read:
            self._read[reader, orientation] = self._decode(reader, orientation)
        return self._read[reader, orientation]

    def _decode(self, reader: Reader, orientation: Orientation) -> Pixels:
        try:
            if reader == "opencv":
                return _with_opencv(self._data, orientation)
            if reader == "pillow":
                return _with_pillow(self._data, orientation)
        except Exception as error:  # each library has errors of its own, and the service could read the photo
            raise CannotRead(f"{reader} does not read this photo") from error
        return np.ascontiguousarray(upright(self.served, OPPOSITE_TURN.get(self.orientation, self.orientation)))


def _with_opencv(data: bytes, orientation: Orientation) -> Pixels:
    flags = cv2.IMREAD_COLOR if orientation == "upright" else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise ValueError("cv2.imdecode returned None")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def _with_pillow(data: bytes, orientation: Orientation) -> Pixels:
    image: Image.Image = Image.open(BytesIO(data))
    if orientation == "upright":
        image = ImageOps.exif_transpose(image)
    return np.array(image.convert("RGB"))
