"""What a program answers is held against the module that it was exported from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_small
from torchvision.ops import nms, roi_align

from deployments.models.exported.archive import read_archive
from deployments.models.exported.program import Program
from tests.deployments.models.exported.programs import Finder, archive, save, with_json, written

CPU = torch.device("cpu")


class Module(nn.Module):
    """A module of a function."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Any:
        return self.function(images)


def program(path: Path, data: bytes) -> Program:
    return Program(read_archive(written(path / "a.pt2", data)), CPU)


def test_the_signature(tmp_path: Path) -> None:
    made = program(tmp_path, archive())
    assert made.input == "images"
    assert made.rule.shape == (None, 3, None, None)
    assert made.dtype == torch.float32
    assert {"boxes", "scores", "labels"} <= made.outputs.keys()
    assert program(tmp_path, archive(fixed=(1, 64, 96))).rule.shape == (1, 3, 64, 96)


@pytest.mark.parametrize("shape", [(1, 3, 32, 80), (5, 3, 64, 64)])
def test_any_size_is_answered_as_the_module_does(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    expected = Finder(masks=True)(images)
    names = list(expected)
    for found, name in zip(program(tmp_path, archive(masks=True))(images, names), names, strict=True):
        assert torch.equal(found, expected[name])


def arithmetic(images: Tensor) -> Tensor:
    n, c, h, w = images.shape
    sides = [h + w, h * w, h // 2, h - 1, w % 3, max(h, w), min(h, n * c), 100 - h, h**2]
    return torch.stack([torch.ones(side).sum() for side in sides])


def test_arithmetic_on_sizes(tmp_path: Path) -> None:
    module = Module(arithmetic)
    shapes = {"images": {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}}
    made = program(tmp_path, save(module, torch.rand(2, 3, 12, 16), shapes))
    assert made.rule.shape == (None, 3, None, None)
    for size in ((3, 3, 21, 18), (5, 3, 14, 22)):
        (found,) = made(torch.rand(size), list(made.outputs)[:1])
        assert found.tolist() == module(torch.rand(size)).tolist()
    with pytest.raises(ValueError, match=r"does not take \[3, 3, 21, 17\]: it was exported for .*% 3\) < 2"):
        made(torch.rand(3, 3, 21, 17), list(made.outputs)[:1])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.split(1),  # a list of tensors
        lambda x: x.unbind(1)[1],
        lambda x: x.masked_fill(x > 0.5, float("-inf")).amax(dim=(2, 3)),  # infinity is written as text
        lambda x: x.to(torch.float16).to(torch.float32, memory_format=torch.channels_last),
        lambda x: torch.full_like(x, 3) + torch.arange(4, dtype=torch.float32) + torch.tensor([1.0, 2, 3, 4]),
        lambda x: x[:, [2, 0], :, None, 1:],  # indices some of which are None
        lambda x: x.clone().add_(1).relu_().transpose(1, 2),  # in place
        lambda x: nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False),
        lambda x: nms(x[0, 0], x[0, 0, :, 0], 0.5),
        lambda x: roi_align(x, [x[0, 0] * 4], 2),
        lambda x: torch.linalg.vector_norm(x, dim=1).softmax(dim=-1).topk(2),
        lambda x: x[x > 0.5],  # as many as there are
    ],
)
def test_operators(tmp_path: Path, function: Callable[[Tensor], Any]) -> None:
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    module = Module(function)
    made = program(tmp_path, save(module, images))
    expected = module(images)
    expected = [expected] if isinstance(expected, Tensor) else list(expected)
    names = [name for name in made.outputs if name.isdigit()] or list(made.outputs)[:1]
    for found, wanted in zip(made(images, names), expected, strict=True):
        assert found.dtype == wanted.dtype
        assert torch.equal(found, wanted)


def test_a_real_network(tmp_path: Path) -> None:
    network = mobilenet_v3_small(weights=None, num_classes=7).eval()
    images = torch.rand(2, 3, 64, 64)
    made = program(tmp_path, save(network, images))
    (found,) = made(images, list(made.outputs)[:1])
    with torch.no_grad():
        torch.testing.assert_close(found, network(images))


def test_values_are_dropped_when_no_later_step_needs_them(tmp_path: Path) -> None:
    made = program(tmp_path, save(Module(lambda x: (((x + 1) * 2).relu(), x.sum())), torch.rand(1)))
    # the input and the outputs stay
    assert [len(step.dropped) for step in made.steps] == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (lambda x: {"a": x + 1, "b": (x + 2, x + 3)}, ["a", "b.0", "b.1"]),
        (lambda x: (x + 1, [x + 2]), ["0", "1.0"]),
        (lambda x: [{"a.b": x + 1}], ["0.a.b"]),
        (lambda x: (x + 1, None, 5, x + 2), ["0", "3"]),
    ],
)
def test_outputs_have_the_names_of_what_the_module_returned(
    tmp_path: Path, function: Callable[[Tensor], Any], names: list[str]
) -> None:
    made = program(tmp_path, save(Module(function), torch.zeros(1)))
    assert [name for name in made.outputs if not name.startswith("add")] == names
    found = [int(tensor) for tensor in made(torch.zeros(1), names)]
    assert found == list(range(1, len(names) + 1))
    nodes = [name for name in made.outputs if name.startswith("add")]
    assert [int(tensor) for tensor in made(torch.zeros(1), nodes)] == found


def test_a_block_under_no_grad_is_refused(tmp_path: Path) -> None:
    def function(images: Tensor) -> Tensor:
        with torch.no_grad():
            return images * 2

    with pytest.raises(ValueError, match="wrap_with_set_grad_enabled"):
        program(tmp_path, save(Module(function), torch.zeros(1)))


def test_two_inputs_are_refused(tmp_path: Path) -> None:
    def two(document: Any) -> None:
        specs = document["graph_module"]["signature"]["input_specs"]
        specs.append(specs[-1])

    with pytest.raises(ValueError, match="the program has 2 inputs; it must have one, a tensor"):
        program(tmp_path, with_json(archive(), two))


def test_custom_objects_are_refused(tmp_path: Path) -> None:
    def custom(document: Any) -> None:
        document["graph_module"]["signature"]["input_specs"].append({"custom_obj": {}})

    with pytest.raises(ValueError, match="an input of the kind custom_obj"):
        program(tmp_path, with_json(archive(), custom))


def test_a_program_that_trains_is_refused(tmp_path: Path) -> None:
    def training(document: Any) -> None:
        document["graph_module"]["signature"]["output_specs"].append({"buffer_mutation": {}})

    with pytest.raises(ValueError, match="an output of the kind buffer_mutation; export it for evaluation"):
        program(tmp_path, with_json(archive(), training))


def test_an_operator_that_is_not_allowed_is_refused(tmp_path: Path) -> None:
    def hostile(document: Any) -> None:
        document["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.system"

    with pytest.raises(ValueError, match=r"the program calls torch\.os\.system, which is not one"):
        program(tmp_path, with_json(archive(), hostile))


def test_what_is_not_computed_is_not_used(tmp_path: Path) -> None:
    def backwards(document: Any) -> None:
        document["graph_module"]["graph"]["nodes"].reverse()

    with pytest.raises(ValueError, match="before it computes it"):
        program(tmp_path, with_json(archive(), backwards))

    def empty(document: Any) -> None:
        document["graph_module"]["graph"]["nodes"].clear()

    with pytest.raises(ValueError, match="which it does not compute"):
        program(tmp_path, with_json(archive(), empty))
