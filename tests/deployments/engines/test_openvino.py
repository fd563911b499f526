"""OpenVINO computes what torch does, from its cache too, and where it cannot, torch goes on."""

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deployments.engines.equip import equip, has_openvino
from deployments.engines.settings import EngineSettings

pytestmark = pytest.mark.skipif(not has_openvino(), reason="OpenVINO has no wheel here")
CPU = torch.device("cpu")


class Found(NamedTuple):
    maps: list[Tensor]
    pooled: dict[str, Tensor]


class Small(nn.Module):
    """Outputs in a named tuple with a list and a dict; sizes are read from the input."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.GroupNorm(4, 8)
        self.calls = 0

    def forward(self, images: Tensor) -> Found:
        self.calls += 1
        x = F.relu(self.norm(self.convolution(images)))
        x = F.interpolate(x, size=(images.shape[2] // 2, images.shape[3] // 2), mode="bilinear")
        return Found([x, x + 1], {"mean": x.mean(dim=(2, 3))})


def example(network: nn.Module, *shape: int) -> list[tuple[nn.Module, tuple[Any, ...]]]:
    return [(network, (torch.randn(shape, generator=torch.Generator().manual_seed(1)),))]


def equipped(network: nn.Module, folder: Path, **settings: Any) -> int:
    smaller, larger = example(network, 2, 3, 16, 24), example(network, 3, 3, 24, 32)
    return equip(smaller, larger, CPU, EngineSettings(**{"threads": 1} | settings), folder)


def assert_same(found: Found, expected: Found) -> None:
    assert isinstance(found, Found)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(params=["fresh", "kept"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "kept":
        equipped(Small(), tmp_path)
    return tmp_path


@torch.inference_mode()
@pytest.mark.parametrize("shape", [(1, 3, 10, 14), (5, 3, 40, 6), (2, 3, 16, 24)])
def test_any_batch_and_size(folder: Path, shape: tuple[int, ...]) -> None:
    network = Small()
    equipped(network, folder)
    images = torch.randn(shape) * 3 + 1
    calls = network.calls
    found = network(images)
    assert network.calls == calls, "torch ran"
    assert_same(found, Small()(images))
    # as channels-last pictures are
    assert_same(network(images.contiguous(memory_format=torch.channels_last)), found)


@torch.inference_mode()
def test_nothing_in_gives_nothing_out(tmp_path: Path) -> None:
    network = Small()
    equipped(network, tmp_path)
    assert network(torch.zeros(0, 3, 16, 16)).pooled["mean"].shape == (0, 8)


@torch.inference_mode()
def test_answers_are_the_callers_own_on_every_thread(tmp_path: Path) -> None:
    network = Small()
    assert equipped(network, tmp_path, threads=2) == 2
    pictures = [torch.full((1, 3, 16, 16), float(value)) for value in range(12)]
    with torch.inference_mode(), ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda images: network(images), pictures))
    for images, mine in zip(pictures, found, strict=True):
        assert_same(mine, Small()(images))


def test_converting_leaves_the_processes_logging_alone(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = root.level, list(root.filters), list(root.handlers)
    equipped(Small(), tmp_path)
    assert (root.level, list(root.filters), list(root.handlers)) == before


def test_a_kept_network_is_not_converted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deployments.engines import openvino_engine

    equipped(Small(), tmp_path)
    monkeypatch.setattr(openvino_engine, "convert", lambda *_: pytest.fail("converted again"))
    network = Small()
    equipped(network, tmp_path)
    assert "forward" in vars(network)


@pytest.mark.parametrize("damage", ["network.xml", "network.bin"])
@torch.inference_mode()
def test_a_damaged_network_is_converted_again(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("ray.serve"), "propagate", True)
    equipped(Small(), tmp_path)
    file = tmp_path / "0" / damage
    file.write_bytes(file.read_bytes()[:100])
    network = Small()
    equipped(network, tmp_path)
    assert "is converted again" in caplog.text
    images = torch.randn(1, 3, 16, 16)
    assert_same(network(images), Small()(images))
    assert file.stat().st_size > 100


@torch.inference_mode()
def test_another_networks_weights_under_the_same_name_are_noticed(tmp_path: Path) -> None:
    other = Small()
    nn.init.constant_(other.convolution.weight, 0.5)
    equipped(other, tmp_path)
    network = Small()
    equipped(network, tmp_path)
    images = torch.randn(1, 3, 16, 16)
    assert_same(network(images), Small()(images))


@torch.inference_mode()
def test_a_folder_that_cannot_be_made(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("ray.serve"), "propagate", True)
    (tmp_path / "file").touch()
    network = Small()
    equipped(network, tmp_path / "file" / "below")
    assert [record.message for record in caplog.records if "cannot be written" in record.message]
    images = torch.randn(1, 3, 16, 16)
    calls = network.calls
    assert_same(network(images), Small()(images))
    assert network.calls == calls


class FixedSize(nn.Module):
    """What a trace takes for a constant: a Python number made of a size."""

    def forward(self, images: Tensor) -> Tensor:
        return images * float(int(images.shape[2]))


class Untraceable(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return torch.linalg.eigvals(images.mean(dim=1)[:, :8, :8]).abs()


@pytest.mark.parametrize("kind", [FixedSize, Untraceable])
@torch.inference_mode()
def test_what_is_converted_wrongly_or_not_at_all_stays_in_torch(
    tmp_path: Path, kind: type[nn.Module], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("ray.serve"), "propagate", True)
    network = kind()
    assert equipped(network, tmp_path, threads=2) == 1
    assert f"{kind.__name__} stays in eager torch: " in caplog.text
    images = torch.randn(1, 3, 40, 8)
    assert torch.equal(network(images), kind()(images))


def test_eager_where_it_is_asked_for(tmp_path: Path) -> None:
    network = Small()
    assert equipped(network, tmp_path, engine="eager", threads=2) == 1
    calls = network.calls
    network(torch.zeros(1, 3, 16, 16))
    assert network.calls == calls + 1
    assert list(tmp_path.iterdir()) == []


def test_processes_that_start_at_once_share_a_folder(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.deployments.engines.test_openvino import *;"
        "network = Small(); equipped(network, Path(sys.argv[1]));"
        "assert_same(network(torch.ones(1, 3, 8, 8)), Small()(torch.ones(1, 3, 8, 8)))"
    )
    root = Path(__file__).parents[3]
    started = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path / "made"], cwd=root, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in started:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["0", "compiled"]


def test_it_reports_nothing_to_its_makers() -> None:
    code = (
        "import sys; from deployments.engines.openvino_runtime import openvino; import openvino.tools.ovc;"
        "print(sys.modules['openvino_telemetry'], [n for n in sys.modules if n.startswith('openvino_telemetry.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert done.stdout.split("\n")[0] == "None []", done.stderr


def test_only_one_module_imports_it() -> None:
    root = Path(__file__).parents[3]
    sources = [
        path for top in ("deployments", "serve_app", "training", "benchmarks") for path in (root / top).rglob("*.py")
    ]
    direct = [
        path.name
        for path in sources
        if "\nimport openvino" in path.read_text() or "\nfrom openvino" in path.read_text()
    ]
    assert direct == ["openvino_runtime.py"]
