from pathlib import Path

import pytest
import yaml

from deployments.models.card import EMBEDDED, ModelCard, card_path, read_card


@pytest.mark.parametrize("name", sorted(path.stem for path in EMBEDDED.glob("*.yaml")))
def test_embedded_models_are_whole(name: str) -> None:
    card = read_card(card_path(name))
    assert card.name == name
    weights = EMBEDDED / card.weights
    assert 0 < weights.stat().st_size <= 20_000_000
    assert card.training_data
    assert card.metrics
    assert card.limits
    assert card.precision_recall
    assert (EMBEDDED / card.precision_recall).is_file()


def test_faces_have_the_labels_that_clients_know(tmp_path: Path) -> None:
    document = yaml.safe_load(card_path("face_mask").read_text()) | {"labels": ["MASK", "with_mask"]}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ValueError, match="labels of mask_detection are MASK or NO MASK, not 'with_mask'"):
        read_card(tmp_path / "mine.yaml")


def test_a_card_without_labels_is_refused_when_it_is_read(tmp_path: Path) -> None:
    document = yaml.safe_load(card_path("solov2_people").read_text()) | {"labels": []}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ValueError, match=r"model card mine\.yaml: labels: .*at least 1 item"):
        read_card(tmp_path / "mine.yaml")


def test_every_task_that_is_served_unasked_has_an_embedded_model() -> None:
    assert {read_card(path).task for path in EMBEDDED.glob("*.yaml")} >= {"mask_detection", "instance_segmentation"}


@pytest.mark.parametrize("threshold", ["nms_iou", "scores", "classes", "max_objects"])
def test_a_threshold_that_the_task_does_not_have_is_named(tmp_path: Path, threshold: str) -> None:
    document = yaml.safe_load(card_path("face_mask").read_text()) | {"thresholds": {threshold: 0.5}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ValueError, match=f"unknown threshold '{threshold}' for mask_detection; known: face_threshold"):
        read_card(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("name", "class_thresholds", "problem"),
    [
        ("solov2_people", {"persn": 0.5}, "class_thresholds names 'persn', which is none of the labels"),
        ("solov2_people", {"person": 1.5}, "class_thresholds.person"),
        ("face_mask", {"MASK": 0.5}, "mask_detection has no thresholds a class"),
    ],
)
def test_class_thresholds_that_no_card_may_have(name: str, class_thresholds: dict[str, float], problem: str) -> None:
    document = yaml.safe_load(card_path(name).read_text()) | {"class_thresholds": class_thresholds}
    with pytest.raises(ValueError, match=problem):
        ModelCard.model_validate(document)


def test_an_exported_program_is_refused_with_the_way_to_onnx(tmp_path: Path) -> None:
    document = yaml.safe_load(card_path("face_mask").read_text()) | {"architecture": "exported"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ValueError, match=r"torch\.onnx\.export\(module.* architecture: onnx \(docs/onnx\.md\)"):
        read_card(tmp_path / "mine.yaml")


def test_a_misspelt_key_is_named(tmp_path: Path) -> None:
    document = yaml.safe_load(card_path("face_mask").read_text())
    document["image"]["color_ordr"] = document["image"].pop("color_order")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ValueError, match=r"mine\.yaml(.|\n)*color_ordr"):
        read_card(tmp_path / "mine.yaml")


def test_wrong_fields_are_told_in_one_line(tmp_path: Path) -> None:
    fields = yaml.safe_load((EMBEDDED / "solov2_people.yaml").read_text())
    fields["image"]["scal"] = 1
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(fields | {"version": None}))
    with pytest.raises(ValueError, match="mine") as raised:
        read_card(tmp_path / "mine.yaml")
    assert str(raised.value) == "model card mine.yaml: version: Input should be a valid string; image.scal: unknown key"


def test_broken_yaml_is_a_value_error(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: [")
    with pytest.raises(ValueError, match=r"mine\.yaml"):
        read_card(tmp_path / "mine.yaml")


def test_an_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"yolo.*face_mask.*solov2_people"):
        card_path("yolo")


SHA256 = "0123456789abcdef" * 4


def changed(**changes: object) -> dict[str, object]:
    document: dict[str, object] = yaml.safe_load(card_path("face_mask").read_text(encoding="utf-8"))
    return document | changes


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"weights": "http://models.example/a.pth", "sha256": SHA256}, "a path or an https:// URL, not http://"),
        ({"weights": "ftp://models.example/a.pth", "sha256": SHA256}, "a path or an https:// URL, not ftp://"),
        ({"weights": "file:///a.pth", "sha256": SHA256}, "a path or an https:// URL, not file://"),
        ({"weights": "https://models.example/a.pth"}, "need the file's sha256"),
        ({"weights": "https://models.example/a.pth", "sha256": SHA256[:8]}, "sha256"),
        ({"sha256": SHA256.upper()}, "sha256"),
        ({"weights": ""}, "weights"),
    ],
)
def test_weights_that_no_card_may_name(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ModelCard.model_validate(changed(**changes))


@pytest.mark.parametrize(
    ("changes", "remote"),
    [
        ({"weights": "https://models.example/a.pth?v=1", "sha256": SHA256}, True),
        ({"weights": "../a.safetensors"}, False),
        ({"weights": "/models/a.pdparams", "sha256": SHA256}, False),
    ],
)
def test_weights_that_a_card_may_name(changes: dict[str, object], remote: bool) -> None:
    assert ModelCard.model_validate(changed(**changes)).weights_are_remote is remote


def test_the_digest_is_the_contents() -> None:
    card = ModelCard.model_validate(changed())
    assert card.digest == ModelCard.model_validate_json(card.model_dump_json()).digest
    assert card.digest != ModelCard.model_validate(changed(version="2")).digest
