"""The ObjectDetection deployment, which is there where the settings name a model card for it."""

from deployments.model_deployment import ModelDeployment, model_deployment


@model_deployment
class ObjectDetection(ModelDeployment):
    """Finds objects, known by their boxes only."""

    task = "object_detection"
