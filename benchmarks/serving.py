"""What serving itself costs: ``python -m benchmarks.serving``, the graph around networks that do nothing, on Linux.

Starts ``serve_config.yaml`` with benchmarks/noop_graph.py in place of the models: as ``maskgraph serve`` does, and with
each line of configs/load.env. Puts a 100 kB photo on it in a closed loop.
"""

import asyncio
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks import processes
from benchmarks.contenders import ROOT, HttpServer, Skipped, Subprocess
from benchmarks.cost import Body, Cost, cost, served
from benchmarks.lineup import CONFIG, free_port, serve_command
from benchmarks.photos import photo
from serve_app.commands.serving.environment import load_variables

PHOTO = (640, 480)
"""Width and height: 99 kB."""
CONSOLE = Console()


def settings() -> dict[str, dict[str, str]]:
    """The environments to compare, by what to call them."""
    load = load_variables()
    proxy = {name: value for name, value in load.items() if "THROUGHPUT" not in name}
    return {"maskgraph serve": {}, "HAProxy": proxy, "configs/load.env": load}


def noop_service(name: str, extra: Mapping[str, str], port: int, folder: Path) -> HttpServer:
    """The service of serve_config.yaml around networks that do nothing."""
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config["http_options"]["port"] = port = free_port(port)
    config["grpc_options"]["port"] = free_port(port + 1)
    config["applications"][0]["import_path"] = "benchmarks.noop_graph:build"
    file = folder / f"{name.replace('/', '-')}.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    # HAProxy's files and ports are the machine's, not the cluster's.
    own = {
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port(port + 2)),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port(port + 3)),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "haproxy.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
    }
    environment = {**os.environ, **own, **extra, "RAY_ADDRESS": "local", "PYTHONPATH": str(ROOT)}
    server = Subprocess(serve_command(file), environment, folder / f"{file.stem}.log")
    return HttpServer(name, server, f"http://127.0.0.1:{port}", "/readyz")


async def measure(clients: list[int], seconds: float, port: int) -> Table:
    table = Table(
        "started as", "clients", "answers/s", "p50 ms", "CPU ms a photo", "of which ingress", "models", "proxy"
    )
    bodies = [Body(photo(*PHOTO))]
    folder = Path(tempfile.mkdtemp(prefix="serving-"))
    for name, extra in settings().items():
        try:
            async with served(noop_service(name, extra, port, folder)) as server:
                await cost(server, bodies, max(clients), 2)
                for count in clients:
                    add(table, name, count, await cost(server, bodies, count, seconds))
                memory = sum(each.pss_mb for each in processes.memory(processes.trees(server.roots)).values())
                CONSOLE.print(f"{name}: {memory:.0f} MiB PSS after the load")
        except Skipped as reason:
            CONSOLE.print(f"{name}: {reason}")
    return table


def add(table: Table, name: str, clients: int, seen: Cost) -> None:
    """One row."""
    by_role = seen.cpu_ms
    models = by_role.get("MaskDetection", 0.0) + by_role.get("InstanceSegmentation", 0.0)
    table.add_row(
        name,
        str(clients),
        f"{seen.per_second:.0f}" + (f", errors {dict(seen.failures)}" if seen.failures else ""),
        f"{seen.p50_ms:.1f}",
        f"{seen.total_cpu_ms:.1f}",
        f"{by_role.get('Ingress', 0.0):.1f}",
        f"{models:.1f}",
        f"{by_role.get('proxy', 0.0):.1f}",
    )


def main(
    clients: Annotated[list[int] | None, typer.Option(help="Repeatable; 1 and 16 by default.")] = None,
    seconds: Annotated[float, typer.Option(help="Of each measurement.")] = 10,
    port: Annotated[int, typer.Option(help="The first of those tried.")] = 8200,
) -> None:
    """Measure and print."""
    CONSOLE.print(asyncio.run(measure(clients or [1, 16], seconds, port)))


if __name__ == "__main__":
    typer.run(main)
