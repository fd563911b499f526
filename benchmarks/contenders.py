"""How a contender of compare.py starts, is asked for a photo, and ends."""

import asyncio
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Protocol

import aiohttp

from benchmarks import processes
from serve_app.commands.bench.loadgen import Failed, http_session, post

ROOT = Path(__file__).parents[1]
READY_S = 240.0
STOP_S = 60.0
CORES = len(os.sched_getaffinity(0))


class Skipped(Exception):
    """A contender cannot take part here; the message says why."""


class Photos:
    """Encoded photos, in memory and as files."""

    def __init__(self, bodies: Sequence[bytes], folder: Path) -> None:
        self.bodies = bodies
        self.paths = [folder / f"{number}.jpg" for number in range(len(bodies))]
        for path, body in zip(self.paths, bodies, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)


class Contender(Protocol):
    """Answers photos in processes of its own."""

    name: str
    description: str
    most_clients: int | None
    """Above this many clients it is not measured."""

    async def start(self) -> None:
        """Returns once it is ready. Raises Skipped."""

    async def ask(self, photos: Photos, number: int) -> None:
        """One photo, the ``number``-th of those in turn. Raises Failed."""

    async def stop(self) -> None:
        """End every process."""

    @property
    def roots(self) -> list[int]:
        """The processes that were started; theirs are all that descend from them."""


class Subprocess:
    """One command in a session of its own, with its output in a file."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.command, self.environment, self.log = command, environment, log
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, *, talks: bool = False) -> asyncio.subprocess.Process:
        """``talks``: its standard input and output are pipes."""
        pipe = asyncio.subprocess.PIPE
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                cwd=ROOT,
                env=dict(self.environment),
                stdin=pipe if talks else asyncio.subprocess.DEVNULL,
                stdout=pipe if talks else log,
                stderr=log,
                start_new_session=True,
            )
        return self.process

    async def stop(self) -> None:
        """End it and all that descend from it, by SIGINT first."""
        if self.process is None:
            return
        family = processes.trees([self.process.pid])
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(self.process.wait(), STOP_S)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        for pid in family.keys() & processes.processes().keys():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Floor:
    """Bare processes that each take one photo at a time, by turns."""

    def __init__(
        self, name: str, arguments: Sequence[str], variables: Mapping[str, str], workers: int, log: Path
    ) -> None:
        self.name = name
        self.description = f"{workers} x python -m benchmarks.floor {' '.join(arguments)}"
        self.most_clients = 1 if workers == 1 else None
        environment = {**os.environ, **variables, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "benchmarks.floor", *arguments]
        self.workers = [Subprocess(command, environment, log) for _ in range(workers)]
        self.free: list[asyncio.subprocess.Process] = []
        # First come, first served; from a queue of free processes, who gives one back could take it again.
        self.turns = asyncio.Semaphore(workers)

    async def start(self) -> None:
        for process in [await worker.start(talks=True) for worker in self.workers]:
            assert process.stdout
            if await asyncio.wait_for(process.stdout.readline(), READY_S) != b"ready\n":
                raise Skipped(f"the floor did not start; see {self.workers[0].log}")
            self.free.append(process)

    async def ask(self, photos: Photos, number: int) -> None:
        async with self.turns:
            process = self.free.pop()
            assert process.stdin
            assert process.stdout
            process.stdin.write(f"{photos.paths[number % len(photos.paths)]}\n".encode())
            line = await process.stdout.readline()
            self.free.append(process)
        if not line:
            raise Failed("process ended")

    async def stop(self) -> None:
        for worker in self.workers:
            await worker.stop()

    @property
    def roots(self) -> list[int]:
        return [worker.process.pid for worker in self.workers if worker.process]


class HttpServer:
    """A server of POST /analyze.

    encode: a photo's request body and its content type; wrong: what is amiss with the body of a 200, if anything.
    """

    most_clients: int | None = None

    def __init__(
        self,
        name: str,
        server: Subprocess,
        url: str,
        ready: str,
        *,
        encode: Callable[[bytes], tuple[bytes, str]] = lambda photo: (photo, "image/jpeg"),
        wrong: Callable[[bytes], str | None] = lambda body: None,
    ) -> None:
        self.name = name
        self.description = shlex.join(server.command)
        self.server, self.url, self.ready = server, url, ready
        self.encode, self.wrong = cache(encode), wrong
        self.session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        process = await self.server.start()
        self.session = http_session()
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if process.returncode is not None:
                raise Skipped(f"{self.name} ended with {process.returncode}; see {self.server.log}")
            with suppress(aiohttp.ClientError, TimeoutError):
                async with self.session.get(self.url + self.ready) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.2)
        raise Skipped(f"{self.name} was not ready after {READY_S:.0f} s; see {self.server.log}")

    async def ask(self, photos: Photos, number: int) -> None:
        assert self.session
        body, content_type = self.encode(photos.bodies[number % len(photos.bodies)])
        answer = await post(self.session, self.url + "/analyze", body, content_type)
        if error := self.wrong(answer):
            raise Failed(f"200 with {error}")

    async def stop(self) -> None:
        if self.session:
            await self.session.close()
        await self.server.stop()

    @property
    def roots(self) -> list[int]:
        return [self.server.process.pid] if self.server.process else []
