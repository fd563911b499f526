"""Tensors of what was found."""

from serve_app.analysis import ImageAnalysis
from serve_app.protocols.open_inference.tensors import Tensor, output_specs, output_tensors
from tests.serve_app.conftest import MODELS


def outputs(model: str, images: list[ImageAnalysis], *names: str) -> dict[str, Tensor]:
    return {
        tensor.name: tensor
        for tensor in output_tensors(MODELS[model], images, names or list(output_specs(MODELS[model])))
    }
