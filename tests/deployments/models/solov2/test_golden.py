"""mmdetection's own SOLOv2 against ours, on the reference outputs of ../shared/golden."""

import importlib.util
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from deployments.calls import Call, InstanceSegmentationOptions, Item
from deployments.imaging.resize import prepare
from deployments.imaging.spec import KeepRatio
from deployments.models.checkpoints.convert import convert
from deployments.models.solov2.config import Architecture
from deployments.models.solov2.model import Batch, Solov2Model
from tests.deployments.models.solov2.comparison import assert_same_instances
from tests.photos import SHARED

GOLDEN = SHARED / "golden"
ARCHITECTURES = {
    "solov2-light_r18_fpn_ms-3x_coco": Architecture(
        backbone="resnet18", head_channels=256, head_convolutions=2, kernel_channels=128
    ),
    "solov2_r50_fpn_1x_coco": Architecture(),
}

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the reference outputs of ../shared/golden are not here")


@dataclass
class Run:
    """One golden file beside what our model makes of its picture."""

    golden: dict[str, Any]
    model: Solov2Model
    item: Item
    batch: Batch


def reference_weights(name: str, golden: dict[str, Any]) -> dict[str, torch.Tensor]:
    module_spec = importlib.util.spec_from_file_location("golden_weights", GOLDEN / "weights.py")
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    arrays = module.state_dict(json.loads(str(golden["state_shapes"])), int(golden["seed"]), name)
    return {key: torch.from_numpy(np.asarray(array)) for key, array in arrays.items()}


@pytest.fixture(scope="module", params=sorted(ARCHITECTURES))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    name = request.param
    with np.load(GOLDEN / f"{name}.npz") as file:
        golden = {key: file[key] for key in file.files}
    checkpoint = tmp_path_factory.mktemp("golden") / "epoch_12.pth"
    torch.save({"meta": {}, "state_dict": reference_weights(name, golden)}, checkpoint)
    weights = checkpoint.with_suffix(".safetensors")
    card = convert(checkpoint, weights, "golden", "none")
    checkpoint.unlink()
    assert Architecture.model_validate(card.network) == ARCHITECTURES[name]
    long_side, short_side = sorted((int(side) for side in golden["scale"]), reverse=True)
    resize = KeepRatio(rule="keep_ratio", short_side=short_side, long_side=long_side)
    image_spec = card.image.model_copy(update={"resize": resize})
    card = card.model_copy(update={"image": image_spec, "thresholds": {"score_threshold": 0.0}})
    model = Solov2Model(card, weights, torch.device("cpu"))
    weights.unlink()
    image = golden["image_bgr"][:, :, ::-1]
    call = Call(image.shape[0], image.shape[1], InstanceSegmentationOptions(), float("inf"), "golden")
    item = Item(prepare(np.ascontiguousarray(image), card.image), call)
    return Run(golden, model, item, model.collate([item]))


def test_resize(run: Run) -> None:
    np.testing.assert_array_equal(run.item.image[:, :, ::-1], run.golden["resized_bgr"])
    assert list(run.batch.images.shape) == run.golden["input_shape"].tolist()


@torch.inference_mode()
def test_feature_pyramid(run: Run) -> None:
    network = run.model.network
    pyramid = network.neck(network.backbone(run.batch.images))
    np.testing.assert_allclose([level.mean() for level in pyramid], run.golden["fpn_mean"], atol=1e-4)
    np.testing.assert_allclose([level.std() for level in pyramid], run.golden["fpn_std"], rtol=1e-4)


@torch.inference_mode()
def test_raw_outputs(run: Run) -> None:
    raw = run.model.network(run.batch.images)
    for ours, key in (
        (raw.category_logits[-1], "cls_logits_last"),
        (raw.category_logits[0][:, :8], "cls_logits_first_slice"),
        (raw.kernels[-1], "kernels_last"),
        (raw.mask_features[:, ::16, ::4, ::4], "mask_feature_slice"),
    ):
        np.testing.assert_allclose(ours.numpy(), run.golden[key], atol=1e-3, err_msg=key)


@pytest.mark.parametrize(
    ("layout", "tolerance"),
    [(torch.contiguous_format, 1e-4), (torch.channels_last, 2e-4)],
    ids=["contiguous", "channels_last"],
)
def test_final_answer(run: Run, layout: torch.memory_format, tolerance: float) -> None:
    # Channels last, which is served, sums in another order than the reference did: enough to flip a mask pixel at
    # exactly one half, and so to move a small instance's score.
    run.model.network.to(memory_format=layout)  # type: ignore[call-overload]
    (raw,) = run.model.run(Batch(run.batch.images.contiguous(memory_format=layout)))
    shape = tuple(run.golden["masks_shape"])
    masks = np.unpackbits(run.golden["masks_packed"], count=int(np.prod(shape))).reshape(shape).astype(bool)
    found = run.model.finish(run.item, raw)
    assert_same_instances(found, run.golden["scores"], run.golden["labels"], masks, tolerance)
