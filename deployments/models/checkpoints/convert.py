"""From a foreign checkpoint to a model card and safetensors that this service loads."""

from pathlib import Path

import yaml
from safetensors.torch import save_file

from deployments.models.card import ModelCard
from deployments.models.coco import CLASSES
from deployments.models.solov2.checkpoints import Checkpoint, read_checkpoint

FAMILIES = {
    "maskgraph": "this project",
    "mmdetection": "mmdetection",
    "solo": "the original SOLO repository",
    "paddledetection": "PaddleDetection",
}


def convert(source: Path, target: Path, name: str, licence: str) -> ModelCard:
    """Write a SOLOv2 checkpoint as safetensors at ``target``, and its model card beside it with the suffix ``.yaml``.

    Raises ValueError where the source is no checkpoint that ``read_checkpoint`` reads, the name is not one that a card
    may have, or the target does not end in ``.safetensors``; OSError where a file cannot be read or written.
    """
    if target.suffix != ".safetensors":
        raise ValueError(f"{target.name} does not end in .safetensors")
    checkpoint = read_checkpoint(source)
    architecture = checkpoint.architecture
    card = ModelCard(
        name=name,
        version="1",
        task="instance_segmentation",
        architecture="solov2",
        network=architecture.model_dump(mode="json", exclude_defaults=True),
        weights=target.name,
        labels=class_names(checkpoint),
        image=checkpoint.image_spec,
        thresholds={"score_threshold": 0.3},
        description=f"SOLOv2 ({architecture.backbone}), converted from {FAMILIES[checkpoint.kind]}'s {source.name}",
        licence=licence,
    )
    metadata = {"architecture": architecture.model_dump_json(), "image": checkpoint.image_spec.model_dump_json()}
    save_file(checkpoint.state, target, metadata)
    text = yaml.safe_dump(card.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True)
    target.with_suffix(".yaml").write_text(text, encoding="utf-8")
    return card


def class_names(checkpoint: Checkpoint) -> tuple[str, ...]:
    """As the checkpoint states them; COCO's where it has 80 classes, else ``class 0``, ``class 1``, ..."""
    count = checkpoint.architecture.classes
    if len(checkpoint.labels) == count:
        return checkpoint.labels
    return CLASSES if count == len(CLASSES) else tuple(f"class {i}" for i in range(count))
