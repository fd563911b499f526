"""A module imports only from floors below its own, and what must start fast loads no torch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS: dict[str, set[str]] = {
    "results, as every floor speaks of them": {"deployments.results"},
    "pure functions on arrays, what a call carries, and its spans": {
        "deployments.tracing",
        "deployments.imaging",
        "deployments.shared_pixels",
        "deployments.calls",
        "deployments.settings",
        "deployments.plain_yaml",
    },
    "the client, which the service knows nothing of": {"serve_app.client"},
    "what networks run in": {"deployments.engines"},
    "networks with their pre- and postprocessing": {"deployments.models"},
    "batching": {"deployments.batching"},
    "how many replicas there should be": {"deployments.autoscaling"},
    "what runs on replicas": {
        "deployments.replica",
        "deployments.warm_up",
        "deployments.model_deployment",
        "deployments.mask_detection",
        "deployments.instance_segmentation",
        "deployments.object_detection",
    },
    "the way of a photo, whatever the wire": {
        "serve_app.limits",
        "serve_app.api_keys",
        "serve_app.exposure",
        "serve_app.traceparent",
        "serve_app.seen",
        "serve_app.pace",
        "serve_app.admission",
        "serve_app.overloads",
        "serve_app.latest",
        "serve_app.pulse",
        "serve_app.breaker",
        "serve_app.people",
        "serve_app.analysis",
        "serve_app.pipeline",
        "serve_app.branch",
        "serve_app.metrics",
    },
    "what an operator sets": {"serve_app.settings"},
    "what all HTTP, or all gRPC, protocols share": {"serve_app.http", "serve_app.grpc"},
    "wire protocols": {"serve_app.protocols"},
    "every protocol at once": {"serve_app.ingress", "serve_app.refusals", "serve_app.gate"},
    "the graph, served or in one process": {"serve_app.app", "serve_app.local"},
    "the check of YAML before it runs": {"serve_app.checking"},
    "what the commands do": {"serve_app.commands"},
    "the command line": {"serve_app.cli"},
}
"""Bottom up, each with what it is for. A name is a module, or a package with all that is in it."""
LEVELS = list(FLOORS.values())
FIRST_OF_INGRESS = LEVELS.index(FLOORS["the way of a photo, whatever the wire"])
INGRESS_AND_BELOW = set[str]().union(*LEVELS[FIRST_OF_INGRESS : LEVELS.index(FLOORS["every protocol at once"]) + 1])
LIGHT = {
    "deployments.results",
    "deployments.imaging",
    "deployments.calls",
    "deployments.shared_pixels",
    "deployments.tracing",
    "deployments.settings",
    "deployments.plain_yaml",
    "deployments.models.card",
}
"""All that an ingress replica takes from the deployments: none of it loads torch."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for top in ("deployments", "serve_app") for path in (ROOT / top).rglob("*.py")}
MODULES = sorted(SOURCES.keys() - {"deployments", "serve_app"})


def is_in(module: str, names: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def floor(module: str) -> int:
    floors = [number for number, names in enumerate(LEVELS) if is_in(module, names)]
    assert floors, f"{module} has no floor; give it one in FLOORS"
    return floors[0]


def own_imports(module: str) -> Iterator[str]:
    """Modules of this project that a module imports, inside functions too."""
    for node in ast.walk(ast.parse(SOURCES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in SOURCES else str(node.module) for name in inner]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in ("deployments", "serve_app"))


def same_package(one: str, other: str) -> bool:
    """Whether both lie in one package, or in one that the floors name as a whole."""
    named = {name for names in LEVELS for name in names}
    return one.rpartition(".")[0] == other.rpartition(".")[0] or any(
        is_in(one, {name}) and is_in(other, {name}) for name in named
    )


def test_the_sources_are_found() -> None:
    assert {"deployments.results", "serve_app.pipeline", "serve_app.ingress"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_one_floor(module: str) -> None:
    assert sum(is_in(module, names) for names in LEVELS) == 1, "give it one in FLOORS"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_floors_below_or_its_own_package(module: str) -> None:
    wrong = [
        name
        for name in own_imports(module)
        if not (floor(name) < floor(module) or (floor(name) == floor(module) and same_package(name, module)))
    ]
    assert wrong == []


@pytest.mark.parametrize("module", [name for name in MODULES if is_in(name, INGRESS_AND_BELOW)])
def test_the_ingress_and_below_take_only_what_is_light(module: str) -> None:
    heavy = [name for name in own_imports(module) if name.startswith("deployments") and not is_in(name, LIGHT)]
    assert heavy == []


PROTOCOLS = {
    f"serve_app.protocols.{path.parent.name}" for path in (ROOT / "serve_app" / "protocols").glob("*/__init__.py")
}


def protocol_of(module: str) -> str | None:
    return next((name for name in PROTOCOLS if is_in(module, {name})), None)


def test_the_protocols_are_found() -> None:
    assert "serve_app.protocols.native" in PROTOCOLS
    assert len(PROTOCOLS) >= 6


@pytest.mark.parametrize("module", [name for name in MODULES if is_in(name, {"serve_app.protocols"})])
def test_protocols_are_strangers_to_each_other(module: str) -> None:
    """What several share lies beside them and imports none of them."""
    strangers = [name for name in own_imports(module) if protocol_of(name) not in (None, protocol_of(module))]
    assert strangers == []


def loaded(module: str, *watched: str) -> list[str]:
    """Which of the ``watched`` modules a fresh interpreter has loaded after importing ``module``."""
    code = f"import {module}, sys; print(*(name for name in {watched} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    "module", ["serve_app.ingress", "serve_app.http.app", "serve_app.pipeline", "serve_app.checking.check"]
)
def test_importing_the_ingress_or_what_it_stands_on_loads_no_torch(module: str) -> None:
    assert loaded(module, "torch") == []


@pytest.mark.parametrize("module", ["serve_app.cli", "serve_app.pipeline", *sorted(LIGHT - {"deployments.imaging"})])
def test_light_modules_load_neither_torch_nor_ray(module: str) -> None:
    assert loaded(module, "torch", "ray") == []


def test_the_client_loads_nothing_of_the_service() -> None:
    modules = [name for name in MODULES if is_in(name, {"serve_app.client"})]
    assert loaded(", ".join(modules), "torch", "ray", "cv2", "pycocotools", "fastapi", "pydantic", "supervision") == []


def test_imaging_loads_neither_torch_nor_ray() -> None:
    modules = [name for name in MODULES if is_in(name, {"deployments.imaging"})]
    assert loaded(", ".join(modules), "torch", "ray") == []


def test_the_watch_for_loaded_modules_sees_them() -> None:
    assert loaded("json.decoder", "json", "torch") == ["json"]
