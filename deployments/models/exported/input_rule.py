"""Which shapes an exported program takes: the sizes, ranges and guards under which it was traced.

Outside of them it would answer something, but not what its module does. They are text in the archive, and computed here
without evaluating it as Python.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Number = int | float
Shape = tuple[int, ...]

OPERATIONS: dict[type, Callable[[Any, Any], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
SIGNS: dict[type, Callable[[Any], Number]] = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}
FUNCTIONS: dict[str, Callable[..., Number]] = {
    "math.ceil": math.ceil,
    "math.floor": math.floor,
    "math.trunc": math.trunc,
    "max": max,
    "min": min,
    "torch.sym_max": max,
    "torch.sym_min": min,
}
LARGEST_POWER = 8
SIZE = "size"
"""What stands for the input's shape in a guard."""


class Side(NamedTuple):
    """A size that is factor * symbol + offset."""

    symbol: str
    factor: int
    offset: int


class InputRule:
    """Of one input. shape: its sides, None where any of several sizes will do."""

    def __init__(
        self, name: str, sizes: Sequence[Mapping[str, Any]], ranges: Mapping[str, Any], guards: Sequence[str]
    ) -> None:
        """sizes, ranges, guards: as torch's schema has them. Raises ValueError for what cannot be checked."""
        self.shape = tuple(size.get("as_int") for size in sizes)
        self.sides = [side(size["as_expr"]["expr_str"]) if "as_expr" in size else None for size in sizes]
        self.ranges = {one.symbol: _range(one, ranges.get(one.symbol, {})) for one in self.sides if one}
        self.guards = {guard: parse(guard.replace(f"L[{name!r}].size()", SIZE)) for guard in guards}
        for guard, tree in self.guards.items():
            if not can_be_computed(tree, len(sizes)):
                raise ValueError(f"the program has a guard that cannot be checked: {guard[:200]}")
        self._accepted: set[Shape] = set()

    @property
    def largest_batch(self) -> int | None:
        """The first side, or the most that it may be; None where that is not bound."""
        first = self.sides[0]
        if first is None:
            return self.shape[0]
        most = self.ranges[first.symbol][1]
        return None if most == math.inf else int(most) * first.factor + first.offset

    def check(self, shape: Shape) -> None:
        """Raise ValueError for a shape that the program was not exported for."""
        if shape in self._accepted:
            return
        symbols: dict[str, int] = {}
        for axis, (size, fixed, one) in enumerate(zip(shape, self.shape, self.sides, strict=True)):
            if one is None:
                fits = size == fixed
            else:
                value, rest = divmod(size - one.offset, one.factor)
                low, high = self.ranges[one.symbol]
                fits = rest == 0 and low <= value <= high and symbols.setdefault(one.symbol, value) == value
            if not fits:
                raise ValueError(
                    f"the program does not take {list(shape)}: side {axis} of it was not exported for that"
                )
        for guard, tree in self.guards.items():
            if not _holds(tree, shape):
                raise ValueError(f"the program does not take {list(shape)}: it was exported for {guard[:200]}")
        self._accepted.add(shape)


def _range(one: Side, bounds: Mapping[str, int | None]) -> tuple[float, float]:
    low, high = bounds.get("min_val"), bounds.get("max_val")
    # up to 2, torch only means that the side was not 0 or 1 when it was traced, and does not insist on that either
    if low is None or low * one.factor + one.offset <= 2:
        low = 0
    return float(low), math.inf if high is None else float(high)


def side(text: str) -> Side:
    """A size in sympy's own notation, such as ``Mul(Integer(2), Symbol('s0', positive=True))``.

    Raises ValueError unless it is linear in one symbol.
    """
    names: set[str] = set()

    def value(node: ast.AST, symbol: int) -> int:
        match node:
            case ast.Call(ast.Name("Symbol"), [ast.Constant(str(name))]):
                names.add(name)
                return symbol
            case ast.Call(ast.Name("Integer"), [number], []):
                return int(compute(number, ()))
            case ast.Call(ast.Name("Add" | "Mul" as kind), arguments, []):
                values = [value(argument, symbol) for argument in arguments]
                return sum(values) if kind == "Add" else math.prod(values)
        raise ValueError(f"the program has a size that cannot be checked: {text[:200]}")

    tree = parse(text)
    at = [value(tree, symbol) for symbol in (0, 1, 2)]
    if len(names) != 1 or at[1] <= at[0] or at[2] - at[1] != at[1] - at[0]:
        raise ValueError(f"the program has a size that cannot be checked: {text[:200]}")
    return Side(names.pop(), at[1] - at[0], at[0])


def parse(text: str) -> ast.AST:
    """An expression's syntax tree. Raises ValueError where it is none."""
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"the program has a malformed expression: {text[:200]}") from error


def compute(node: ast.AST, shape: Shape) -> Number:
    """The value of an expression of numbers and ``size[i]``. Raises ValueError where anything else is in it."""
    match node:
        case ast.Constant(int() | float() as number):
            return number
        case ast.Subscript(ast.Name(name), ast.Constant(int(axis))) if name == SIZE and 0 <= axis < len(shape):
            return shape[axis]
        case ast.UnaryOp(sign, operand) if type(sign) in SIGNS:
            return SIGNS[type(sign)](compute(operand, shape))
        case ast.BinOp(left, ast.Pow(), ast.Constant(int(power))) if 0 <= power <= LARGEST_POWER:
            return float(compute(left, shape)) ** power
        case ast.BinOp(left, operation, right) if type(operation) in OPERATIONS:
            return OPERATIONS[type(operation)](compute(left, shape), compute(right, shape))
        case ast.Compare(left, [operation], [right]) if type(operation) in OPERATIONS:
            return OPERATIONS[type(operation)](compute(left, shape), compute(right, shape))
        case ast.BoolOp(operation, operands):
            value: Number = 0
            for operand in operands:
                value = compute(operand, shape)
                if bool(value) == isinstance(operation, ast.Or):
                    break
            return value
        case ast.Call(function, arguments, []) if (name := ast.unparse(function)) in FUNCTIONS:
            return FUNCTIONS[name](*(compute(argument, shape) for argument in arguments))
    raise ValueError(f"an expression with {ast.unparse(node)[:100]}")


def can_be_computed(tree: ast.AST, sides: int) -> bool:
    """Whether nothing is in an expression but what ``compute`` knows."""
    try:
        _holds(tree, (64,) * sides)
    except (ValueError, TypeError, RecursionError):
        return False
    return True


def _holds(tree: ast.AST, shape: Shape) -> bool:
    try:
        return bool(compute(tree, shape))
    except ArithmeticError:  # a division by zero
        return False
