"""The MaskDetection deployment."""

from ray import serve

from deployments.batching.metrics import ServeBatchMetrics
from deployments.models.device import DeviceSetting
from deployments.models.load import load
from deployments.models.precision import Precision
from deployments.replica import Replica


# Calls beyond two full batches wait at the caller, where the router can still send them to another replica.
@serve.deployment(max_ongoing_requests=32, max_queued_requests=256, health_check_timeout_s=60)
class MaskDetection(Replica):
    """Finds faces and says of each whether it wears a mask."""

    def __init__(
        self,
        card: str,
        device: DeviceSetting = "auto",
        threads: int | None = None,
        precision: Precision = "float32",
    ) -> None:
        super().__init__(load(card, "mask_detection", device, threads, precision), ServeBatchMetrics("mask_detection"))
