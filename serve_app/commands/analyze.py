"""``maskgraph analyze``: photos in files and folders, asked of a running service."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from serve_app.client import (
    AsyncClient,
    BadRequest,
    Client,
    MaskgraphError,
    Options,
    ServiceUnreachable,
    Unauthorized,
    read_answer,
)
from serve_app.commands.photos.find import FoundPhoto, find_photos
from serve_app.commands.photos.run import Outputs, PhotoFailed, run_photos

RETRIES = 1000
"""So many that a photo's own time ends them: a busy service is waited for."""
ABOUT_OPTIONS = ("bad_option", "unknown_option")
"""Codes of errors that every photo would have."""


def analyze(
    paths: Sequence[Path],
    outputs: Outputs,
    options: Options,
    *,
    url: str,
    api_key: str | None,
    concurrency: int,
    timeout_s: float,
) -> bool:
    """Ask about every photo that the paths mean, ``concurrency`` at a time; true if each got its whole answer.

    timeout_s: for one photo, the waits for a busy service included. Raises ValueError and OSError for what ends the
    run: paths that mean nothing, files that cannot be written, a service that is not there, or refuses the key or an
    option.
    """
    photos = find_photos(paths)
    try:
        with Client(url, api_key=api_key, retries=0) as first:
            first.models()  # so that what is wrong with the address or the key is said at once
        client = AsyncClient(url, api_key=api_key, timeout_s=timeout_s, retries=RETRIES, concurrency=concurrency)
        return asyncio.run(_analyze(photos, outputs, options, client, concurrency))
    except ServiceUnreachable as error:
        raise ValueError(f"{error}; maskgraph serve starts a service, --url names another") from error
    except Unauthorized as error:
        raise ValueError(f"{error}; give it as --api-key or in MASKGRAPH_API_KEY") from error
    except MaskgraphError as error:
        raise ValueError(f"{url}: {error}") from error


async def _analyze(
    photos: Sequence[FoundPhoto], outputs: Outputs, options: Options, client: AsyncClient, concurrency: int
) -> bool:
    async with client:

        async def ask(photo: Path) -> dict[str, Any]:
            try:
                answer = await client.ask([photo], **options)
                read_answer(answer)
            except MaskgraphError as error:
                if _of_every_photo(error):
                    raise
                raise PhotoFailed(error.code, str(error)) from error
            return answer

        return await run_photos(photos, outputs, ask, concurrency)


def _of_every_photo(error: MaskgraphError) -> bool:
    if isinstance(error, BadRequest):
        return error.code in ABOUT_OPTIONS
    return isinstance(error, ServiceUnreachable | Unauthorized)
