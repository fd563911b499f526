"""The training loop that all models share: one-cycle AdamW, weights averaged over time, checkpoints that resume."""

import argparse
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset, Sampler

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
"""ImageNet's statistics in grey levels, RGB, as the pretrained backbone expects."""
WARM_UP = 0.1
"""Share of the schedule in which the learning rate rises to its peak; then it falls to zero along a cosine."""
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Loss(Protocol):
    """Turns a batch into named losses; their sum is minimised."""

    def __call__(self, model: Callable[[Tensor], Any], images: Tensor, targets: Any) -> dict[str, Tensor]: ...


class Draw(NamedTuple):
    """One sample of a training: which picture, and the number of the draw, which seeds what is done to it. So a sample
    is the same in whatever loader process it is made."""

    index: int
    number: int


def options(
    description: str, epochs: int, batch: int, learning_rate: float, arguments: list[str] | None = None, **own: int
) -> argparse.Namespace:
    """The command line of every training command; own: further whole numbers, by name with their defaults."""
    parser = argparse.ArgumentParser(description=description)
    begin = parser.add_mutually_exclusive_group(required=True)
    begin.add_argument("--backbone", type=Path, help="torchvision's mobilenet_v2-b0353104.pth, to begin anew")
    begin.add_argument("--start", type=Path, help="weights as they are served, to go on from")
    parser.add_argument("--epochs", type=int, default=epochs, help="the schedule's length, unless --minutes ends it")
    parser.add_argument("--minutes", type=float, default=math.inf, help="the schedule's length in time")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--learning-rate", type=float, default=learning_rate, help="its peak")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="of the network; losses are float32")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--workers", type=int, default=0, help="loader processes; 0: in the training's own")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    for name, default in own.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    found = parser.parse_args(arguments)
    torch.set_num_threads(found.threads)
    torch.manual_seed(found.seed)
    return found


def begin(model: nn.Module, arguments: argparse.Namespace, prefix: str = "") -> None:
    """Fill a model with the weights of ``--start``, of whose keys ``prefix`` marks its own; or its backbone with
    ImageNet's, whose classifier and last convolution are left out."""
    if arguments.start:
        state = load_file(arguments.start)
        model.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        return
    weights = torch.load(arguments.backbone, weights_only=True)
    model.backbone.load_state_dict({key: weights[key] for key in model.backbone.state_dict()})


def normalise(images: Tensor) -> Tensor:
    """uint8 [N, H, W, 3] RGB to normalised float [N, 3, H, W], channels last in memory."""
    mean, std = (torch.tensor(values, device=images.device).view(1, 3, 1, 1) for values in (MEAN, STD))
    return ((images.permute(0, 3, 1, 2).float() - mean) / std).contiguous(memory_format=torch.channels_last)


def collate(samples: list[tuple]) -> tuple[Tensor, list]:
    """Stack the pictures; keep the targets as a list."""
    return torch.from_numpy(np.stack([image for image, _ in samples])), [target for _, target in samples]


def moved(targets: Any, device: torch.device) -> Any:
    """A tuple of tensors on a device; what is no tensor stays as it is."""
    if isinstance(targets, Tensor):
        return targets.to(device, non_blocking=True)
    if isinstance(targets, tuple):
        return type(targets)(*(moved(part, device) for part in targets))
    return targets


def freeze_statistics(module: nn.Module) -> None:
    """Keep the pretrained batch-norm statistics: small batches would spoil them."""
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.eval()


@torch.no_grad()
def move_averages(averages: list[Tensor], currents: list[Tensor], updates: Tensor | int) -> None:
    """Exponential moving averages, all of one dtype, whose memory grows with their age, so that the first weights are
    soon forgotten; of whole numbers, as batch norms count with, the current ones. A GPU need not be waited for."""
    if not averages[0].is_floating_point():
        torch._foreach_copy_(averages, currents)
        return
    age = torch.as_tensor(updates, device=averages[0].device, dtype=averages[0].dtype)
    share = 1 - ((1 + age) / (10 + age)).clamp(max=0.998)
    torch._foreach_lerp_(averages, currents, [share] * len(averages))


def one_cycle(share: float) -> float:
    """The learning rate as a share of its peak, after a share of the schedule (Smith and Topin, 2018)."""
    if share < WARM_UP:
        return 0.04 + 0.96 * share / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (share - WARM_UP) / (1 - WARM_UP))))


