"""Ray and Serve, started and stopped by this process."""

import logging
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ray
from ray import serve
from ray.serve._private.api import serve_start
from ray.serve.schema import ServeDeploySchema, ServeStatus


class Session(Protocol):
    """Something that serves."""

    @property
    def logs(self) -> Path:
        """The folder with what its processes log."""

    def status(self) -> ServeStatus:
        """How it goes now."""


@dataclass(frozen=True)
class RaySession:
    """Serve in this process's Ray."""

    logs: Path

    def status(self) -> ServeStatus:
        """How it goes now."""
        return serve.status()


@contextmanager
def ray_session(config: Mapping[str, Any], *, verbose: bool) -> Iterator[RaySession]:
    """Start what a sound config says, and end all of it in the end; Ctrl-C and SIGTERM raise KeyboardInterrupt.

    What Ray and the replicas log goes to files, and to the terminal as well only if ``verbose``.
    """
    schema = ServeDeploySchema.model_validate(config)
    level = logging.INFO if verbose else logging.ERROR
    logging.getLogger("ray.serve").setLevel(level)
    context: Any = ray.init(namespace="serve", log_to_driver=verbose, logging_level=level)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        client = serve_start(
            http_options=schema.http_options.model_dump(),
            grpc_options=schema.grpc_options.model_dump(),
            proxy_location=schema.proxy_location,
            controller_options=schema.controller_options,
        )
        client.deploy_apps(schema)
        yield RaySession(Path(context.address_info["session_dir"]) / "logs" / "serve")
    finally:
        # Ray tells of the controller's end, which is wanted, as of a failure.
        with nullcontext() if verbose else _silence():
            try:
                serve.shutdown()  # type: ignore[no-untyped-call]
            finally:
                ray.shutdown(wait_for_processes=True)


@contextmanager
def _silence() -> Iterator[None]:
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield
