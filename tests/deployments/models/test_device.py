import numpy as np
import torch

from deployments.imaging.spec import ImageSpec, KeepRatio
from deployments.models.device import Normalizer, choose_device, inside, stack

CPU = torch.device("cpu")


def spec(**changes: object) -> ImageSpec:
    values: dict[str, object] = {
        "color_order": "rgb",
        "resize": KeepRatio(rule="keep_ratio", short_side=8, long_side=8),
        "interpolation": "bilinear",
        "mean": (10.0, 20.0, 30.0),
        "std": (1.0, 2.0, 4.0),
    }
    return ImageSpec.model_validate(values | changes)


def test_mean_and_std_a_channel() -> None:
    pixel = torch.tensor([12, 24, 38], dtype=torch.uint8).view(1, 3, 1, 1)
    assert Normalizer(spec(), CPU)(pixel).flatten().tolist() == [2, 2, 2]


def test_bgr_models_get_blue_first() -> None:
    pixel = torch.tensor([38, 24, 12], dtype=torch.uint8).view(1, 3, 1, 1)
    assert Normalizer(spec(color_order="bgr"), CPU)(pixel).flatten().tolist() == [2, 2, 2]


def test_scale_comes_before_the_mean() -> None:
    normalize = Normalizer(spec(scale=1 / 255, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)), CPU)
    assert normalize(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)).flatten().tolist() == [1, 1, 1]


def test_stack_pads_right_and_below() -> None:
    images = [np.full((2, 3, 3), 7, np.uint8), np.full((4, 1, 3), 9, np.uint8)]
    batch = stack(images, 4, 5)
    assert batch.shape == (2, 3, 4, 5)
    assert batch.dtype == torch.uint8
    mask = inside([(2, 3), (4, 1)], 4, 5, CPU)
    assert torch.equal(batch[0, 0], mask[0, 0].to(torch.uint8) * 7)
    assert torch.equal(batch[1, 2], mask[1, 0].to(torch.uint8) * 9)


def test_auto_is_a_device_that_is_there() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == CPU
