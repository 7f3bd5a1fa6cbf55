"""Reads pickles without running them: a small interpreter of pickle's opcodes that builds arrays and nothing else.

Python's own unpickler looks names up and calls them, so a file can run any program. Here a global is only a pair
of words (`Name`); the few that mean data (NumPy, SciPy sparse, chumpy, torch tensors, dicts) have a builder in
`studio.weights.builders`, and any other raises WeightsError before anything is made of it. No attribute is
looked up, no module imported, no object's own method called.

Reads protocols 0 to 5, Python 2's as well: its byte strings come back as latin-1 text, as numpy's own readers take it.
"""

from __future__ import annotations

import codecs
import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from studio.errors import WeightsError

MAX_STACK = 1_000_000
"""Items on the stack; research files stay under a thousand."""


@dataclass(frozen=True)
class Name:
    """A global that a pickle names: never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Pending:
    """An object whose state is still to come (BUILD): what made it, with what arguments."""

    made_by: Name
    args: tuple = ()
    state: Any = None
    built: Any = None


@dataclass
class Builders:
    """What may be built. calls: by global, for REDUCE and NEWOBJ; states: by global, for BUILD.

    persistent: what a persistent id stands for (torch's storages), or None.
    """

    calls: dict[Name, Callable[[tuple], Any]]
    states: dict[Name, Callable[[Pending, Any], Any]] = field(default_factory=dict)
    persistent: Callable[[Any], Any] | None = None


class _Mark:
    pass


_MARK = _Mark()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple, "EMPTY_SET": set}
_NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
_TEXTS = ("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
_BYTES = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8")
_PLAIN = (*_NUMBERS, *_TEXTS, *_BYTES)
_NOTHING = ("PROTO", "FRAME")


def read_pickle(stream: BinaryIO, builders: Builders, *, what: str = "pickle") -> Any:
    """The value of the pickle that starts at the stream's place; the stream is left behind its STOP.

    `what` names the file in messages. Raises WeightsError for a global that is no array's, for opcodes that only
    code needs, and for damaged data.
    """
    try:
        return _Machine(builders, what).run(stream)
    except WeightsError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, EOFError, OverflowError, MemoryError, AttributeError) as error:
        raise WeightsError(f"{what}: damaged, or no pickle of arrays ({type(error).__name__}: {error})") from error


def read_pickle_bytes(data: bytes, builders: Builders, *, what: str = "pickle") -> Any:
    """`read_pickle` of bytes."""
    return read_pickle(io.BytesIO(data), builders, what=what)


class _Machine:
    def __init__(self, builders: Builders, what: str) -> None:
        self.builders, self.what = builders, what
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: BinaryIO) -> Any:
        while True:
            code = stream.read(1)
            if not code:
                raise WeightsError(f"{self.what}: the file ends in the middle of a pickle; copy or download it again")
            opcode = pickletools.code2op.get(code.decode("latin-1"))
            if opcode is None:
                raise WeightsError(f"{self.what}: byte {code!r} is no pickle opcode; the file is damaged")
            argument = _argument(opcode, stream)
            if opcode.name == "STOP":
                return settled(self.stack.pop())
            self.step(opcode.name, argument)
            if len(self.stack) > MAX_STACK:
                raise WeightsError(f"{self.what}: more than {MAX_STACK} items on the stack; this is no file of arrays")

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _PLAIN:
            stack.append(argument)
        elif name in _NOTHING:
            return
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("POP", "POP_MARK"):
            self.above() if name == "POP_MARK" else stack.pop()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name in ("LIST", "TUPLE", "DICT", "FROZENSET"):
            stack.append(_collected(name, self.above()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[-count:] = [tuple(stack[-count:])]
        elif name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS"):
            self.fill(name)
        elif name == "GLOBAL":
            stack.append(Name(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            word, module = stack.pop(), stack.pop()
            if not isinstance(word, str) or not isinstance(module, str):
                raise WeightsError(f"{self.what}: a global without a name; the file is damaged or crafted")
            stack.append(Name(module, word))
        elif name in ("REDUCE", "NEWOBJ", "NEWOBJ_EX"):
            self.call(name)
        elif name == "BUILD":
            state = stack.pop()
            self.build(stack[-1], state)
        elif name in ("BINPERSID", "PERSID") and self.builders.persistent is not None:
            stack.append(self.builders.persistent(stack.pop() if name == "BINPERSID" else argument))
        else:  # INST, OBJ, EXT1/2/4, NEXT_BUFFER, persistent ids: code, or data from outside the file
            raise WeightsError(
                f"{self.what}: refused, opcode {name} makes objects of classes and no array needs it. Don't load this "
                "file with other software either; get it again from its authors"
            )

    def above(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise IndexError("no mark on the stack")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def fill(self, name: str) -> None:
        items = self.above() if name.endswith("S") else None
        if items is None:
            count = 2 if name == "SETITEM" else 1
            items = self.stack[-count:]
            del self.stack[-count:]
        target = self.stack[-1]
        if name.startswith("SET") and type(target) is dict:
            target.update(zip(map(settled, items[::2]), items[1::2], strict=True))
        elif name.startswith("APPEND") and type(target) is list:
            target.extend(items)
        elif name == "ADDITEMS" and type(target) is set:
            target.update(map(settled, items))
        else:
            raise WeightsError(f"{self.what}: refused, {name} on a {type(target).__name__}")

    def call(self, name: str) -> None:
        options = self.stack.pop() if name == "NEWOBJ_EX" else {}
        args, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Name) or type(args) is not tuple or options:
            raise WeightsError(f"{self.what}: refused, {name} of something that is no class of arrays")
        builder = self.builders.calls.get(function)
        if builder is None:
            raise WeightsError(
                f"{self.what}: refused, the file wants {function}, which is no array; loading it elsewhere may run "
                "code. Get the file again from its authors"
            )
        self.stack.append(builder(args))

    def build(self, target: Any, state: Any) -> None:
        if type(target) is dict and type(state) is dict:
            return  # attributes of an OrderedDict, such as a state dict's versions, are no weights
        builder = self.builders.states.get(target.made_by) if isinstance(target, Pending) else None
        if builder is None:
            kind = target.made_by if isinstance(target, Pending) else type(target).__name__
            raise WeightsError(f"{self.what}: refused, a state for {kind}")
        target.state = state
        target.built = builder(target, state)


def _argument(opcode: Any, stream: BinaryIO) -> Any:
    if opcode.name == "STRING":  # pickletools takes ASCII alone; Python 2 wrote any byte, escaped
        line = stream.readline()
        text = line.strip()
        if not line.endswith(b"\n") or len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
            raise WeightsError("a string without its quotes; the file is damaged")
        return codecs.escape_decode(text[1:-1])[0].decode("latin-1")
    return None if opcode.arg is None else opcode.arg.reader(stream)


def _collected(name: str, items: list[Any]) -> Any:
    if name == "LIST":
        return items
    if name == "TUPLE":
        return tuple(items)
    if name == "FROZENSET":
        return frozenset(map(settled, items))
    return dict(zip(map(settled, items[::2]), items[1::2], strict=True))


def settled(value: Any) -> Any:
    """The value with every finished `Pending` in it replaced by what was built; shared parts stay shared.

    Raises WeightsError where a bare global or an object without its state is left.
    """
    done: dict[int, Any] = {}
    return _settle(value, done, 0)


def _settle(value: Any, done: dict[int, Any], depth: int) -> Any:
    if depth > 200:
        raise WeightsError("more than 200 levels deep; this is no file of arrays")
    key = id(value)
    if key in done:
        return done[key]
    if isinstance(value, Name):
        raise WeightsError(f"refused, the file holds {value} itself, which is no array")
    if isinstance(value, Pending):
        if value.built is None:
            raise WeightsError(f"an object of {value.made_by} without its state; the file is damaged")
        done[key] = _settle(value.built, done, depth + 1)
    elif type(value) is dict:
        out: dict = {}
        done[key] = out
        out.update({k: _settle(v, done, depth + 1) for k, v in value.items()})
    elif type(value) is list:
        items: list = []
        done[key] = items
        items.extend(_settle(v, done, depth + 1) for v in value)
    elif type(value) is tuple:
        done[key] = tuple(_settle(v, done, depth + 1) for v in value)
    else:
        return value
    return done[key]
