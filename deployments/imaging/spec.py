"""How a model wants its input: the resize rule, colour order and normalisation that it was trained with."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt

Interpolation = Literal["opencv_bilinear", "antialiased_bilinear", "bilinear"]

PositiveFinite = Annotated[float, Field(gt=0, allow_inf_nan=False)]
# strict mode alone would refuse the lists that YAML gives
Mean = Annotated[tuple[FiniteFloat, FiniteFloat, FiniteFloat], Field(strict=False)]
Std = Annotated[tuple[PositiveFinite, PositiveFinite, PositiveFinite], Field(strict=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class KeepRatio(_Strict):
    """As large as fits both sides, ratio kept, small pictures enlarged."""

    rule: Literal["keep_ratio"]
    short_side: PositiveInt
    long_side: PositiveInt
    rounding: Literal["nearest", "down"] = "nearest"
    """To whole pixels: mmdetection's is the nearest, torchvision's down."""

    def apply(self, height: int, width: int) -> tuple[int, int]:
        scale = min(self.long_side / max(height, width), self.short_side / min(height, width))
        half = 0.5 if self.rounding == "nearest" else 0.0
        return int(height * scale + half), int(width * scale + half)


class MaxSide(_Strict):
    """Shrink to a largest side, ratio kept; smaller pictures stay as they are."""

    rule: Literal["max_side"]
    long_side: PositiveInt

    def apply(self, height: int, width: int) -> tuple[int, int]:
        scale = min(1.0, self.long_side / max(height, width))
        return int(height * scale + 0.5), int(width * scale + 0.5)


class Fixed(_Strict):
    """One size for every picture, ratio not kept."""

    rule: Literal["fixed"]
    height: PositiveInt
    width: PositiveInt

    def apply(self, height: int, width: int) -> tuple[int, int]:
        return self.height, self.width


class Shrink(_Strict):
    """Both sides times a factor, rounded down, as PaddleHub's ``shrink``."""

    rule: Literal["shrink"]
    factor: Annotated[float, Field(gt=0, le=1)]

    def apply(self, height: int, width: int) -> tuple[int, int]:
        return int(height * self.factor), int(width * self.factor)


class ImageSpec(_Strict):
    """The preprocessing of one model: input = (pixel * scale - mean) / std, then zero padding right and below."""

    color_order: Literal["rgb", "bgr"]
    resize: Annotated[KeepRatio | MaxSide | Fixed | Shrink, Field(discriminator="rule")]
    interpolation: Interpolation
    pad_multiple: PositiveInt = 1
    """Height and width are padded up to a multiple of this."""
    mean: Mean
    """Per channel, in the order of ``color_order``, in units of pixel * scale."""
    std: Std
    """Per channel, in the order of ``color_order``, in units of pixel * scale."""
    scale: PositiveFinite = 1.0
    """Factor on uint8 pixels before mean and std; 1/255 for models trained on [0, 1]."""

    def resized_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) in pixels that a picture of this size is resized to; each at least 1."""
        new_height, new_width = self.resize.apply(height, width)
        return max(1, new_height), max(1, new_width)

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) rounded up to ``pad_multiple``; the arguments are a resized picture's size."""
        multiple = self.pad_multiple
        return -(-height // multiple) * multiple, -(-width // multiple) * multiple
