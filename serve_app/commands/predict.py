"""``maskgraph predict``: the served pipeline and models in one process, without Ray."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import orjson
from rich.console import Console
from rich.progress import track
from rich.table import Table

from deployments.imaging.draw import draw, encode_picture
from deployments.models.card import Task
from serve_app.local import build_local
from serve_app.pipeline import FOUND, AnalyzeRequest, EncodedImage, ImageAnalysis
from serve_app.protocols.native.answer import write_answer
from serve_app.settings import Settings


def predict(photos: list[Path], json: Path | None, drawings: Path | None, settings: Settings) -> bool:
    """Analyse photos one by one and print what they show; true if each could be read and answered.

    json: file for the answers, a list in the order of the photos, each as ``POST /analyze`` gives it; drawings: folder
    for the drawn pictures, ``NAME.jpg`` each.
    """
    console = Console()
    answers = []
    complete = True
    pipeline = build_local(settings)
    table = Table("photo", *(FOUND[task] for task in pipeline.branches), "decode ms", "total ms")
    with asyncio.Runner() as runner:
        for photo in track(photos, "photos", console=console, transient=True):
            request = AnalyzeRequest([EncodedImage(photo.read_bytes(), photo.name)], photo.name, keep_pixels=True)
            analysis = runner.run(pipeline.analyze(request))
            image = analysis.images[0]
            complete = complete and not image.errors
            times = f"{image.timing_ms.get('decode', 0)}", f"{analysis.total_ms}"
            table.add_row(photo.name, *summary(image, list(pipeline.branches)), *times)
            if json:
                answers.append(orjson.loads(runner.run(write_answer(pipeline, analysis, "rle", photo.name, None))))
            if drawings and image.pixels is not None:
                drawings.mkdir(parents=True, exist_ok=True)
                picture = encode_picture(draw(image.pixels, image.faces, image.instances, image.objects), "jpeg")
                (drawings / f"{photo.stem}.jpg").write_bytes(picture)
    console.print(table)
    if json:
        json.write_bytes(orjson.dumps(answers, option=orjson.OPT_INDENT_2))
    return complete


def summary(image: ImageAnalysis, tasks: Sequence[Task]) -> list[str]:
    """What each task found, by label: ``2 MASK, 1 NO MASK``; or, in the first place, what went wrong."""
    if image.errors:
        return ["; ".join(failure.message for failure in image.errors), *[""] * (len(tasks) - 1)]
    counts = [Counter(one.label for one in image.found(task)) for task in tasks]
    return [", ".join(f"{n} {label}" for label, n in count.most_common()) or "none" for count in counts]
