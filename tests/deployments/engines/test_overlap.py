from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from deployments.engines.overlap import Overlap

CPU = torch.device("cpu")


class FakeStreams:
    """Notes what is done on which stream, as torch.cuda would do it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.current = self.stream_named("compute")

    def stream_named(self, name: str) -> Any:
        class Stream:
            def wait_event(_, event: Any) -> None:
                self.log.append(f"{name} waits for the batch")

            def wait_stream(_, other: Any) -> None:
                self.log.append(f"{name} waits for all")

        return Stream()

    def Stream(self) -> Any:
        return self.stream_named("beside")

    def Event(self) -> Any:
        class Event:
            def record(_, stream: Any) -> None:
                self.log.append("filled")

        return Event()

    def stream(self, stream: Any) -> AbstractContextManager[None]:
        @contextmanager
        def inside() -> Any:
            self.log.append("to beside")
            yield
            self.log.append("to compute")

        return inside()

    def current_stream(self) -> Any:
        return self.current


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> FakeStreams:
    made = FakeStreams()
    monkeypatch.setattr(torch, "get_device_module", lambda device: made)
    return made


def test_a_run_waits_for_its_batch_and_its_memory_for_the_run(streams: FakeStreams) -> None:
    overlap = Overlap[list[int], int, list[int]](CPU)
    collate = overlap.collating(lambda items: streams.log.append("collate") or sum(items))  # type: ignore[func-returns-value]
    run = overlap.running(lambda batch: streams.log.append("run") or [batch])  # type: ignore[func-returns-value]
    assert run(collate([1, 2])) == [3]
    assert streams.log == [
        *("to beside", "collate", "filled", "to compute"),
        *("compute waits for the batch", "run", "beside waits for all"),
    ]


def test_memory_waits_for_a_run_that_failed_too(streams: FakeStreams) -> None:
    def fail(batch: int) -> list[int]:
        raise ArithmeticError

    overlap = Overlap[list[int], int, list[int]](CPU)
    with pytest.raises(ArithmeticError):
        overlap.running(fail)(overlap.collating(sum)([1]))
    assert streams.log[-1] == "beside waits for all"


@pytest.mark.parametrize(
    "device",
    [CPU, pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"))],
)
def test_results_are_those_of_collate_and_run(device: Any) -> None:
    def collate(items: list[float]) -> Tensor:
        return torch.tensor(items).to(device, non_blocking=True).expand(1_000_000, -1).contiguous() * 2

    overlap = Overlap[list[float], Tensor, list[float]](torch.device(device))
    collated = [overlap.collating(collate)([float(n), float(n + 1)]) for n in range(8)]
    run = overlap.running(lambda batch: batch.mean(dim=0, dtype=torch.float64).tolist())
    assert [run(batch) for batch in collated] == [[2 * n, 2 * n + 2] for n in range(8)]
