"""``maskgraph key``: a new API key."""

import secrets

import typer
from pydantic import ValidationError

from serve_app.api_keys import KeyEntry, digest


def make_key(name: str) -> None:
    """Print a key of 256 random bits, and what the file of keys must hold of it. Raises ValueError for a bad name."""
    key = f"mg_{secrets.token_urlsafe(32)}"
    try:
        entry = KeyEntry(name=name, sha256=digest(key.encode()))
    except ValidationError:
        raise ValueError(
            f"{name!r} cannot name a key: take up to 64 letters, digits, dots, dashes and underscores"
        ) from None
    typer.echo(f"{key}   (shown once; send it as X-API-Key)", err=True)
    typer.echo(f"  - name: {entry.name}\n    sha256: {entry.sha256}")
