"""Fuzzes one target in this process: ``python -m benchmarks.fuzzing.run_one TARGET FOLDER SECONDS``.

libFuzzer ends the process, at the first finding or when the time is over; what it found lies in the folder then.
"""

import logging
import sys
import time
from pathlib import Path

import atheris
import numpy as np

MEASURES = ("cases", "worst_s", "first_mb", "last_mb")
LONGEST_S = 2.0
"""Of this process's CPU time, for one case: others' load on the machine is no finding."""
HANGS_S = 60
"""By the clock, for what never ends."""
WARM_AFTER = 0.5
"""Share of the time after which memory should grow no more."""
INSTRUMENTED = ("serve_app", "deployments", "PIL", "yaml", "python_multipart", "starlette", "pickletools", "zipfile")


def resident_mb() -> float:
    """What this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def main(name: str, folder: Path, seconds: float) -> None:
    """Does not return."""
    logging.disable(logging.CRITICAL)
    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        from benchmarks.fuzzing.targets import made

        target = made(name)
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for seed, data in target.seeds.items():
        (corpus / f"seed-{seed}").write_bytes(data)
        target.check(data)  # what is imported late is not counted as the first case's
    # libFuzzer ends the process without a word to Python, hence a file that outlives it.
    measures = np.memmap(folder / "measures", np.float64, "w+", shape=len(MEASURES))
    measures[2:] = resident_mb()
    warm_at = time.monotonic() + WARM_AFTER * seconds

    def one(data: bytes) -> None:
        start = time.process_time()
        target.check(data)
        took = time.process_time() - start
        measures[0] += 1
        measures[1] = max(measures[1], took)
        if measures[0] % 100 == 0:
            measures[3] = resident_mb()
            if time.monotonic() < warm_at:
                measures[2] = measures[3]
        if took > LONGEST_S:
            raise TimeoutError(f"a case took {took:.1f} s")

    flags = {
        "max_total_time": round(seconds),
        "timeout": HANGS_S,
        "rss_limit_mb": 4096,
        "max_len": 100_000,
        "artifact_prefix": f"{folder}/found-",
        "print_final_stats": 1,
    }
    atheris.Setup([sys.argv[0], *(f"-{flag}={value}" for flag, value in flags.items()), str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
