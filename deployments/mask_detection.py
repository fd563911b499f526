"""The MaskDetection deployment."""

from deployments.model_deployment import ModelDeployment, model_deployment


@model_deployment
class MaskDetection(ModelDeployment):
    """Finds faces and says of each whether it wears a mask."""

    task = "mask_detection"
