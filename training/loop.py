"""The training loop that all models share: one-cycle AdamW, weights averaged over time, checkpoints that resume."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset, Sampler

MEAN = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1)
STD = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1)
"""ImageNet's statistics in grey levels, RGB, as the pretrained backbone expects."""


class Loss(Protocol):
    """Turns a batch into named losses; their sum is minimised."""

    def __call__(self, model: nn.Module, images: Tensor, targets: list) -> dict[str, Tensor]: ...


def options(description: str, epochs: int, batch: int, **own: int) -> argparse.Namespace:
    """The command line of every training command; own: further whole numbers, by name with their defaults."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the checkpoints")
    parser.add_argument("--backbone", type=Path, required=True, help="torchvision's mobilenet_v2-b0353104.pth")
    parser.add_argument("--seed", type=int, default=0)
    for name, default in own.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    return arguments


def load_backbone(backbone: nn.Module, path: Path) -> None:
    """Put ImageNet weights into a ``MobileNetV2``; its classifier and last convolution are left out."""
    weights = torch.load(path, weights_only=True)
    wanted = backbone.state_dict()
    backbone.load_state_dict({key: weights[key] for key in wanted})


def normalise(images: Tensor) -> Tensor:
    """uint8 [N, H, W, 3] RGB to normalised float [N, 3, H, W], channels last in memory."""
    return ((images.permute(0, 3, 1, 2).float() - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def collate(samples: list[tuple]) -> tuple[Tensor, list]:
    """Stack the pictures; keep the targets as a list."""
    return torch.from_numpy(np.stack([image for image, _ in samples])), [target for _, target in samples]


def freeze_statistics(module: nn.Module) -> None:
    """Keep the pretrained batch-norm statistics: small batches would spoil them."""
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.eval()


def moving_average(average: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
    """Exponential moving average whose memory grows with its age, so that the first weights are soon forgotten."""
    decay = min(0.998, (1 + float(updates)) / (10 + float(updates)))
    return average * decay + current * (1 - decay) if average.is_floating_point() else current


class EpochSampler(Sampler[int]):
    """Each epoch from its own seed, so that a resumed run draws the same; with replacement where weights are given."""

    def __init__(self, length: int, seed: int, weights: Tensor | None = None, draws: int | None = None) -> None:
        self.length, self.seed, self.weights, self.epoch = length, seed, weights, 0
        self.draws = draws or length

    def __len__(self) -> int:
        return self.draws

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.seed * 1000 + self.epoch)
        if self.weights is None:
            yield from torch.randperm(self.length, generator=generator)[: self.draws].tolist()
        else:
            yield from torch.multinomial(self.weights, self.draws, True, generator=generator).tolist()


def train(
    name: str,
    model: nn.Module,
    pictures: Dataset,
    loss: Loss,
    arguments: argparse.Namespace,
    learning_rate: float,
    sampler: EpochSampler,
    after_epoch: Callable[[nn.Module, int], None] | None = None,
) -> nn.Module:
    """Train until the schedule's end, resuming from ``runs/NAME.pt`` if it is there; return the averaged model."""
    model = model.to(memory_format=torch.channels_last)
    loader = DataLoader(pictures, arguments.batch, sampler=sampler, collate_fn=collate, drop_last=True)
    steps = arguments.epochs * len(loader)
    backbone = [p for n, p in model.named_parameters() if n.startswith("backbone") and p.requires_grad]
    rest = [p for n, p in model.named_parameters() if not n.startswith("backbone") and p.requires_grad]
    optimizer = torch.optim.AdamW([{"params": backbone}, {"params": rest}], lr=learning_rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [learning_rate * 0.3, learning_rate], steps, pct_start=0.1
    )
    averaged = AveragedModel(model, avg_fn=moving_average, use_buffers=True)
    checkpoint = arguments.runs / f"{name}.pt"
    first_epoch = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        for part, saved in ((model, "model"), (optimizer, "optimizer"), (averaged, "averaged")):
            part.load_state_dict(state[saved])
        first_epoch = state["epoch"]
        # Stepped there rather than loaded, so that a resumed run may have another number of epochs.
        for _ in range(first_epoch * len(loader)):
            schedule.step()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn()) as progress:
        for epoch in range(first_epoch, arguments.epochs):
            sampler.epoch = epoch
            model.train()
            freeze_statistics(model.backbone)
            bar = progress.add_task(f"{name} epoch {epoch + 1}/{arguments.epochs}", total=len(loader))
            sums: dict[str, float] = {}
            for images, targets in loader:
                losses = loss(model, normalise(images), targets)
                optimizer.zero_grad(set_to_none=True)
                sum(losses.values()).backward()
                nn.utils.clip_grad_norm_(model.parameters(), 10.0)
                optimizer.step()
                schedule.step()
                averaged.update_parameters(model)
                for key, value in losses.items():
                    sums[key] = sums.get(key, 0.0) + float(value.detach())
                progress.advance(bar)
            means = "  ".join(f"{key} {value / len(loader):.4f}" for key, value in sums.items())
            progress.console.print(f"{name} epoch {epoch + 1}: {means}")
            state = {"epoch": epoch + 1, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
            state["averaged"] = averaged.state_dict()
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            torch.save(state, checkpoint.with_suffix(".new"))
            checkpoint.with_suffix(".new").replace(checkpoint)
            if after_epoch:
                after_epoch(averaged.module.eval(), epoch)
    return averaged.module.eval()
