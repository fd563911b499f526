"""Pixels that processes of one machine share, instead of copying them into a message and out of it again.

A process keeps each image in a file of the kernel that has no path (``memfd_create``) and uses it again for the next
one, so nothing is faulted in anew, and nothing is left behind by a process that dies. Another process of the same user
opens it by way of ``/proc``, and makes sure that it is the one that was meant. Linux only.
"""

import mmap
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GRAIN = 1 << 20
"""Files have a multiple of so many bytes, so that images of about one size take turns in them."""
MOST_IDLE = 128 << 20
"""Bytes that are kept for coming images."""


class NotShared(Exception):
    """Sender and reader share no memory: they run on other machines, in other containers, or as other users."""


@dataclass(frozen=True, slots=True)
class SharedPixels:
    """Where to find uint8 pixels [height, width, 3]."""

    process: int
    file: int
    """Descriptor, in that process."""
    name: str
    """Of the file, and of no other one anywhere."""
    height: int
    width: int

    def open(self) -> NDArray[np.uint8]:
        """The pixels, read only, for as long as the array lives. Once the sender has its answer it may change them.

        Raises NotShared.
        """
        try:
            file = os.open(f"/proc/{self.process}/fd/{self.file}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise NotShared from error
        try:
            if os.readlink(f"/proc/self/fd/{file}") != _link(self.name):
                raise NotShared
            flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
            memory = mmap.mmap(file, self.height * self.width * 3, flags, mmap.PROT_READ)
        finally:
            os.close(file)
        return np.frombuffer(memory, np.uint8).reshape(self.height, self.width, 3)


class _File:
    def __init__(self, size: int) -> None:
        self.size = size
        self._name = f"maskgraph-{secrets.token_hex(16)}"
        self._descriptor = os.memfd_create(self._name)
        try:
            os.ftruncate(self._descriptor, size)
            self._memory = mmap.mmap(self._descriptor, size)
        except BaseException:
            os.close(self._descriptor)
            raise

    def write(self, image: NDArray[np.uint8]) -> SharedPixels:
        height, width, _ = image.shape
        np.frombuffer(self._memory, np.uint8, image.size).reshape(image.shape)[:] = image
        return SharedPixels(os.getpid(), self._descriptor, self._name, height, width)

    def close(self) -> None:
        self._memory.close()
        os.close(self._descriptor)


class PixelSharing:
    """The files of one process, for use on one thread."""

    def __init__(self) -> None:
        self._idle: list[_File] = []

    @contextmanager
    def shared(self, image: NDArray[np.uint8]) -> Iterator[SharedPixels]:
        """Uint8 [height, width, 3], for others to read meanwhile. Raises NotShared where there is no file for it."""
        try:
            file = self._take(image.nbytes)
        except OSError as error:
            raise NotShared from error
        try:
            yield file.write(image)
        except BaseException:
            # Whoever was asked may read it yet.
            file.close()
            raise
        self._idle.append(file)
        while sum(file.size for file in self._idle) > MOST_IDLE:
            self._idle.pop(0).close()

    def _take(self, size: int) -> _File:
        fitting = [file for file in self._idle if size <= file.size <= 2 * size + GRAIN]
        if not fitting:
            return _File(-(-size // GRAIN) * GRAIN)
        file = min(fitting, key=lambda file: file.size)
        self._idle.remove(file)
        return file


def can_share() -> bool:
    """Whether this system has what sharing takes."""
    return sys.platform == "linux"


def _link(name: str) -> str:
    return f"/memfd:{name} (deleted)"
