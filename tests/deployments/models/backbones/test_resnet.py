import pytest
import torch
from torch.nn import functional as F
from torchvision.models import resnet18

from deployments.models.backbones.deformable import DeformableConv2d
from deployments.models.backbones.resnet import ResNet


@pytest.mark.parametrize(
    ("name", "widest"),
    [("resnet18", 512), ("resnet34", 512), ("resnet50", 2048), ("resnet101_vd", 2048), ("resnext101_64x4d", 2048)],
)
def test_stages(name: str, widest: int) -> None:
    with torch.device("meta"):
        backbone = ResNet(name)
        stages = backbone(torch.empty(1, 3, 64, 96))
    assert backbone.channels == (widest // 8, widest // 4, widest // 2, widest)
    assert [tuple(stage.shape[1:]) for stage in stages] == [
        (width, 64 // stride, 96 // stride) for width, stride in zip(backbone.channels, (4, 8, 16, 32), strict=True)
    ]


@torch.inference_mode()
def test_torchvisions_weights_give_torchvisions_features() -> None:
    whole = resnet18(weights=None).eval()
    backbone = ResNet("resnet18").eval()
    backbone.load_state_dict({key: tensor for key, tensor in whole.state_dict().items() if not key.startswith("fc.")})
    image = torch.randn(1, 3, 64, 64)
    logits = whole.fc(F.adaptive_avg_pool2d(backbone(image)[-1], 1).flatten(1))
    torch.testing.assert_close(logits, whole(image))


def test_deformable_layers() -> None:
    with torch.device("meta"):
        backbone = ResNet("resnet50", (3, 4), modulated=False)
    for name in ("layer1", "layer2", "layer3", "layer4"):
        for block in getattr(backbone, name):
            assert isinstance(block.conv2, DeformableConv2d) == (name in ("layer3", "layer4"))
    assert backbone.layer3[0].conv2.stride == (2, 2)


@torch.inference_mode()
def test_the_refined_resnet_pools_before_it_projects() -> None:
    torch.manual_seed(0)
    backbone = ResNet("resnet50_vd").eval()
    # a stem of three convolutions, of which only the first strides
    assert [layer.stride for layer in backbone.conv1 if isinstance(layer, torch.nn.Conv2d)] == [(2, 2), (1, 1), (1, 1)]
    block = backbone.layer2[0]
    x = torch.randn(1, 256, 8, 6)
    _, projection, norm = block.downsample
    torch.testing.assert_close(block.downsample(x), norm(F.conv2d(F.avg_pool2d(x, 2), projection.weight)))
    assert backbone.layer1[0].downsample(torch.randn(1, 64, 8, 6)).shape == (1, 256, 8, 6)
