import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from serve_app.checking.marked_yaml import Document, Problem, UnreadableYaml, dotted, read_documents


def read(text: str) -> Document:
    (document,) = read_documents(text)
    return document


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(max_size=20), children),
    max_leaves=15,
)


@given(json_values)
def test_json_like_data_reads_as_safe_load_reads_it(value: object) -> None:
    text = yaml.safe_dump(value)
    document = read(text)
    assert document.value == yaml.safe_load(text) == value
    assert document.problems == []


def test_lines_are_those_of_keys_and_items() -> None:
    document = read("a:\n  b: 1\n  c:\n    - x\n    - y: 2\n")
    assert document.lines == {
        (): 1,
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "c"): 3,
        ("a", "c", 0): 4,
        ("a", "c", 1): 5,
        ("a", "c", 1, "y"): 5,
    }
    assert document.line(("a", "b", "nothing", 3)) == 2


def test_merge_keys_give_defaults_that_own_keys_override() -> None:
    text = (
        "base: &base {a: 1, b: 1}\nmore: &more {b: 2, c: 2}\none: {c: 3, <<: *base}\ntwo: {<<: [*base, *more], a: 3}\n"
    )
    document = read(text)
    assert document.value == yaml.safe_load(text)
    assert document.value["two"] == {"a": 3, "b": 1, "c": 2}
    assert document.problems == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3\n", Problem(("a",), "duplicate key; it is on line 1 already", 3)),
        ("x:\n- {k: 1, k: 2}\n", Problem(("x", 0, "k"), "duplicate key; it is on line 2 already", 2)),
        ("when: 2024-01-01\n", Problem(("when",), "reads as a timestamp; quote it to mean text", 1)),
        ("a: 1\non: 2\n", Problem((), "the key true is no text; quote it", 2)),
        ("8000: x\n", Problem((), "the key 8000 is no text; quote it", 1)),
        ("a: !env HOME\n", Problem(("a",), "the tag !env means nothing here", 1)),
        ("a: !!int many\n", Problem(("a",), "is no int", 1)),
        ("a: 99999999999999999999\n", Problem(("a",), "a number of more than 64 bits", 1)),
        ('a: "\\ud800"\n', Problem(("a",), "holds half of a surrogate pair", 1)),
        ("a: {<<: 5}\n", Problem(("a",), "<< takes a mapping or a list of mappings", 1)),
    ],
)
def test_what_json_has_not_is_a_problem(text: str, problem: Problem) -> None:
    assert read(text).problems == [problem]


def test_tags_that_build_objects_build_nothing() -> None:
    document = read("a: !!python/object/apply:os.getcwd []\n")
    assert document.value == {"a": []}
    assert len(document.problems) == 1


LEVELS = list(zip("abcdefgh", "bcdefghi", strict=True))
ALIAS_BOMB = "a: &a [x]\n" + "".join(f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in LEVELS)
MERGE_BOMB = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 9)}]}}\n" for old, new in LEVELS
)


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        (ALIAS_BOMB, "aliases written out", 1),
        (MERGE_BOMB, "aliases written out", 1),
        ("a: &a [*a]\n", "nested more than", 1),
        ("[" * 5000, "nested more than", None),
        ("a: *b\n", "undefined alias", 1),
        ("a: 1\n b: 2\n", "not YAML", 2),
        ("a: " + "x" * 300_000, "larger than 256 KiB", None),
        ('a: "\\U00110000"', "not YAML", None),
        ("a: \x00", "not YAML", None),
    ],
    ids=["alias bomb", "merge bomb", "cycle", "depth", "alias", "syntax", "size", "escape", "control"],
)
def test_what_cannot_be_read_is_an_error(text: str, message: str, line: int | None) -> None:
    with pytest.raises(UnreadableYaml, match=message) as raised:
        read_documents(text)
    assert raised.value.line == line


@given(st.one_of(st.text(), st.binary()))
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    try:
        documents = read_documents(text)
    except UnreadableYaml:
        return
    assert all(isinstance(document.lines[()], int) for document in documents)


def test_places_are_written_as_people_write_them() -> None:
    assert dotted(("applications", 0, "name")) == "applications[0].name"
    assert dotted(("a b", "c", 1)) == '["a b"].c[1]'


def test_a_problem_prints_on_one_line_without_control_characters() -> None:
    assert str(Problem(("a",), "two\nlines \x1b[31m")) == "a: two lines \\x1b[31m"
