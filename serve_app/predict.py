"""``maskgraph predict``: the served pipeline and models in one process, without Ray."""

import asyncio
from collections import Counter
from pathlib import Path

import orjson
from rich.console import Console
from rich.progress import track
from rich.table import Table

from deployments.imaging.draw import draw, encode_picture
from serve_app.http.native_answer import write_answer
from serve_app.local import build_local
from serve_app.pipeline import AnalyzeRequest, EncodedImage, ImageAnalysis
from serve_app.settings import Settings


def predict(photos: list[Path], json: Path | None, drawings: Path | None, settings: Settings) -> bool:
    """Analyse photos one by one and print what they show; true if each could be read and answered.

    json: file for the answers, a list in the order of the photos, each as ``POST /analyze`` gives it; drawings: folder
    for the drawn pictures, ``NAME.jpg`` each.
    """
    console = Console()
    table = Table("photo", "faces", "objects", "decode ms", "total ms")
    answers = []
    complete = True
    pipeline = build_local(settings)
    with asyncio.Runner() as runner:
        for photo in track(photos, "photos", console=console, transient=True):
            request = AnalyzeRequest([EncodedImage(photo.read_bytes(), photo.name)], photo.name, keep_pixels=True)
            analysis = runner.run(pipeline.analyze(request))
            image = analysis.images[0]
            complete = complete and not image.errors
            table.add_row(photo.name, *summary(image), f"{image.timing_ms.get('decode', 0)}", f"{analysis.total_ms}")
            if json:
                answers.append(orjson.loads(runner.run(write_answer(pipeline, analysis, "rle", photo.name, None))))
            if drawings and image.pixels is not None:
                drawings.mkdir(parents=True, exist_ok=True)
                picture = encode_picture(draw(image.pixels, image.faces, image.instances), "jpeg")
                (drawings / f"{photo.stem}.jpg").write_bytes(picture)
    console.print(table)
    if json:
        json.write_bytes(orjson.dumps(answers, option=orjson.OPT_INDENT_2))
    return complete


def summary(image: ImageAnalysis) -> tuple[str, str]:
    """Faces and objects by label, or what went wrong: ``2 MASK, 1 NO MASK``."""
    if image.errors:
        return "; ".join(failure.message for failure in image.errors), ""
    counts = (Counter(face.label for face in image.faces), Counter(instance.label for instance in image.instances))
    faces, objects = (", ".join(f"{n} {label}" for label, n in count.most_common()) or "none" for count in counts)
    return faces, objects
