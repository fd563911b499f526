"""Write a SOLOv2 as an ONNX file, with its card: ``python -m training.export_onnx solov2_people FOLDER``.

The file holds the decoding too: it answers scores, labels and masks. Other engines can run it, and so can this service,
by ``architecture: onnx``.
"""

import argparse
import warnings
from pathlib import Path

import torch
import yaml
from torch import Tensor, nn

from deployments.models.card import ModelCard, card_path, read_card
from deployments.models.checkpoints.weights_cache import local_weights
from deployments.models.solov2.config import Inference
from deployments.models.solov2.inference import matrix_nms, points_nms
from deployments.models.solov2.model import Solov2Model
from deployments.models.solov2.network import Solov2

OUTPUTS = ("scores", "labels", "masks")


class Decoded(nn.Module):
    """A SOLOv2 of one picture that answers instances: ``inference.select`` for a fixed number of candidates."""

    def __init__(self, network: Solov2, settings: Inference) -> None:
        super().__init__()
        self.network = network
        self.settings = settings

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Float [1, 3, H, W], normalised, to scores float [1, K], labels int64 [1, K], masks float [1, K, H/4, W/4].

        What has a score of 0 is padding.
        """
        raw, settings = self.network(images), self.settings
        levels = [points_nms(logits.sigmoid())[0].flatten(1).T for logits in raw.category_logits]
        strides = torch.cat(
            [
                torch.full((len(level),), float(stride))
                for level, stride in zip(levels, self.network.architecture.mask_strides, strict=True)
            ]
        )
        scores = torch.cat(levels)
        kernels = torch.cat([level[0].flatten(1).T for level in raw.kernels])
        score, place = scores.flatten().topk(settings.candidates)
        cell, label = place // scores.shape[1], place % scores.shape[1]
        soft = torch.einsum("kc,chw->khw", kernels[cell], raw.mask_features[0]).sigmoid()
        hard = (soft > settings.mask_threshold).float()
        area = hard.sum(dim=(1, 2))
        wanted = (score > settings.candidate_score) & (area > strides[cell])
        certainty = (soft * hard).sum(dim=(1, 2)) / area.clamp(min=1)
        score, order = (score * certainty * wanted).sort(descending=True)
        flat, area = hard[order].flatten(1), area[order].clamp(min=1)
        score = matrix_nms(score, label[order], flat, area, settings.nms_sigma)
        score, best = (score * (score >= settings.kept_score)).topk(settings.kept)
        kept = order[best]
        return score[None], label[kept][None], soft[kept][None]


def export_onnx(reference: str, folder: Path) -> Path:
    """Write the file and the card of a SOLOv2 that a card describes; returns the new card's path."""
    path = card_path(reference)
    card = read_card(path)
    model = Solov2Model(card, local_weights(card, path.parent), torch.device("cpu"))
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # the trace's, about sizes that it takes for constants
        torch.onnx.export(
            Decoded(model.network, model.inference).eval(),
            (torch.rand(1, 3, 128, 192),),
            str(folder / f"{card.name}.onnx"),
            input_names=["images"],
            output_names=list(OUTPUTS),
            dynamic_axes={"images": {2: "height", 3: "width"}},
            opset_version=17,
            dynamo=False,  # torch's newer exporter takes the coordinates' sizes for constants
        )
    written = folder / f"{card.name}.yaml"
    written.write_text(yaml.safe_dump(onnx_card(card), sort_keys=False), encoding="utf-8")
    return written


def onnx_card(card: ModelCard) -> dict[str, object]:
    """The same model's card, with the file in place of the network."""
    fields = card.model_dump(mode="json", exclude={"network", "sha256", "precision_recall"}, exclude_defaults=True)
    network = {"input": "images", "outputs": {name: name for name in OUTPUTS}}
    return {**fields, "architecture": "onnx", "network": network, "weights": f"{card.name}.onnx"}


def main() -> None:
    """Write one model's file and card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("card", help="an embedded model's name, or a card's path")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    print(export_onnx(arguments.card, arguments.folder))


if __name__ == "__main__":
    main()