class EpochSampler(Sampler[Draw]):
    """Each epoch from its own seed, so that a resumed run draws the same; with replacement where weights are given."""

    def __init__(self, length: int, seed: int, weights: Tensor | None = None, draws: int | None = None) -> None:
        self.length, self.seed, self.weights, self.epoch = length, seed, weights, 0
        self.draws = draws or length

    def __len__(self) -> int:
        return self.draws

    def __iter__(self) -> Iterator[Draw]:
        generator = torch.Generator().manual_seed(self.seed * 1000 + self.epoch)
        if self.weights is None:
            indices = torch.randperm(self.length, generator=generator)[: self.draws]
        else:
            indices = torch.multinomial(self.weights, self.draws, True, generator=generator)
        for k, index in enumerate(indices.tolist()):
            yield Draw(index, self.epoch * self.draws + k)


def one_thread(_worker: int) -> None:
    """For loader processes, of which there are as many as cores."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


class Training:
    """A model that learns: its optimizer, its average over time, and how long it has been at it."""

    def __init__(self, model: nn.Module, loss: Loss, arguments: argparse.Namespace) -> None:
        self.model = model.to(arguments.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.loss, self.arguments, self.precision = loss, arguments, PRECISIONS[arguments.precision]
        learning = [(name.startswith("backbone"), p) for name, p in model.named_parameters() if p.requires_grad]
        backbone, rest = ([p for inside, p in learning if inside is wanted] for wanted in (True, False))
        groups = [{"params": backbone, "share": 0.3}, {"params": rest, "share": 1.0}]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.02, fused=arguments.device.type == "cuda")
        self.averaged = AveragedModel(model, multi_avg_fn=move_averages, use_buffers=True)
        self.epoch, self.started = 0, time.monotonic()

    @property
    def minutes(self) -> float:
        """Spent, over all resumed runs."""
        return (time.monotonic() - self.started) / 60

    def resume(self, checkpoint: Path) -> None:
        """Go on where a run with the same schedule ended."""
        state = torch.load(checkpoint, weights_only=True, map_location=self.arguments.device)
        for part, saved in ((self.model, "model"), (self.optimizer, "optimizer"), (self.averaged, "averaged")):
            part.load_state_dict(state[saved])
        self.epoch, self.started = state["epoch"], time.monotonic() - state["minutes"] * 60

    def save(self, checkpoint: Path) -> None:
        """Write all of it, whole or not at all."""
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        state |= {"averaged": self.averaged.state_dict(), "epoch": self.epoch, "minutes": self.minutes}
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").replace(checkpoint)

    def step(self, images: Tensor, targets: Any, share: float) -> dict[str, Tensor]:
        """Learn from a batch, after a share of the schedule; returns the named losses, still on the device: a GPU that
        is asked for each waits for the next batch."""
        device = self.arguments.device
        for group in self.optimizer.param_groups:
            group["lr"] = self.arguments.learning_rate * group["share"] * one_cycle(share)
        losses = self.loss(self._run, normalise(moved(images, device)), moved(targets, device))
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
        self.optimizer.step()
        self.averaged.update_parameters(self.model)
        return {key: value.detach() for key, value in losses.items()}

    def _run(self, images: Tensor) -> Any:
        with torch.autocast(images.device.type, self.precision, enabled=self.precision != torch.float32):
            return self.model(images)


def train(
    name: str,
    model: nn.Module,
    pictures: Dataset,
    loss: Loss,
    arguments: argparse.Namespace,
    sampler: EpochSampler,
    collate: Callable[[list], Any] = collate,
) -> nn.Module:
    """Train until the schedule's end, resuming from ``runs/NAME.pt`` if it is there; return the averaged model."""
    training = Training(model, loss, arguments)
    checkpoint = arguments.runs / f"{name}.pt"
    if checkpoint.exists():
        training.resume(checkpoint)
    loader = DataLoader(
        pictures,
        arguments.batch,
        sampler=sampler,
        collate_fn=collate,
        drop_last=True,
        num_workers=arguments.workers,
        worker_init_fn=one_thread,
        pin_memory=arguments.device.type == "cuda",
        persistent_workers=arguments.workers > 0,
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn()) as progress:
        while training.epoch < arguments.epochs and training.minutes < arguments.minutes:
            sampler.epoch = training.epoch
            model.train()
            freeze_statistics(model.backbone)
            title = f"{name} epoch {training.epoch + 1}/{arguments.epochs}"
            sums: dict[str, Tensor] = {}
            for step, (images, targets) in enumerate(progress.track(loader, description=title)):
                share = max(
                    (training.epoch + step / len(loader)) / arguments.epochs, training.minutes / arguments.minutes
                )
                if share >= 1:
                    break
                losses = training.step(images, targets, share)
                sums = {key: sums.get(key, 0) + value for key, value in losses.items()}
                steps = step + 1
            means = "  ".join(f"{key} {float(value) / steps:.4f}" for key, value in sums.items())
            progress.console.print(f"{title}: {means}")
            training.epoch += 1
            training.save(checkpoint)
    return training.averaged.module.eval()
