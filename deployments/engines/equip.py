"""Which engine the networks of a model run in."""

import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from deployments.engines.finite import finite
from deployments.engines.graphs import CudaCapture, Graphed
from deployments.engines.precision import autocast, check_precision
from deployments.engines.settings import EngineSettings

Example = tuple[nn.Module, tuple[Any, ...]]
"""A network in evaluation mode, and what it is called with: tensors, and lists, tuples or dicts of them."""

# The logger that Serve shows of a replica.
logger = logging.getLogger("ray.serve")


@torch.no_grad()
def equip(
    smaller: Sequence[Example], larger: Sequence[Example], device: torch.device, settings: EngineSettings, folder: Path
) -> int:
    """Let each network's forward pass run in its engine, and raise NotFinite for what is no number.

    Returns how many threads may call it at a time.

    smaller, larger: the same networks with inputs of two sizes: axes in which they differ are free. folder: keeps what
    is converted, of these weights and this code alone. Raises ValueError for a precision that the device lacks.
    """
    check_precision(settings.precision, device)
    converted = [False] * len(smaller)
    if device.type == "cpu" and settings.engine == "auto" and has_openvino():
        converted = _in_openvino(smaller, larger, settings, folder)
    capture = CudaCapture() if device.type == "cuda" and settings.engine == "auto" else None
    for (module, _), done in zip(smaller, converted, strict=True):
        if not done:
            module.forward = autocast(module, settings.precision, device)
        if capture is not None:
            module.forward = Graphed(module.forward, capture)
        module.forward = finite(module.forward)
    lanes = settings.lanes if converted and all(converted) else 1
    torch.set_num_threads(max(1, settings.threads // lanes))
    return lanes


def has_openvino() -> bool:
    """Whether it is installed: it has wheels for Linux, macOS and Windows on common CPUs only."""
    return importlib.util.find_spec("openvino") is not None


def _in_openvino(
    smaller: Sequence[Example], larger: Sequence[Example], settings: EngineSettings, folder: Path
) -> list[bool]:
    """Which of the networks OpenVINO runs from now on; of each other one, a log line says why not."""
    # here, as a GPU's replica loads none of it
    from deployments.engines.openvino_engine import accelerate
    from deployments.engines.store import Store

    store = Store(folder)
    done = []
    for index, ((module, example), (_, other)) in enumerate(zip(smaller, larger, strict=True)):
        try:
            module.forward = accelerate(module, example, other, settings, store, str(index))
            done.append(True)
        except Exception as error:  # of many kinds, as many as there are ways not to be converted
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            logger.warning("%s stays in eager torch: %s", type(module).__name__, reason)
            done.append(False)
    return done
