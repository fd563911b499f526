"""The stream of a batch run on Ray Data: read, analyse, write."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data
from numpy.typing import NDArray

from serve_app.commands.batch.analyst import Analyst
from serve_app.commands.batch.parts import write_part
from serve_app.commands.batch.places import Place
from serve_app.commands.batch.sources import Listing, pictures
from serve_app.settings import Settings

FILES_A_TASK = 64
BLOCK_BYTES = 8 * 1024 * 1024
"""Of what one task hands to the next; a larger picture makes a block of its own."""
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "2147483648",
}
"""As in serve_config.yaml: large tensors stay in the heap."""


@dataclass(frozen=True, slots=True)
class Workers:
    """The actors of a run."""

    count: int
    threads: int
    """CPU threads of each model."""
    gpus: float
    """Of each, 0 for the CPU."""


def analyse(
    found: Listing,
    done: set[str],
    output: Place,
    settings: Settings,
    workers: Workers,
    rows_a_part: int,
    analyst: type = Analyst,
) -> Iterator[int]:
    """Write the answers of all pictures but those ``done``; yields the number of each part's rows as it is written.

    A worker that dies is replaced, and what it had not handed on is analysed again.
    """
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = BLOCK_BYTES
    light: dict[str, Any] = {"num_cpus": 0, "compute": ray.data.TaskPoolStrategy(size=workers.count)}

    def read(block: pa.Table) -> Iterator[pa.Table]:
        for source in block.to_pylist():
            for picture in pictures(found.place, source["name"], set(source["done"])):
                yield pa.table({"path": [picture.path], "data": [picture.data], "problem": [picture.problem]}, PICTURE)

    def write(batch: Mapping[str, NDArray[np.object_]]) -> dict[str, list[int]]:
        return {"rows": [write_part(output, batch["path"].tolist(), batch["answer"].tolist()).num_rows]}

    left = blocks(found, done)
    if not left:
        return
    stream: ray.data.Dataset = ray.data.from_arrow(left)
    stream = stream.map_batches(read, batch_size=None, batch_format="pyarrow", **light)
    stream = stream.map(
        analyst,
        fn_constructor_args=(settings.model_copy(update={"threads": workers.threads}),),
        compute=ray.data.ActorPoolStrategy(size=workers.count),
        num_cpus=1,
        num_gpus=workers.gpus,
        runtime_env={"env_vars": ALLOCATOR | {"OMP_NUM_THREADS": str(workers.threads)}},
    )
    stream = stream.map_batches(write, batch_size=rows_a_part, **light)
    for row in stream.iter_rows():
        yield row["rows"]


PICTURE = pa.schema([("path", pa.string()), ("data", pa.binary()), ("problem", pa.string())])
SOURCE = pa.schema([("name", pa.string()), ("done", pa.list_(pa.string()))])


def blocks(found: Listing, done: set[str]) -> list[pa.Table]:
    """What each task reads: some files, or one container, with the paths in it that are done."""
    of_container: dict[str, list[str]] = {name: [] for name in found.containers}
    for path in done:
        for folder in PurePosixPath(path).parents:
            if str(folder) in of_container:
                of_container[str(folder)].append(path)
    left = [name for name in found.pictures if name not in done]
    tables = [[{"name": name, "done": paths}] for name, paths in of_container.items()]
    tables += [
        [{"name": name, "done": []} for name in left[start : start + FILES_A_TASK]]
        for start in range(0, len(left), FILES_A_TASK)
    ]
    return [pa.Table.from_pylist(rows, SOURCE) for rows in tables]
