"""Ports for what a test starts."""

import random
import socket
from contextlib import suppress


def free_port() -> int:
    """None of those that systems give to connections and to who asks for any: Ray takes many of them meanwhile."""
    for port in random.sample(range(20_000, 32_000), 1000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port")
