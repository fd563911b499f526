"""What may change on a running replica: the ``user_config`` of the model deployments. Loads no torch."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]


class ReplicaSettings(BaseModel):
    """Taken over without a restart."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_batch_images: int = Field(default=8, ge=1, le=1024)
    max_batch_pixels: int = Field(default=8 * 1024 * 1024, ge=1)
    """Padded pixels over a batch's images."""
    thresholds: dict[str, Probability] = Field(default_factory=dict)
    """Defaults that go before the model card's: ``face_threshold``, ``score_threshold`` or ``nms_iou``."""
