"""What a model card says of an ONNX file: which of its values are what, and in which form."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from deployments.models.card import ModelCard, Task

OutputName = Literal["boxes", "scores", "labels", "masks"]
BoxForm = Literal["xyxy", "yxyx", "xywh", "cxcywh"]
OUTPUTS: dict[Task, tuple[OutputName, ...]] = {
    "mask_detection": ("boxes", "scores", "labels"),
    "object_detection": ("boxes", "scores", "labels"),
    "instance_segmentation": ("boxes", "scores", "labels", "masks"),
}
"""What a network must answer for each task."""


class Network(BaseModel):
    """Arguments of this architecture in a model card."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: str
    """The file's name for the pictures."""
    outputs: dict[OutputName, str]
    """The file's names for what is found."""
    box_form: BoxForm = "xyxy"
    """Left, top, right, bottom; the same with top before left; left, top, width, height; or centre, width, height."""
    box_unit: Literal["pixels", "fraction"] = "pixels"
    """Of the network's input, padding counted in: its pixels, or fractions of its sides."""
    first_label: int = Field(default=0, ge=0)
    """The network's number of the card's first label: 1 where 0 is the background. What is below it is left out."""
    masks_over: Literal["picture", "box"] = "picture"
    """Whether each mask covers the network's whole input, or only its own box."""
    detections_per_image: int = Field(default=100, ge=1, le=1000)
    """Objects at most."""

    @model_validator(mode="after")
    def _boxes_are_there_for_masks_over_them(self) -> "Network":
        if self.masks_over == "box" and not {"boxes", "masks"} <= set(self.outputs):
            raise ValueError("masks_over: box needs the outputs masks and boxes")
        return self


def read_network(card: ModelCard) -> Network:
    """A card's arguments. Raises ValueError where they are wrong, or do not do for the card's task."""
    threshold = "face_threshold" if card.task == "mask_detection" else "score_threshold"
    if threshold not in card.thresholds:
        raise ValueError(f"the card states no {threshold}")
    network = Network.model_validate(card.network)
    needed = set(OUTPUTS[card.task])
    # whole masks say where the boxes are
    optional = {"boxes"} if card.task == "instance_segmentation" and network.masks_over == "picture" else set()
    if not needed - optional <= set(network.outputs) <= needed:
        raise ValueError(
            f"{card.task} needs the outputs {', '.join(OUTPUTS[card.task])}; the card names "
            f"{', '.join(network.outputs) or 'none'}"
        )
    return network
