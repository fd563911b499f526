"""``maskgraph predict``: the served pipeline and models in one process, without Ray."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from deployments.models.card import card_path, read_card
from serve_app.analysis import AnalyzeRequest, EncodedImage
from serve_app.client import Options
from serve_app.client.options import query
from serve_app.commands.photos.find import find_photos
from serve_app.commands.photos.run import Outputs, run_photos
from serve_app.http.errors import RequestError
from serve_app.local import build_local
from serve_app.protocols.native.answer import annotated, write_answer
from serve_app.protocols.native.options import NativeOptions, parse_options
from serve_app.settings import Settings


def predict(paths: Sequence[Path], outputs: Outputs, options: Options, settings: Settings) -> bool:
    """Analyse every photo that the paths mean, one by one; true if each could be read and answered.

    Raises ValueError and OSError for paths that mean nothing, wrong options and files that cannot be written.
    """
    photos = find_photos(paths)
    outputs.check(photos)
    native = _native(options, settings)
    # Last, since models take their time.
    pipeline = build_local(settings)

    async def ask(photo: Path) -> dict[str, Any]:
        image = EncodedImage(await pipeline.on_thread(photo.read_bytes), photo.name)
        request = AnalyzeRequest([image], photo.name, native.for_pipeline(), keep_pixels=native.annotate)
        analysis = await pipeline.analyze(request)
        pictures = [annotated(one, None) for one in analysis.images] if native.annotate else None
        answer: dict[str, Any] = orjson.loads(
            await write_answer(pipeline, analysis, native.masks, photo.name, pictures)
        )
        return answer

    return asyncio.run(run_photos(photos, outputs, ask, concurrency=1))


def _native(options: Options, settings: Settings) -> NativeOptions:
    """The options as the service reads them. Raises ValueError."""
    labels = {task: read_card(card_path(card)).labels for task, card in settings.cards().items()}
    asked = query(options)
    text = [(name, one) for name, value in asked.items() for one in (value if isinstance(value, list) else [value])]
    try:
        return parse_options(text, {}, labels)
    except RequestError as error:
        raise ValueError(error.message) from error
