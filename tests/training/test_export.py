from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from training import export


def checkpoint(path: Path) -> None:
    torch.save(
        {
            "model": {"weight": torch.zeros(2)},
            "averaged": {"module.weight": torch.ones(2), "module.num_batches_tracked": torch.tensor(3)},
        },
        path,
    )


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(export, "EMBEDDED", tmp_path)
    monkeypatch.setattr("sys.argv", ["export", "--runs", str(tmp_path)])
    return tmp_path


def test_averaged_weights_are_written_under_their_prefixes(embedded: Path) -> None:
    checkpoint(embedded / "face_detector.pt")
    checkpoint(embedded / "mask_classifier.pt")
    checkpoint(embedded / "solov2_people.pt")
    export.main()
    faces = load_file(embedded / "face_mask.safetensors")
    assert {key: value.tolist() for key, value in faces.items()} == {
        "detector.weight": [1.0, 1.0],
        "classifier.weight": [1.0, 1.0],
    }
    assert list(load_file(embedded / "solov2_people.safetensors")) == ["weight"]


def test_a_model_with_a_missing_part_is_named_and_left_alone(
    embedded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint(embedded / "face_detector.pt")
    checkpoint(embedded / "solov2_people.pt")
    export.main()
    assert "no mask_classifier.pt" in capsys.readouterr().out
    assert not (embedded / "face_mask.safetensors").exists()
    assert (embedded / "solov2_people.safetensors").exists()


def test_a_part_that_was_not_trained_stays_as_it_is(embedded: Path) -> None:
    served = {"detector.weight": torch.full((2,), 5.0), "classifier.weight": torch.full((2,), 5.0)}
    save_file(served, embedded / "face_mask.safetensors")
    checkpoint(embedded / "mask_classifier.pt")
    export.main()
    faces = load_file(embedded / "face_mask.safetensors")
    assert faces["detector.weight"].tolist() == [5.0, 5.0]
    assert faces["classifier.weight"].tolist() == [1.0, 1.0]


def test_a_share_of_what_is_there_may_stay(embedded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"weight": torch.full((2,), 5.0)}, embedded / "solov2_people.safetensors")
    checkpoint(embedded / "solov2_people.pt")
    monkeypatch.setattr("sys.argv", ["export", "solov2_people", "--runs", str(embedded), "--share", "0.75"])
    export.main()
    assert load_file(embedded / "solov2_people.safetensors")["weight"].tolist() == [2.0, 2.0]
