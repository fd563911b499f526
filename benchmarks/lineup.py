"""Who takes part in compare.py, and the command that each is started with."""

import base64
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import orjson
import yaml

from benchmarks.contenders import CORES, ROOT, Contender, Floor, HttpServer, Skipped, Subprocess
from benchmarks.peers.environment import NotInstalled, python_of
from serve_app.commands.bench.command import failed_branch

CONFIG = ROOT / "serve_config.yaml"
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def free_port(first: int) -> int:
    """The first free TCP port from ``first`` on."""
    for port in range(first, 65536):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no free port from {first} on")


def heap_variables() -> dict[str, str]:
    """Environment variables that the service gives its replicas: the floor has them too."""
    application = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["applications"][0]
    variables: dict[str, str] = application.get("runtime_env", {}).get("env_vars", {})
    return variables


def serve_command(file: Path) -> list[str]:
    """The command that ``make serve`` runs, for another config."""
    return [str(Path(sys.executable).with_name("maskgraph")), "serve", str(file)]


def service(name: str, port: int, precision: str, folder: Path, replicas: int | None = None) -> HttpServer:
    """The service as ``make serve`` starts it, but for ports and precision; ``replicas`` of each model, if given."""
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config["http_options"]["port"] = port = free_port(port)
    config["grpc_options"]["port"] = free_port(port + 1)
    config["applications"][0]["args"]["precision"] = precision
    for deployment in config["applications"][0]["deployments"] if replicas else ():
        if deployment["name"] != "Ingress":
            deployment["num_replicas"] = replicas
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    # A cluster of its own, whatever else runs on this machine.
    environment = {**os.environ, "RAY_ADDRESS": "local"}
    server = Subprocess(serve_command(file), environment, folder / f"{name}.log")
    return HttpServer(name, server, f"http://127.0.0.1:{port}", "/readyz", wrong=failed_branch)


def fastapi(name: str, port: int, engine: Mapping[str, str], folder: Path) -> HttpServer:
    """FastAPI with a uvicorn worker a core."""
    port = free_port(port)
    application = "benchmarks.peers.fastapi_app:app"
    command = [sys.executable, "-m", "uvicorn", application, f"--workers={CORES}", f"--port={port}", "--no-access-log"]
    server = Subprocess(command, {**ONE_THREAD, **engine}, folder / f"{name}.log")
    return HttpServer(name, server, f"http://127.0.0.1:{port}", "/ready")


def in_json(photo: bytes) -> tuple[bytes, str]:
    """The only form, but for multipart, that LitServe hands to an API."""
    return orjson.dumps({"image": base64.b64encode(photo).decode()}), "application/json"


def litserve(name: str, port: int, folder: Path) -> HttpServer:
    """LitServe with a worker a core."""
    port = free_port(port)
    command = [own_python(name, "litserve==0.2.19"), "-m", "benchmarks.peers.litserve_app", str(port)]
    server = Subprocess(command, ONE_THREAD, folder / f"{name}.log")
    return HttpServer(name, server, f"http://127.0.0.1:{port}", "/health", encode=in_json)


def bentoml(name: str, port: int, folder: Path) -> HttpServer:
    """BentoML with a worker a core."""
    port = free_port(port)
    words = ["serve", "benchmarks.peers.bentoml_app:Photos", "--host=127.0.0.1", f"--port={port}"]
    command = [own_python(name, "bentoml==1.4.40"), "-m", "bentoml", *words]
    environment = {**ONE_THREAD, "BENTOML_DO_NOT_TRACK": "true", "BENTOML_HOME": str(folder / "bentoml")}
    server = Subprocess(command, environment, folder / f"{name}.log")
    return HttpServer(name, server, f"http://127.0.0.1:{port}", "/readyz")


def own_python(name: str, requirement: str) -> str:
    """The interpreter of a peer's own environment. Raises Skipped."""
    try:
        return str(python_of(name, requirement))
    except NotInstalled as error:
        raise Skipped(str(error)) from error


def all_contenders(port: int, precision: str) -> dict[str, Callable[[], Contender]]:
    """How to make each contender, by name; to make one may raise Skipped."""
    folder = Path(tempfile.mkdtemp(prefix="compare-"))
    shared = [f"--precision={precision}"]
    both = [f"--threads={CORES}", "--side-by-side"]
    heap = heap_variables()
    return {
        "floor": lambda: Floor("floor", shared, heap, CORES, folder / "floor.log"),
        "floor-one-photo": lambda: Floor("floor-one-photo", shared + both, heap, 1, folder / "floor.log"),
        "service": lambda: service("service", port, precision, folder),
        "fastapi": lambda: fastapi("fastapi", port + 10, {}, folder),
        "fastapi-same-engine": lambda: fastapi("fastapi-same-engine", port + 20, {"PEER_PRECISION": precision}, folder),
        "litserve": lambda: litserve("litserve", port + 30, folder),
        "bentoml": lambda: bentoml("bentoml", port + 40, folder),
    }
