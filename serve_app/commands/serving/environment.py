"""The environment that Ray is started in. It is read when Ray is imported, so it must be set before."""

from collections.abc import MutableMapping
from pathlib import Path

PACKAGE = Path(__file__).parents[2]
CONFIG = PACKAGE / "serve_config.yaml"
"""The config for one machine with embedded weights, which the package brings."""
LOAD = PACKAGE / "load.env"
"""What to set besides where many requests a second count."""
OURS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray starts its workers, replicas among them, as background work (15); here they are what the machine is for.
    "RAY_worker_niceness": "0",
    # How Ray is told, on every system in spite of the name, that a cluster is this machine alone: its own ports, which
    # let whoever has its token run code, and its metrics, which ask for none, are then bound to loopback.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # A running Ray would be joined, and what it serves replaced.
    "RAY_ADDRESS": "local",
}


def set_for_serving(environment: MutableMapping[str, str], *, load: bool) -> None:
    """Add what Ray needs, and ``LOAD`` where asked for; what the operator has set stays.

    TMPDIR goes: Ray's sockets lie below it, and a socket's path may have 107 characters at most. RAY_TMPDIR can say
    where they shall lie.
    """
    environment.pop("TMPDIR", None)
    for name, value in {**OURS, **(load_variables() if load else {})}.items():
        environment.setdefault(name, value)


def load_variables() -> dict[str, str]:
    """What ``LOAD`` sets."""
    lines = LOAD.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
