"""The story of docs/preprocessing.md: right in torch, wrong as ONNX, since another library shrinks the photo."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import v2

from deployments.models.load import load
from deployments.results import Instance
from serve_app.commands.preprocessing.answers import Found, answer
from serve_app.commands.preprocessing.command import compare_against, compare_preprocessing
from tests.photos import astronaut


@pytest.fixture(scope="module")
def halftone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A printed portrait, scanned: ink or none in each pixel, in dots of five and a half pixels."""
    portrait = np.array(Image.fromarray(astronaut()).resize((2304, 2304), Image.Resampling.BICUBIC))
    y, x = np.mgrid[:2304, :2304] * 2 * np.pi / 5.5
    screen = (np.cos(x) + np.cos(y)) / 4 + 0.5
    path = tmp_path_factory.mktemp("halftone") / "halftone.png"
    Image.fromarray(np.uint8(255 * (portrait / 255 > screen[..., None]))).save(path)
    return path


@pytest.fixture(scope="module")
def opencv_card(solov2_people_onnx: Path) -> Path:
    """The exported model's card, by somebody whose service shrinks photos by cv2.resize."""
    fields = yaml.safe_load(solov2_people_onnx.read_text())
    fields["image"]["interpolation"] = "opencv_bilinear"
    path = solov2_people_onnx.with_name("opencv.yaml")
    path.write_text(yaml.safe_dump(fields))
    return path


def answered(reference: str, photo: Path, resized: NDArray[np.uint8], **options: Any) -> list[Found]:
    model = load(reference, "instance_segmentation", "cpu", 1, **options)
    width, height = Image.open(photo).size
    return list(answer(model, resized, height, width))


def table(photo: Path, reference: Path, folder: Path) -> dict[str, Any]:
    """What the command says of each way, by its name; and of the card's own rule."""
    compare_preprocessing(photo, str(reference), None, folder / "numbers.json")
    numbers = json.loads((folder / "numbers.json").read_bytes())
    return numbers | {"ways": {way["way"]: way for way in numbers["ways"]}}


def test_the_same_pixels_give_the_same_answer_in_torch_and_as_onnx(halftone: Path, solov2_people_onnx: Path) -> None:
    resized = np.array(v2.functional.resize(v2.functional.pil_to_tensor(Image.open(halftone)), [448, 448]))
    resized = np.ascontiguousarray(resized.transpose(1, 2, 0))
    (in_torch,) = answered("solov2_people", halftone, resized, engine="eager")
    (as_onnx,) = answered(str(solov2_people_onnx), halftone, resized)
    assert isinstance(in_torch, Instance)
    assert isinstance(as_onnx, Instance)
    assert in_torch.label == as_onnx.label == "person"
    assert in_torch.score == pytest.approx(as_onnx.score, abs=1e-4)
    assert round(in_torch.score, 2) == 0.56


def test_shrunk_by_opencv_the_person_is_lost(halftone: Path, opencv_card: Path, tmp_path: Path) -> None:
    numbers = table(halftone, opencv_card, tmp_path)
    assert numbers["answer"] == "nothing"
    for way in ("Pillow", "torchvision, antialias"):
        assert numbers["ways"][way]["answer"] == "1 person (0.56)"
        assert [cause["step"] for cause in numbers["ways"][way]["causes"]] == ["antialias"]
        assert numbers["ways"][way]["mean"] == pytest.approx(50.6, abs=0.1)
    assert numbers["ways"]["OpenCV, RGB"]["mean"] == 0


def test_the_tensor_of_training_names_the_line_to_change(
    halftone: Path, opencv_card: Path, solov2_people_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [v2.ToImage(), v2.Resize(448), v2.ToDtype(torch.float32, scale=True)]
    normalize = v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    np.save(tmp_path / "dump.npy", v2.Compose([*steps, normalize])(Image.open(halftone)).numpy())
    assert not compare_against(halftone, str(opencv_card), tmp_path / "dump.npy", None)
    assert "image: {interpolation: antialiased_bilinear}" in capsys.readouterr().out
    assert compare_against(halftone, str(solov2_people_onnx), tmp_path / "dump.npy", None)
