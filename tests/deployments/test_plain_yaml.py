from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.models.card import EMBEDDED, read_card
from deployments.plain_yaml import MAX_BYTES, MAX_VALUES, read_yaml

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PIECES = ["a", "&a", "*a", "<<", ": ", "- ", "[", "]", "{", "}", ",", "\n", "\n  ", "!", "|", "'", "1e9", "\0"]
PIECES += ["!!python/name:os.system ", "=", "!!bool ", "!!int ", "!!set ", "!!omap ", "2026-13-01", "1:99", "? "]
CARD = (EMBEDDED / "face_mask.yaml").read_bytes()


@settings(deadline=None)
@given(VALUES)
def test_values_come_back_as_safe_load_reads_them(value: object) -> None:
    text = yaml.safe_dump(value)
    assert read_yaml(text) == yaml.safe_load(text)


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES)).map("".join) | st.binary(max_size=40))
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    try:
        found = read_yaml(text)
    except ValueError:
        return
    assert repr(found) == repr(yaml.safe_load(text))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(CARD)), st.sampled_from(PIECES).map(str.encode) | st.binary(max_size=3), st.integers(0, 20))
def test_a_damaged_card_is_read_or_refused(tmp_path: Path, start: int, put_in: bytes, taken_out: int) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(CARD[:start] + put_in + CARD[start + taken_out :])
    try:
        assert read_card(path).name
    except ValueError as refusal:
        assert "mine.yaml" in str(refusal)  # noqa: PT017


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[" + "x, " * MAX_VALUES + "]", "values"),
        ("a: &a [*a]", "values"),
        ("x" * (MAX_BYTES + 1), "bytes"),
        ("{a: " * 1000, "deep"),
        ("a: [", "no YAML"),
        ("a: 1\n---\nb: 2", "no YAML"),
        ("!!python/object/apply:os.getcwd []", "no YAML"),
        (b"\xff", "no YAML"),
    ],
)
def test_what_is_refused(text: str | bytes, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        read_yaml(text)


def test_nothing_is_none() -> None:
    assert read_yaml("# only a remark") is None
