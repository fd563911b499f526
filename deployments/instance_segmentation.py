"""The InstanceSegmentation deployment."""

from deployments.model_deployment import ModelDeployment, model_deployment


@model_deployment
class InstanceSegmentation(ModelDeployment):
    """Finds objects and their masks."""

    task = "instance_segmentation"
