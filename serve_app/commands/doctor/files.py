"""The cache, weights, and what a config needs."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from deployments.models.card import card_path, read_card
from deployments.models.checkpoints.weights_cache import cache_folder, file_sha256, local_weights
from deployments.models.converted import outdated_folders
from serve_app.checking.check import applications_of_ours, check_file
from serve_app.checking.machine import missing_files, missing_gpus, taken_ports
from serve_app.commands.check import located
from serve_app.commands.doctor.finding import Finding, ok
from serve_app.commands.doctor.software import folder_size
from serve_app.settings import Settings


def cache() -> Iterator[Finding]:
    """Whether it can be written, and what it holds."""
    folder = cache_folder()
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        mend = "set MASKGRAPH_CACHE to a folder that can be: networks are converted anew at each start"
        yield Finding("cache", "warning", f"{folder} cannot be written", mend)
        return
    old = sum(map(folder_size, outdated_folders()))
    message = f"{folder}, {folder_size(folder) / 1e6:.0f} MB"
    if old:
        mend = "maskgraph doctor --clean-cache removes them"
        yield Finding("cache", "warning", f"{message}, {old / 1e6:.0f} MB of them networks of other versions", mend)
    else:
        yield ok("cache", message)


def clean_cache() -> int:
    """Remove the networks that no start of this version will read again; returns how many bytes. Raises OSError."""
    folders: Sequence[Path] = outdated_folders()
    size = sum(map(folder_size, folders))
    for folder in folders:
        shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    return size


def config(file: Path) -> Iterator[Finding]:
    """What ``maskgraph serve`` would refuse it for, and whether its weights are what its cards say."""
    unsound = check_file(file)
    problems = unsound or check_file(file, [missing_files, missing_gpus])
    for problem in problems:
        yield Finding("config", "wrong", located(file, problem), "docs/operations.md, What goes wrong at a start")
    taken = [] if unsound else check_file(file, [taken_ports])
    for problem in taken:
        mend = "all is well if it is this service that runs; a second one needs other ports"
        yield Finding("config", "warning", located(file, problem), mend)
    if not problems and not taken:
        yield ok("config", f"{file}, its files, GPUs and ports")
    if not unsound:
        yield from _weights(file)


def _weights(file: Path) -> Iterator[Finding]:
    for _, arguments in applications_of_ours(yaml.safe_load(file.read_bytes())):
        for reference in Settings.model_validate(arguments).cards().values():
            try:
                yield weights(reference)
            except (ValueError, OSError) as error:
                yield Finding("weights", "wrong", str(error), "put the file that the card means in its place")


def weights(reference: str) -> Finding:
    """Of a model card. Raises ValueError where they are not there or not those of the card."""
    path = card_path(reference)
    card = read_card(path)
    if card.weights_are_remote:
        kept = cache_folder() / str(card.sha256)
        if not kept.is_file():
            return ok("weights", f"{card.name}: not here yet; the first start fetches them")
        if file_sha256(kept) != card.sha256:
            return Finding("weights", "warning", f"{card.name}: {kept} is damaged", "the next start fetches it again")
        return ok("weights", f"{card.name}: fetched, sha256 as in the card")
    found = file_sha256(local_weights(card, path.parent))
    known = "as in the card" if card.sha256 else "the card names none to hold it against"
    return ok("weights", f"{card.name}: there, sha256 {found[:12]}... ({known})")
