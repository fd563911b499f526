"""``maskgraph convert``: a foreign checkpoint becomes safetensors and a model card."""

from pathlib import Path

import typer

from deployments.models.checkpoints.convert import convert as convert_checkpoint


def convert(source: Path, target: Path, name: str, licence: str) -> None:
    """Write both and say what the checkpoint is. Raises ValueError and OSError as ``convert_checkpoint`` does."""
    card = convert_checkpoint(source, target, name, licence)
    typer.echo(f"{target.with_suffix('.yaml')}: {card.description}")
