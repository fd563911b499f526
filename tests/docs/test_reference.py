"""The tables of the reference pages have what the types have, so that they cannot rot."""

import re
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import BaseModel

from deployments.imaging.spec import Fixed, ImageSpec, KeepRatio, MaxSide, Shrink
from deployments.models.card import TASKS, ModelCard
from deployments.models.face_mask.model import Network as FaceMaskNetwork
from deployments.models.solov2.config import Architecture
from deployments.models.torchvision_models.networks import Network as TorchvisionNetwork
from serve_app.http.errors import STATUS_OF_FAILURE
from serve_app.protocols.native import answer
from serve_app.protocols.native.openapi import RESPONSES
from serve_app.protocols.native.options import MaskForm, known_options, options_model
from serve_app.settings import Dialect, ReplicaSettings, Settings
from tests.docs.pages import ROOT, first_cells, read, section

ANSWERS: dict[str, Any] = {
    "The answer": answer.AnswerJson,
    "An image": answer.ImageJson,
    "A face": answer.FaceJson,
    "An object": answer.ObjectJson,
    "A person": answer.PersonJson,
    "An error of an image": answer.FailureJson,
    "`timing_ms`": answer.TimingJson,
}


def table(page: str, title: str) -> list[str]:
    """The names in the first column of a section's own tables, without those of its subsections."""
    return list(first_cells(re.split(r"^#+ ", section(page, title), maxsplit=1, flags=re.M)[0]))


@pytest.mark.parametrize("title", ANSWERS)
def test_every_field_of_the_answer(title: str) -> None:
    assert sorted(table("docs/api.md", title)) == sorted(get_type_hints(ANSWERS[title]))


def test_an_instance_and_the_forms_of_its_mask() -> None:
    named = table("docs/api.md", "An instance")
    fields = set(get_type_hints(answer.InstanceJson))
    assert fields <= set(named)
    assert set(named) - fields == {"masks=", *get_args(MaskForm)} - {"none"}


def test_a_box() -> None:
    words = re.findall("`(.+?)`", section("docs/api.md", "A box"))
    assert words[:4] == list(get_type_hints(answer.BoxJson))


def test_every_option() -> None:
    assert table("docs/api.md", "Options") == list(known_options(options_model(TASKS)))


def test_every_status_and_code() -> None:
    rows = re.findall(r"^\| ([0-9, ]+) \| (.*?) \|", section("docs/api.md", "Errors"), re.M)
    statuses = {int(status) for row, _ in rows for status in row.split(", ")}
    assert statuses == {status for status in RESPONSES if status != 200} | {404, 405}
    sources = [
        path.read_text(encoding="utf-8") for path in (ROOT / "serve_app").rglob("*.py") if path.name != "openapi.py"
    ]
    known = {code for text in sources for code in re.findall(r'\b[0-9]{3},\s*"([a-z_]+)"', text)}
    known |= STATUS_OF_FAILURE.keys() | {"method_not_allowed"}
    assert {code for _, codes in rows for code in re.findall("`(.+?)`", codes)} == known - {
        "answer_too_large",
        "bad_base64",
    }


@pytest.mark.parametrize(
    ("title", "model"),
    [("Model cards", ModelCard), ("`image`", ImageSpec)],
)
def test_every_field_of_a_card(title: str, model: type[BaseModel]) -> None:
    named = [name for name in table("docs/cards.md", title) if name in model.model_fields]
    assert named == list(model.model_fields)


@pytest.mark.parametrize("rule", [KeepRatio, MaxSide, Fixed, Shrink])
def test_every_rule_of_resizing(rule: type[BaseModel]) -> None:
    (name,) = get_args(rule.model_fields["rule"].annotation)
    row = re.search(rf"^\| `{name}` \| (.*?) \|", section("docs/cards.md", "`image`"), re.M)
    assert row, name
    assert {f"`{field}`" for field in rule.model_fields if field != "rule"} <= set(re.findall("`.+?`", row[1]))


def test_every_architecture() -> None:
    text = section("docs/cards.md", "Architectures")
    assert list(first_cells(text)) == [
        "architecture",
        *get_args(ModelCard.model_fields["architecture"].annotation),
    ] or (set(first_cells(text)) - {"architecture"} == set(get_args(ModelCard.model_fields["architecture"].annotation)))
    for name, model in (("solov2", Architecture), ("torchvision", TorchvisionNetwork), ("face_mask", FaceMaskNetwork)):
        row = re.search(rf"^\| `{name}` \|.*\|.*\|(.*)\|$", text, re.M)
        assert row
        assert {f"`{field}`" for field in model.model_fields} <= set(re.findall("`.+?`", row[1])), name


def test_every_setting() -> None:
    assert table("docs/configuration.md", "The application: `args`") == list(Settings.model_fields)
    assert table("docs/configuration.md", "A model's replicas: `user_config`") == list(ReplicaSettings.model_fields)
    row = re.search(r"^\| `dialects` .*$", read("docs/configuration.md"), re.M)
    assert row
    assert {f"`{name}`" for name in get_args(Dialect)} <= set(re.findall("`.+?`", row[0]))


@pytest.mark.parametrize("model", [Settings, ReplicaSettings])
def test_the_defaults_are_the_settings(model: type[BaseModel]) -> None:
    text = read("docs/configuration.md")
    for name, field in model.model_fields.items():
        row = re.search(rf"^\| `{name}` \| (.*?) \|", text, re.M)
        assert row, name
        default = field.get_default(call_default_factory=True)
        if isinstance(default, bool):
            assert row[1] == str(default).lower()
        elif isinstance(default, int | float):
            assert row[1] == f"{default:.15g}"
        elif isinstance(default, str):
            assert row[1] == f"`{default}`"
