"""What a service bears: ``python -m benchmarks.faults --url http://127.0.0.1:8000 --grpc 127.0.0.1:9000 --root PID``.

PID is that of ``serve run``, on this machine. Each scenario does to the service what must not harm it, and says what
is right and what was seen; ``--only`` names those to run. Prints one table, and ends with 1 if one did not hold.
"""

import argparse
import asyncio
import sys

from rich.console import Console
from rich.table import Table

from benchmarks.scenarios import hostile, kills, load
from benchmarks.scenarios.service import Scenario, Service
from serve_app.commands.bench.loadgen import http_session

SCENARIOS: tuple[Scenario, ...] = (
    load.fairness,
    hostile.stalled_70,
    hostile.stalled_1000,
    hostile.chunked_over_the_limit,
    hostile.json_bombs,
    hostile.protobuf_bombs,
    load.overload_over_grpc,
    load.crowd_in_every_dialect,
    load.overload,
    kills.kill_mask_detection,
    kills.kill_instance_segmentation,
    kills.kill_ingress,
    kills.kill_ingress_over_grpc,
    kills.kill_controller,
    kills.kill_proxy,
)


async def main() -> int:
    """Run the scenarios and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--grpc", default="127.0.0.1:9000")
    parser.add_argument("--root", type=int, required=True, help="process id of `serve run`")
    parser.add_argument("--seconds", type=float, default=60, help="of the overload")
    names = [scenario.__name__ for scenario in SCENARIOS]
    parser.add_argument("--only", nargs="*", choices=names, default=names)
    arguments = parser.parse_args()
    service = Service(arguments.url, arguments.grpc, arguments.root, arguments.seconds)
    table = Table("scenario", "right", "seen", "holds")
    held = True
    async with http_session() as service.session:
        for scenario in SCENARIOS:
            if scenario.__name__ in arguments.only:
                await service.ask()
                seen = await scenario(service)
                held &= seen.holds
                right = " ".join((scenario.__doc__ or "").split())
                table.add_row(scenario.__name__, right, seen.text, "yes" if seen.holds else "NO")
                print(f"{scenario.__name__}: {'holds' if seen.holds else 'DOES NOT HOLD'}: {seen.text}", flush=True)
    Console(width=160).print(table)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
