"""CUDA graphs: all kernels of a network's forward pass launched at once, where they are too short to hide launching.

A graph holds for inputs of one shape, so batches are filled up to a power of two, and a replica lets networks run in
the shapes that it expects, ``capturing``, before it is ready. Later none is captured: that takes as long as many runs.
The padding also keeps a network without a graph to few shapes, for each of which cuDNN looks for its kernels once.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

Forward = Callable[..., Any]
Replay = Callable[[Sequence[Tensor]], Any]
Capture = Callable[[Callable[[Sequence[Tensor]], Any], Sequence[Tensor]], Replay]

# The logger that Serve shows of a replica.
logger = logging.getLogger("ray.serve")

LARGEST_PADDED = 64
"""Larger batches run as they are."""
LARGEST_GRAPHED = 8
"""A larger batch computes for longer than its kernels take to launch."""
MOST_GRAPHS = 64
"""Of one network: each keeps its inputs and outputs."""
FREE_SHARE = 0.5
"""Of the device's memory, which must be free for another graph: batches and other replicas need it too."""
RUNS_BEFORE = 2
"""In which libraries choose their kernels and take their memory, neither of which may happen during a capture."""

_capturing: ContextVar[bool] = ContextVar("capturing", default=False)


@contextmanager
def capturing() -> Iterator[None]:
    """Networks that this thread calls meanwhile keep a graph of what they are called with."""
    token = _capturing.set(True)
    try:
        yield
    finally:
        _capturing.reset(token)


def padded_size(count: int) -> int:
    """Pictures of the batch in which ``count`` run: the next power of two."""
    return count if not 0 < count <= LARGEST_PADDED else 1 << (count - 1).bit_length()


class Graphed:
    """A forward pass whose inputs and outputs are tensors [N, ...], in any lists and dicts, with one N for all.

    What it gives for a picture must not depend on the others of its batch. Belongs to one thread at a time.
    """

    def __init__(self, forward: Forward, capture: Capture) -> None:
        """capture: makes a graph of a function of these tensors; raises RuntimeError where it cannot."""
        self._forward = forward
        self._capture: Capture | None = capture
        self._graphs: dict[tuple[Any, ...], Replay] = {}

    def __call__(self, *inputs: Any) -> Any:
        tensors, form = tree_flatten(inputs)
        count = len(tensors[0])
        padded = [_filled_up(tensor, padded_size(count)) for tensor in tensors]

        def forward(given: Sequence[Tensor]) -> Any:
            return self._forward(*tree_unflatten(list(given), form))

        key = (form, *((tensor.shape, tensor.dtype) for tensor in padded))
        if key not in self._graphs and _capturing.get():
            self._keep(key, forward, padded)
        outputs = self._graphs.get(key, forward)(padded)
        return outputs if padded_size(count) == count else tree_map(lambda tensor: tensor[:count], outputs)

    def _keep(self, key: tuple[Any, ...], forward: Callable[[Sequence[Tensor]], Any], inputs: list[Tensor]) -> None:
        if self._capture is None or not 0 < len(inputs[0]) <= LARGEST_GRAPHED or len(self._graphs) >= MOST_GRAPHS:
            return
        try:
            self._graphs[key] = self._capture(forward, inputs)
        except RuntimeError as error:
            kept = len(self._graphs)
            logger.warning("a network has %d CUDA graphs and gets no more: %s", kept, str(error).partition("\n")[0])
            self._capture = None


def _filled_up(tensor: Tensor, size: int) -> Tensor:
    """[N, ...] with zeros after it, up to ``size``."""
    missing = size - len(tensor)
    return torch.cat([tensor, tensor.new_zeros(missing, *tensor.shape[1:])]) if missing else tensor


class CudaCapture:
    """Makes CUDA graphs that share their memory, of networks that never run at the same time."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, forward: Callable[[Sequence[Tensor]], Any], inputs: Sequence[Tensor]) -> Replay:
        """The inputs' values do not matter. As https://docs.pytorch.org/docs/stable/notes/cuda.html says it is done.

        Raises RuntimeError where the network cannot be captured, or memory is short.
        """
        torch.cuda.empty_cache()
        free, total = torch.cuda.mem_get_info()
        if free < FREE_SHARE * total:
            raise RuntimeError(f"less than {FREE_SHARE:.0%} of the device's memory are free")
        kept = [tensor.clone() for tensor in inputs]
        compute, beside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(compute)
        with torch.cuda.stream(beside):
            for _ in range(RUNS_BEFORE):
                forward(kept)
        compute.wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        # Another model of this process may allocate meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            outputs = forward(kept)

        def replay(given: Sequence[Tensor]) -> Any:
            for mine, theirs in zip(kept, given, strict=True):
                mine.copy_(theirs)
            graph.replay()
            # The next graph writes to the same memory.
            return tree_map(torch.clone, outputs)

        return replay
