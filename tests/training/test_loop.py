import argparse
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import Dataset

from training.loop import Draw, EpochSampler, begin, moved, one_cycle, options, train


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 2, 1)
        self.head = nn.Conv2d(2, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self.backbone(images))
        return out


class Grey(Dataset):
    """Pictures of one grey, drawn from the number of the draw; the target is a tensor on its side of the loader."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, draw: Draw) -> tuple[np.ndarray, Tensor]:
        grey = draw.number * 37 % 256
        return np.full((4, 4, 3), grey, np.uint8), torch.tensor(grey / 255)


def brightness(model: nn.Module, images: Tensor, targets: list[Tensor]) -> dict[str, Tensor]:
    return {"brightness": (model(images).mean(dim=(1, 2, 3)) - torch.stack(targets)).square().mean()}


def arguments(runs: Path, *more: str) -> argparse.Namespace:
    return options("test", 4, 2, 1e-2, ["--start", "none", "--runs", str(runs), "--threads", "1", *more])


def run(runs: Path, *more: str) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return train("tiny", Tiny(), Grey(), brightness, arguments(runs, *more), EpochSampler(8, 0)).state_dict()


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_is_the_same_with_loader_processes(tmp_path: Path, workers: str) -> None:
    one, other = run(tmp_path / "one"), run(tmp_path / "other", "--workers", workers)
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_run_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(tmp_path / "whole")
    stopped = EpochSampler.__iter__

    def once(self: EpochSampler):  # type: ignore[no-untyped-def]
        if self.epoch == 2:
            raise KeyboardInterrupt
        return stopped(self)

    monkeypatch.setattr(EpochSampler, "__iter__", once)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts")
    monkeypatch.undo()
    parts = run(tmp_path / "parts")
    assert all(torch.allclose(whole[key].float(), parts[key].float()) for key in whole)


def test_time_ends_a_schedule(tmp_path: Path) -> None:
    run(tmp_path, "--minutes", "0")
    assert not (tmp_path / "tiny.pt").exists()


def test_bfloat16_is_for_the_network_only(tmp_path: Path) -> None:
    seen = set()

    def watching(model: nn.Module, images: Tensor, targets: list[Tensor]) -> dict[str, Tensor]:
        seen.update({images.dtype, model(images).dtype})
        return brightness(model, images, targets)

    setting = arguments(tmp_path, "--precision", "bfloat16", "--epochs", "1")
    train("tiny", Tiny(), Grey(), watching, setting, EpochSampler(8, 0))
    assert seen == {torch.float32, torch.bfloat16}


def test_the_learning_rate_rises_and_falls() -> None:
    shares = [one_cycle(k / 100) for k in range(101)]
    assert max(shares) == one_cycle(0.1) == 1
    assert shares[:11] == sorted(shares[:11])
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert math.isclose(shares[100], 0, abs_tol=1e-9)


def test_a_part_begins_with_its_own_of_the_served_weights(tmp_path: Path) -> None:
    file, wanted = tmp_path / "served.safetensors", Tiny()
    save_file({f"part.{key}": value for key, value in wanted.state_dict().items()} | {"x": torch.ones(1)}, file)
    model = Tiny()
    begin(model, argparse.Namespace(start=file, backbone=None), "part.")
    assert all(torch.equal(value, wanted.state_dict()[key]) for key, value in model.state_dict().items())


def test_epochs_draw_what_the_weights_say_and_number_their_draws() -> None:
    sampler = EpochSampler(3, 0, torch.tensor([0.0, 1.0, 0.0]), draws=4)
    sampler.epoch = 2
    assert list(sampler) == [Draw(1, 8), Draw(1, 9), Draw(1, 10), Draw(1, 11)]


def test_tensors_move_and_stay_what_they_were_in() -> None:
    class Pair(NamedTuple):
        tensor: Tensor
        name: str

    there = moved(Pair(torch.zeros(1), "name"), torch.device("meta"))
    assert isinstance(there, Pair)
    assert (there.tensor.device.type, there.name) == ("meta", "name")
