from pathlib import Path

import pytest
import yaml

from deployments.models.card import EMBEDDED, TASKS, card_path, read_card


@pytest.mark.parametrize("name", sorted(path.stem for path in EMBEDDED.glob("*.yaml")))
def test_embedded_models_are_whole(name: str) -> None:
    card = read_card(card_path(name))
    assert card.name == name
    weights = EMBEDDED / card.weights
    assert 0 < weights.stat().st_size <= 20_000_000
    assert card.training_data
    assert card.metrics
    assert card.limits


def test_every_task_has_an_embedded_model() -> None:
    assert {read_card(path).task for path in EMBEDDED.glob("*.yaml")} == set(TASKS)


def test_a_misspelt_key_is_named(tmp_path: Path) -> None:
    document = yaml.safe_load(card_path("face_mask").read_text())
    document["image"]["color_ordr"] = document["image"].pop("color_order")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ValueError, match=r"mine\.yaml(.|\n)*color_ordr"):
        read_card(tmp_path / "mine.yaml")


def test_broken_yaml_is_a_value_error(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: [")
    with pytest.raises(ValueError, match=r"mine\.yaml"):
        read_card(tmp_path / "mine.yaml")


def test_an_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"yolo.*face_mask.*solov2_people"):
        card_path("yolo")
