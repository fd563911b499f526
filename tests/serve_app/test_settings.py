from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError
from ray.serve import Deployment

from deployments.models.card import card_path
from serve_app.settings import Settings


def test_a_service_has_the_branches_that_name_a_card() -> None:
    assert Settings().cards() == {"mask_detection": "face_mask", "instance_segmentation": "solov2_people"}
    assert Settings(object_detection="goods.yaml").cards() == {
        "mask_detection": "face_mask",
        "instance_segmentation": "solov2_people",
        "object_detection": "goods.yaml",
    }


@pytest.mark.parametrize("task", ["mask_detection", "instance_segmentation"])
def test_the_first_two_branches_are_always_there(task: str) -> None:
    with pytest.raises(ValidationError, match=task):
        Settings.model_validate({task: None})


def test_an_unknown_dialect_stops_the_start() -> None:
    with pytest.raises(ValidationError, match=r"(?s)dialects.*'native'.*natve"):
        Settings.model_validate({"dialects": ["natve"]})


def built(settings: Settings) -> list[Deployment]:
    """The deployments that ``build`` binds, by name."""
    from ray.serve._private.build_app import build_app

    from serve_app.app import build

    return sorted(build_app(build(settings), name="maskgraph").deployments, key=lambda each: each.name)


def names(settings: Settings) -> list[str]:
    return [each.name for each in built(settings)]


def test_the_graph_has_a_deployment_for_each_branch(tmp_path: Path) -> None:
    assert names(Settings()) == ["Ingress", "InstanceSegmentation", "MaskDetection"]
    card = yaml.safe_load(card_path("solov2_people").read_text()) | {"task": "object_detection"}
    (tmp_path / "goods.yaml").write_text(yaml.safe_dump(card))
    settings = Settings(object_detection=str(tmp_path / "goods.yaml"))
    assert names(settings) == ["Ingress", "InstanceSegmentation", "MaskDetection", "ObjectDetection"]


def test_a_replica_that_stops_may_finish_what_a_deadline_allows() -> None:
    for deployment in built(Settings(timeout_s=50)):
        assert deployment._deployment_config.graceful_shutdown_timeout_s > 50
