"""Which sockets a tree of processes listens on, from Linux's /proc."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import PROC, titles, trees

LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Listening:
    """A TCP socket that waits for connections."""

    title: str
    """What its process runs."""
    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine reaches it; IPv4 in IPv6's clothes counts as IPv4."""
        address = getattr(self.address, "ipv4_mapped", None) or self.address
        return bool(address.is_loopback)


def listening(root: int) -> list[Listening]:
    """Of a process and all that descend from it, by port."""
    names = titles(trees([root]))
    owners = {inode: name for pid, name in names.items() for inode in _inodes(pid)}
    found = {Listening(owners[inode], address, port) for inode, address, port in _sockets() if inode in owners}
    return sorted(found, key=lambda each: each.port)


def _sockets() -> Iterator[tuple[str, ipaddress.IPv4Address | ipaddress.IPv6Address, int]]:
    """Inode, address and port of every TCP socket of this network namespace that listens."""
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN:
                host, port = fields[1].split(":")
                # Words of four bytes, each in the machine's order, which is little-endian wherever Ray has wheels.
                words = [bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8)]
                yield fields[9], ipaddress.ip_address(b"".join(words)), int(port, 16)


def _inodes(pid: int) -> Iterator[str]:
    """Of the sockets that a process has open."""
    try:
        links = [str(file.readlink()) for file in (PROC / str(pid) / "fd").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        return  # it has just ended
    for link in links:
        if found := re.fullmatch(r"socket:\[(\d+)]", link):
            yield found[1]
