from pathlib import Path

import pytest

from serve_app.commands.batch.command import claim
from serve_app.commands.batch.places import Place
from serve_app.settings import Settings


def test_a_folder_keeps_to_its_input_and_models(tmp_path: Path) -> None:
    output = Place.at(str(tmp_path / "out"))
    settings = Settings(device="cpu")
    for _ in range(2):
        claim(output, "/photos", settings)
    with pytest.raises(ValueError, match=r"holds answers of input /photos, not /other: choose another folder"):
        claim(output, "/other", settings)
    with pytest.raises(ValueError, match=r"holds answers of precision float32, not bfloat16"):
        claim(output, "/photos", settings.model_copy(update={"precision": "bfloat16"}))


def test_a_folder_with_other_files_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "thesis.pdf").touch()
    with pytest.raises(ValueError, match="holds other files"):
        claim(Place.at(str(tmp_path)), "/photos", Settings(device="cpu"))
