"""Put trained weights where they are served from: ``python -m training.export [face_mask|solov2_people]``.

Reads the checkpoints in ``runs/``, also while a training goes on.
"""

import argparse
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file, save_file
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


def mixed(before: Tensor | None, trained: Tensor, share: float) -> Tensor:
    """On the line between two sets of weights of one training: what it has learnt anew, without all that it forgot
    (WiSE-FT, Wortsman et al., CVPR 2022)."""
    return trained if before is None or share == 1 else torch.lerp(before, trained, share)


def main() -> None:
    """Write the embedded files whose trainings have a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", choices=[*FILES, "all"], default="all", help="of the model")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--weights", choices=["last", "averaged"], default="averaged")
    parser.add_argument("--share", type=float, default=1.0, help="of the trained weights; the rest stays as it was")
    arguments = parser.parse_args()
    for name in FILES if arguments.name == "all" else [arguments.name]:
        target = EMBEDDED / f"{name}.safetensors"
        checkpoints = {prefix: arguments.runs / f"{training}.pt" for prefix, training in FILES[name].items()}
        trained = {prefix: path for prefix, path in checkpoints.items() if path.exists()}
        if not trained or (len(trained) < len(checkpoints) and not target.exists()):
            missing = [path.name for path in checkpoints.values() if not path.exists()]
            print(f"{name}: not written, no {', '.join(missing)}")
            continue
        there = load_file(target) if target.exists() else {}
        # A part that was not trained stays as it is.
        weights = dict(there) if len(trained) < len(checkpoints) else {}
        for prefix, path in trained.items():
            for key, value in weights_of(path, arguments.weights).items():
                if not key.endswith("num_batches_tracked"):
                    weights[prefix + key] = mixed(there.get(prefix + key), value.contiguous(), arguments.share)
        save_file(weights, target)
        print(f"{target.name}: {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
