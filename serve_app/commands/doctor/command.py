"""``maskgraph doctor``."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from serve_app.commands.doctor import files, hardware, software
from serve_app.commands.doctor.finding import Finding, State
from serve_app.commands.output import print_json

STYLES: dict[State, str] = {"ok": "green", "warning": "yellow", "wrong": "red"}


def doctor(config: Path, *, as_json: bool, clean_cache: bool) -> bool:
    """Print what this machine has of what a config needs; false if anything is wrong.

    clean_cache: first remove networks that other versions converted. Raises OSError where that fails.
    """
    if clean_cache:
        typer.echo(f"{files.clean_cache() / 1e6:.0f} MB removed from the cache", err=True)
    findings = list(look(config))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        Console(soft_wrap=True).print(table(findings))
    return all(finding.state != "wrong" for finding in findings)


def look(config: Path) -> Iterator[Finding]:
    """At everything."""
    yield from software.packages()
    import torch  # slow, and not there where packages are missing

    yield from chain(
        software.engines(torch),
        hardware.gpus(torch),
        hardware.instructions(torch.cpu.get_capabilities()),
        hardware.cores(),
        hardware.memory(),
        hardware.shared_memory(),
        software.ray(),
        files.cache(),
        files.config(config),
    )


def table(findings: list[Finding]) -> Table:
    """A line each, and the mend below it."""
    made = Table.grid(padding=(0, 2))
    for finding in findings:
        made.add_row(Text(finding.state, STYLES[finding.state]), finding.subject, Text(finding.message))
        if finding.mend:
            made.add_row("", "", Text(f"-> {finding.mend}", "bold"))
    return made
