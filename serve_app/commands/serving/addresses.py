"""Where a config listens, in words that a browser or a client on this machine takes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from serve_app.checking.check import applications_of_ours
from serve_app.checking.machine import listens_at

EVERY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""What a host that means every interface is called from this machine."""


@dataclass(frozen=True)
class Addresses:
    """Of a config that has applications of ours."""

    pages: tuple[str, ...]
    """The URL of each of them, with a slash at its end."""
    grpc: str | None
    """host:port, where gRPC is served."""


def addresses_of(config: Mapping[str, Any]) -> Addresses:
    """Of a sound config."""
    options = config.get("http_options") or {}
    scheme = "https" if options.get("ssl_certfile") else "http"
    base = f"{scheme}://{_reachable(config, 'http_options')}{options.get('root_path', '')}"
    pages = tuple(f"{base}{prefix.rstrip('/')}/" for prefix in _prefixes(config))
    grpc_options = config.get("grpc_options")
    if not grpc_options or not grpc_options.get("grpc_servicer_functions"):
        return Addresses(pages, None)
    return Addresses(pages, _reachable(config, "grpc_options"))


def _prefixes(config: Mapping[str, Any]) -> Iterator[str]:
    for index, _ in applications_of_ours(config):
        prefix = config["applications"][index].get("route_prefix", "/")
        if prefix is not None:
            yield prefix


def _reachable(config: Mapping[str, Any], section: str) -> str:
    host, port = listens_at(config, section)
    host = EVERY_INTERFACE.get(host, host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
