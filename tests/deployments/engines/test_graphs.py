import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from deployments.engines import graphs
from deployments.engines.equip import equip
from deployments.engines.graphs import LARGEST_GRAPHED, LARGEST_PADDED, CudaCapture, Graphed, capturing, padded_size
from deployments.engines.settings import EngineSettings


class Outputs(NamedTuple):
    levels: list[Tensor]
    sums: Tensor


class Network(nn.Module):
    """Takes a list and a tensor, gives a named tuple, and notes how many pictures it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)
        self.saw: list[int] = []

    def forward(self, pictures: list[Tensor], scales: Tensor) -> Outputs:
        self.saw.append(len(scales))
        return Outputs([self.layer(each) for each in pictures], scales.sum(dim=1))


class FakeCapture:
    """A graph as CUDA's: it holds for one shape, and its outputs lie where the next replay puts its own."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.replays = 0

    def __call__(self, forward: Callable[[Sequence[Tensor]], Any], inputs: Sequence[Tensor]) -> graphs.Replay:
        kept = [tensor.clone() for tensor in inputs]
        self.shapes.append(tuple(kept[0].shape))

        def replay(given: Sequence[Tensor]) -> Any:
            for mine, theirs in zip(kept, given, strict=True):
                assert mine.shape == theirs.shape
                mine.copy_(theirs)
            self.replays += 1
            return forward(kept)

        return replay


def inputs(count: int, side: int = 6) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(count)
    pictures = [torch.randn(count, 3, side, size, generator=generator) for size in (5, 8)]
    return pictures, torch.randn(count, 2, generator=generator)


def assert_same(found: Outputs, expected: Outputs) -> None:
    assert isinstance(found, Outputs)
    torch.testing.assert_close(found, expected)


@given(st.integers(0, 300))
def test_batches_are_filled_up_to_a_power_of_two(count: int) -> None:
    size = padded_size(count)
    if 0 < count <= LARGEST_PADDED:
        assert size & (size - 1) == 0
        assert count <= size < 2 * count
    else:
        assert size == count


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network().eval()


@torch.inference_mode()
def test_graphs_answer_as_the_network_for_every_batch(network: Network) -> None:
    capture = FakeCapture()
    graphed = Graphed(network.forward, capture)
    with capturing():
        for count in (1, 2, 3, 8):
            graphed(*inputs(count))
    assert [shape[0] for shape in capture.shapes] == [1, 2, 4, 8]
    capture.replays = 0
    for count in (*range(1, 9), 2, 1):
        assert_same(graphed(*inputs(count)), network(*inputs(count)))
    assert capture.replays == 10


@torch.inference_mode()
def test_another_shape_or_no_picture_runs_without_a_graph(network: Network) -> None:
    capture = FakeCapture()
    graphed = Graphed(network.forward, capture)
    with capturing():
        graphed(*inputs(1))
    capture.replays = 0
    network.saw.clear()
    assert_same(graphed(*inputs(3, side=7)), network(*inputs(3, side=7)))
    assert_same(graphed(*inputs(0)), network(*inputs(0)))
    assert network.saw == [4, 3, 0, 0]
    assert capture.replays == 0
    assert len(capture.shapes) == 1


@torch.inference_mode()
def test_graphs_are_bounded_in_size_and_number(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MOST_GRAPHS", 2)
    capture = FakeCapture()
    graphed = Graphed(network.forward, capture)
    with capturing():
        for count in (LARGEST_GRAPHED + 1, 0, 1, 2, 4):
            assert_same(graphed(*inputs(count)), network(*inputs(count)))
    assert [shape[0] for shape in capture.shapes] == [1, 2]


@torch.inference_mode()
def test_a_network_that_cannot_be_captured_runs_all_the_same(
    network: Network, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def fail(forward: Any, given: Sequence[Tensor]) -> graphs.Replay:
        tried.append(len(given))
        raise RuntimeError("operation not permitted when stream is capturing\nand a long story")

    graphed = Graphed(network.forward, fail)
    monkeypatch.setattr(logging.getLogger("ray.serve"), "propagate", True)
    with capturing():
        for count in (1, 2):
            assert_same(graphed(*inputs(count)), network(*inputs(count)))
    assert len(tried) == 1
    said = "a network has 0 CUDA graphs and gets no more: operation not permitted when stream is capturing"
    assert {record.getMessage() for record in caplog.records} == {said}


@pytest.mark.parametrize(("engine", "graphed"), [("auto", True), ("eager", False)])
@torch.inference_mode()
def test_graphs_are_cudas_engine(network: Network, monkeypatch: pytest.MonkeyPatch, engine: Any, graphed: bool) -> None:
    capture = FakeCapture()
    monkeypatch.setattr("deployments.engines.equip.CudaCapture", lambda: capture)
    expected = network(*inputs(2))
    examples = [(network, inputs(2))]
    assert equip(examples, examples, torch.device("cuda"), EngineSettings(threads=1, engine=engine), None) == 1  # type: ignore[arg-type]
    with capturing():
        assert_same(network(*inputs(2)), expected)
    assert len(capture.shapes) == int(graphed)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@torch.inference_mode()
def test_cuda_replays_what_it_captured(network: Network) -> None:
    network.cuda()
    capture = CudaCapture()
    graphed = Graphed(network.forward, capture)

    def on_cuda(count: int) -> tuple[list[Tensor], Tensor]:
        pictures, scales = inputs(count)
        return [each.cuda() for each in pictures], scales.cuda()

    with capturing():
        for count in (1, 4):
            graphed(*on_cuda(count))
    network.saw.clear()
    first = graphed(*on_cuda(3))
    graphed(*on_cuda(1))
    graphed(*on_cuda(4))
    assert network.saw == []
    torch.testing.assert_close(first, network(*on_cuda(3)), rtol=1e-3, atol=1e-4)
