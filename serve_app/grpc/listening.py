"""Where Serve's gRPC servers listen, and whether with TLS. Serve takes every interface, in the clear.

Three environment variables say it, which ``controller_options`` gives to each process of Serve that listens.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
from ray.serve._private import default_impl

HOST = "MASKGRAPH_GRPC_HOST"
"""An address of this machine; every interface without it."""
CERTIFICATE = "MASKGRAPH_GRPC_CERTIFICATE"
"""PEM file of the server's certificate and those between it and its root; with KEY, TLS is spoken."""
KEY = "MASKGRAPH_GRPC_KEY"
"""PEM file of the certificate's private key."""


def listen_as_configured(prepare: Callable[[Any], None]) -> None:
    """For every gRPC server of Serve that this process starts from now on; ``prepare`` is given each, still empty.

    Raises RuntimeError where this Ray adds addresses in another place: no start is better than a port open unasked.
    """
    if not hasattr(default_impl, "add_grpc_address"):
        raise RuntimeError("this version of Ray leaves no way to say where gRPC listens; see docs/decisions.md")

    def add_grpc_address(server: Any, address: str) -> None:
        prepare(server)
        add_address(server, address)

    default_impl.add_grpc_address = add_grpc_address  # type: ignore[assignment]


def add_address(server: Any, address: str) -> None:
    """Let a server listen on the configured host, at the port of ``address``.

    Raises RuntimeError where it cannot, or where only one of certificate and key is given; OSError for a file that
    cannot be read.
    """
    host = os.environ.get(HOST, "")
    address = f"{host}:{address.rpartition(':')[2]}" if host else address
    certificate, key = os.environ.get(CERTIFICATE), os.environ.get(KEY)
    if bool(certificate) != bool(key):
        raise RuntimeError(f"{CERTIFICATE} and {KEY} are needed together")
    if certificate and key:
        pair = (Path(key).read_bytes(), Path(certificate).read_bytes())
        bound = server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    else:
        bound = server.add_insecure_port(address)
    if not bound:
        raise RuntimeError(f"gRPC cannot listen on {address}")
