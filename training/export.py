"""Put trained weights where they are served from: ``python -m training.export [face_mask|solov2_people]``.

Reads the checkpoints in ``runs/``, also while a training goes on.
"""

import argparse
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from deployments.models.card import EMBEDDED

FILES = {
    "face_mask": {"detector.": "face_detector", "classifier.": "mask_classifier"},
    "solov2_people": {"": "solov2_people"},
}
"""Embedded file -> prefix of its keys -> the training that made them."""


def weights_of(checkpoint: Path, which: Literal["last", "averaged"]) -> dict[str, Tensor]:
    """The weights of a training's checkpoint: the last step's, or their average over time."""
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    if which == "last":
        return dict(state["model"])
    return {key.removeprefix("module."): value for key, value in state["averaged"].items() if key.startswith("module.")}


def main() -> None:
    """Write the embedded files whose trainings have a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", choices=[*FILES, "all"], default="all", help="of the model")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--weights", choices=["last", "averaged"], default="averaged")
    arguments = parser.parse_args()
    for name in FILES if arguments.name == "all" else [arguments.name]:
        parts = FILES[name]
        checkpoints = {prefix: arguments.runs / f"{training}.pt" for prefix, training in parts.items()}
        missing = [path.name for path in checkpoints.values() if not path.exists()]
        if missing:
            print(f"{name}: not written, no {', '.join(missing)}")
            continue
        weights = {
            prefix + key: value.contiguous()
            for prefix, path in checkpoints.items()
            for key, value in weights_of(path, arguments.weights).items()
            if not key.endswith("num_batches_tracked")
        }
        target = EMBEDDED / f"{name}.safetensors"
        save_file(weights, target)
        print(f"{target.name}: {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
