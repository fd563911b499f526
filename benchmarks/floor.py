"""A bare process around both networks: ``python -m benchmarks.floor``. Reads a photo's path a line, answers a line.

The floor of benchmarks/compare.py: what the machine can do with this engine, without HTTP, queues or copies.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.peers.networks import analyze, same_engine
from deployments.engines.precision import Precision


def main(
    threads: Annotated[int, typer.Option(help="CPU threads of each network.")] = 1,
    side_by_side: Annotated[bool, typer.Option(help="Both networks at once, for one photo's shortest time.")] = False,
    precision: Annotated[Precision, typer.Option(help="Of both networks.")] = "float32",
) -> None:
    models = same_engine(threads, precision)
    pool = ThreadPoolExecutor(len(models)) if side_by_side else None
    print("ready", flush=True)
    for line in sys.stdin:
        results = analyze(models, Path(line.rstrip("\n")).read_bytes(), pool)
        print(json.dumps({task: len(found) for task, found in results.items()}), flush=True)


if __name__ == "__main__":
    typer.run(main)
