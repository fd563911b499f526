from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.models.exported.input_rule import InputRule, Side, can_be_computed, compute, parse, side


def symbol(name: str) -> str:
    return f"Symbol('{name}', positive=True, integer=True)"


def size(text: str) -> dict[str, Any]:
    return {"as_expr": {"expr_str": text, "hint": {"as_int": 2}}}


def rule(*sizes: dict[str, Any], ranges: dict[str, Any] | None = None, guards: tuple[str, ...] = ()) -> InputRule:
    return InputRule("images", sizes, ranges or {}, guards)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (symbol("s0"), Side("s0", 1, 0)),
        (f"Mul(Integer(32), {symbol('s7')})", Side("s7", 32, 0)),
        (f"Add(Mul(Integer(2), {symbol('s1')}), Integer(-1))", Side("s1", 2, -1)),
    ],
)
def test_sizes(text: str, expected: Side) -> None:
    assert side(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "s0",
        "Integer(3)",
        f"Mul({symbol('s0')}, {symbol('s0')})",
        f"Add({symbol('s0')}, {symbol('s1')})",
        f"Mul(Integer(-1), {symbol('s0')})",
        f"Pow({symbol('s0')}, Integer(2))",
        f"Mul({symbol('s0')}, Integer(print(1)))",
        "Symbol('s0'",
        "(" * 1000,
    ],
)
def test_sizes_that_cannot_be_checked_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be checked|malformed|an expression with"):
        side(text)


def test_fixed_sides() -> None:
    fixed = rule({"as_int": 1}, {"as_int": 3})
    assert fixed.shape == (1, 3)
    assert fixed.largest_batch == 1
    fixed.check((1, 3))
    with pytest.raises(ValueError, match=r"does not take \[2, 3\]: side 0"):
        fixed.check((2, 3))


def test_sides_in_a_range_and_of_a_multiple() -> None:
    made = rule(
        size(symbol("n")),
        size(f"Mul(Integer(8), {symbol('s')})"),
        ranges={"n": {"min_val": 2, "max_val": 64}, "s": {"min_val": 2, "max_val": 100}},
    )
    assert made.shape == (None, None)
    assert made.largest_batch == 64
    for shape in ((1, 16), (64, 800)):  # 2 says no more than that there were two when it was traced
        made.check(shape)
    for shape in ((65, 16), (1, 8), (1, 808), (1, 20)):
        with pytest.raises(ValueError, match="was not exported for that"):
            made.check(shape)


def test_sides_of_one_symbol_are_alike() -> None:
    square = rule(size(symbol("s")), size(symbol("s")), ranges={"s": {"min_val": 2, "max_val": None}})
    assert square.largest_batch is None
    square.check((5, 5))
    with pytest.raises(ValueError, match="side 1"):
        square.check((5, 6))


def test_guards() -> None:
    guards = (
        "L['images'].size()[1] % 32 == 0",
        "(1 + (((-1) + L['images'].size()[1]) // 2)) != 1",
        "torch.sym_max(1, (-2) + L['images'].size()[0]) >= 2",
    )
    made = rule(size(symbol("a")), size(symbol("b")), guards=guards)
    made.check((4, 64))
    for shape, guard in (((4, 63), "% 32 == 0"), ((3, 64), "sym_max")):
        with pytest.raises(ValueError, match=rf"does not take \[{shape[0]}, {shape[1]}\]: .*{guard}"):
            made.check(shape)


def test_a_guard_that_divides_by_zero_does_not_hold() -> None:
    made = rule(size(symbol("a")), guards=("8 % (L['images'].size()[0] - 64) == 0",))
    made.check((66,))
    with pytest.raises(ValueError, match="does not take"):
        made.check((64,))


@pytest.mark.parametrize(
    "guard",
    [
        "__import__('os').getpid() > 0",
        "L['images'].stride()[0] == 1",
        "L['other'].size()[0] == 1",
        "L['images'].size()[2] == 1",
        "L['images'].size()[-1] == 1",
        "[x for x in (1,)]",
        "(lambda: 1)()",
        "9**9**9 > 0",
        "max()",
        "'a' * 10 == 1",
        "1 <",
    ],
)
def test_guards_that_cannot_be_checked_are_refused(guard: str) -> None:
    with pytest.raises(ValueError, match=r"a guard that cannot be checked|a malformed expression"):
        rule(size(symbol("a")), size(symbol("b")), guards=(guard,))


NUMBERS = st.integers(-50, 50).map(str) | st.sampled_from(["size[0]", "size[1]"])
OPERATORS = st.sampled_from(["+", "-", "*", "//", "%", "/", "<", "<=", ">", ">=", "==", "!=", "and", "or"])
EXPRESSIONS = st.recursive(
    NUMBERS,
    lambda inner: (
        st.tuples(inner, OPERATORS, inner).map(lambda parts: f"({' '.join(parts)})")
        | inner.map(lambda one: f"(not {one})")
        | inner.map(lambda one: f"({one})**3")
        | st.tuples(inner, inner).map(lambda both: f"max({', '.join(both)})")
    ),
    max_leaves=12,
)


@given(EXPRESSIONS, st.integers(0, 2000), st.integers(0, 2000))
def test_expressions_are_computed_as_python_does(text: str, height: int, width: int) -> None:
    tree = parse(text)
    assert can_be_computed(tree, 2)
    try:
        expected = eval(text, {"size": (height, width), "max": max})
    except ArithmeticError:
        with pytest.raises(ArithmeticError):
            compute(tree, (height, width))
    else:
        assert compute(tree, (height, width)) == pytest.approx(expected, nan_ok=True)
