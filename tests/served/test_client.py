"""The client and ``maskgraph analyze`` against the real graph."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serve_app.client import Client
from tests.photos import astronaut, grace_hopper, jpeg, masked_astronaut, png

pytestmark = pytest.mark.serve
ROOT = Path(__file__).parents[2]


def test_every_form_of_a_photo_gets_one_answer(service: str) -> None:
    photo = masked_astronaut()
    with Client(service) as client:
        by_file, by_image = client.analyze_many([png(photo), Image.fromarray(photo)])
        by_pixels = client.analyze(photo[..., ::-1], colors="BGR")
    assert by_file.faces == by_image.faces == by_pixels.faces
    assert by_file.instances == by_image.instances == by_pixels.instances
    (person,) = (person for person in by_file.people if person.face is not None)
    assert person.mask == "MASK"
    mask = person.instance.mask
    assert (mask.shape, int(mask.sum())) == ((512, 512), person.instance.area)
    drawn = np.asarray(by_file.draw(photo, colors="RGB"), int)
    assert (drawn != photo)[mask].mean() > 0.9


def test_a_run_that_is_killed_is_gone_on_with(service: str, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(12):
        picture = (astronaut, grace_hopper, masked_astronaut)[number % 3]()
        (photos / f"{number}.jpg").write_bytes(jpeg(picture))
    lines = tmp_path / "answers.jsonl"
    program = "from serve_app.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        program,
        "analyze",
        str(photos),
        "--url",
        service,
        "--output",
        str(lines),
        "--json",
    ]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert running.stdout is not None
    first = running.stdout.readline()
    running.kill()
    running.communicate()
    with lines.open("ab") as file:
        file.write(first[: len(first) // 2])
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in lines.read_text().splitlines()]
    assert sorted(answer["path"] for answer in answers) == sorted(str(path) for path in photos.iterdir())
    assert len(done.stdout.splitlines()) < 12
    for answer in answers:
        masked = int(Path(answer["path"]).stem) % 3 == 2
        assert [face["label"] for face in answer["faces"]] == ["MASK" if masked else "NO MASK"]
