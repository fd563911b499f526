"""Reads a pickle as data: what it asks Python to import and call is recorded, never done.

A pickle is a program for a stack machine. This one runs the instructions that build plain values; a class or function
stays a ``Name``, a call a ``Call``. Nothing is imported and nothing is called, so no file can run code, whatever it
holds.
"""

import pickletools
from dataclasses import dataclass, field
from typing import IO, Any

MAX_INSTRUCTIONS = 2_000_000
"""Far above any checkpoint's: it bounds the time and the memory that a small hostile file may cost."""

_LITERALS = frozenset(
    {"INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT"}
    | {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
    | {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_LARGEST_KEY = 2**32
_MARK = object()


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function that the pickle refers to, such as ``collections.OrderedDict``; not resolved."""

    path: str


@dataclass(frozen=True, slots=True, eq=False)
class PersistentId:
    """A reference to something stored outside the pickle."""

    id: Any


@dataclass(slots=True, eq=False)
class Call:
    """An object that the pickle would have made by calling ``function``, with what it would have put into it."""

    function: Any
    arguments: Any
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)
    entries: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class Pickle:
    """value: plain containers, scalars, bytes, ``Name``, ``Call`` and ``PersistentId``; persistent: all of the last."""

    value: Any
    persistent: list[PersistentId]


def read_pickle(stream: IO[bytes]) -> Pickle:
    """Read one pickle from where the stream stands, up to and including its end.

    Dictionary items whose key is neither text nor a small integer are left out, and sets become lists: hashing what a
    stranger nested or chose to collide can take for ever. Raises ValueError where the stream holds no well-formed
    pickle or one that is too long.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= MAX_INSTRUCTIONS:
                raise ValueError(f"a pickle of more than {MAX_INSTRUCTIONS} instructions")
            machine.step(opcode.name, argument)
        return Pickle(machine.stack.pop(), machine.persistent)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise ValueError(f"a malformed pickle: {str(error)[:200] or type(error).__name__}") from error


def called(value: Any) -> str:
    """Path of the class or function that made an object; empty for plain values."""
    return value.function.path if isinstance(value, Call) and isinstance(value.function, Name) else ""


def items_of(value: Any) -> dict[Any, Any]:
    """What a dictionary holds, or an object that was filled like one; empty for anything else."""
    if isinstance(value, Call):
        return value.items
    return value if isinstance(value, dict) else {}


def sizes_of(value: Any) -> tuple[int, ...]:
    """A shape or strides. Raises ValueError unless it is a short tuple of integers from 0."""
    if isinstance(value, tuple) and len(value) <= 8 and all(type(n) is int and 0 <= n < 2**40 for n in value):
        return value
    raise ValueError("a tensor of an impossible shape")


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.persistent: list[PersistentId] = []

    def step(self, opcode: str, argument: Any) -> None:
        stack = self.stack
        if opcode in _LITERALS:
            stack.append(argument)
        elif opcode in _CONSTANTS:
            stack.append(_CONSTANTS[opcode])
        elif opcode in _TUPLES:
            stack.append(tuple(self.pop(_TUPLES[opcode])))
        elif opcode in ("GLOBAL", "INST"):
            name = Name(argument.replace(" ", ".", 1))
            stack.append(Call(name, tuple(self.marked())) if opcode == "INST" else name)
        else:
            handler = getattr(self, f"on_{opcode.lower()}", None)
            if handler is None:
                raise ValueError(f"a pickle with the instruction {opcode}")
            handler(argument)

    def pop(self, count: int) -> list[Any]:
        """The uppermost values, lowest first."""
        if len(self.stack) < count:
            raise IndexError
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def marked(self) -> list[Any]:
        """The values above the last mark, which goes too."""
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is _MARK:
                values = self.stack[index + 1 :]
                del self.stack[index:]
                return values
        raise IndexError

    def on_proto(self, _: int) -> None: ...

    def on_frame(self, _: int) -> None: ...

    def on_stop(self, _: None) -> None: ...

    def on_mark(self, _: None) -> None:
        self.stack.append(_MARK)

    def on_pop(self, _: None) -> None:
        self.stack.pop()

    def on_pop_mark(self, _: None) -> None:
        self.marked()

    def on_dup(self, _: None) -> None:
        self.stack.append(self.stack[-1])

    def on_memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def on_put(self, index: int) -> None:
        if index >= _LARGEST_KEY:
            raise ValueError("a pickle that remembers too much")
        self.memo[index] = self.stack[-1]

    on_binput = on_long_binput = on_put

    def on_get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    on_binget = on_long_binget = on_get

    def on_empty_list(self, _: None) -> None:
        self.stack.append([])

    on_empty_set = on_empty_list

    def on_empty_dict(self, _: None) -> None:
        self.stack.append({})

    def on_tuple(self, _: None) -> None:
        self.stack.append(tuple(self.marked()))

    def on_list(self, _: None) -> None:
        self.stack.append(self.marked())

    on_frozenset = on_list

    def on_dict(self, _: None) -> None:
        values = self.marked()
        self.stack.append({})
        self.set_items(values)

    def on_append(self, _: None) -> None:
        self.add_entries(self.pop(1))

    def on_appends(self, _: None) -> None:
        self.add_entries(self.marked())

    on_additems = on_appends

    def on_setitem(self, _: None) -> None:
        self.set_items(self.pop(2))

    def on_setitems(self, _: None) -> None:
        self.set_items(self.marked())

    def on_stack_global(self, _: None) -> None:
        module, name = self.pop(2)
        self.stack.append(Name(f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else "?"))

    def on_reduce(self, _: None) -> None:
        function, arguments = self.pop(2)
        self.stack.append(Call(function, arguments))

    on_newobj = on_reduce

    def on_newobj_ex(self, _: None) -> None:
        function, arguments, _keywords = self.pop(3)
        self.stack.append(Call(function, arguments))

    def on_obj(self, _: None) -> None:
        function, *arguments = self.marked()
        self.stack.append(Call(function, tuple(arguments)))

    def on_build(self, _: None) -> None:
        (state,) = self.pop(1)
        if isinstance(self.stack[-1], Call):
            self.stack[-1].state = state

    def on_persid(self, identity: str) -> None:
        self.persistent.append(PersistentId(identity))
        self.stack.append(self.persistent[-1])

    def on_binpersid(self, _: None) -> None:
        self.on_persid(self.stack.pop())

    def add_entries(self, values: list[Any]) -> None:
        top = self.stack[-1]
        (top.entries if isinstance(top, Call) else top).extend(values)

    def set_items(self, values: list[Any]) -> None:
        top = self.stack[-1]
        items: dict[Any, Any] = top.items if isinstance(top, Call) else top
        for key, value in zip(values[::2], values[1::2], strict=True):
            if isinstance(key, str) or (isinstance(key, int) and 0 <= key < _LARGEST_KEY):
                items[key] = value
