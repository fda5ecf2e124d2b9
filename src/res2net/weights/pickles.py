"""A safe reader of pickles, and of pickled NumPy arrays, the format of PaddleClas and Detectron2.

A pickle is a program that calls the functions it names. Here it may name only builtin containers and the functions
that rebuild arrays, and these are replaced by functions of this file that check their arguments. What a file makes is
bounded by its size, since a pickle may copy what it has made again and again.
"""

from __future__ import annotations

import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np
import torch
from torch import Tensor

DEEPEST = 4
"""The deepest nesting of containers in a checkpoint; a container that contains itself is deeper."""
TYPES = frozenset(("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1"))
"""The allowed types of numbers, as NumPy's letter and number of bytes."""
PADDLE_TABLE = "StructuredToParameterName@@"
"""The entry in which Paddle keeps its own names of the tensors."""
COPIES = 4
"""How many times its size a file may expand to: text becomes bytes, and bytes become an array."""
SLACK = 1 << 18
"""Bytes that a file of any size may expand to."""
MOST_DIMENSIONS = 64
MOST_PIECES = 5_000_000
"""Instructions and their arguments in a pickle; a network of 1,000 tensors with its optimizer has about 200,000."""


class RefusedError(Exception):
    """A pickle names a function or class that is not allowed; its name is the message."""


class Budget:
    """The number of bytes and items that reading a file of some size may still make."""

    def __init__(self, size: int) -> None:
        self.left = COPIES * size + SLACK

    def spend(self, amount: int) -> None:
        """Count bytes or items; raises `ValueError` when they are more than the file can honestly hold."""
        self.left -= amount
        if self.left < 0:
            raise ValueError("more content than the file can hold")


class _Type:
    """The stand-in for `numpy.dtype`: the type and byte order of an array."""

    def __init__(self, code: object, *_: object) -> None:
        # Values are compared only after their types: nested tuples can take forever to hash or to print.
        if not isinstance(code, str) or code not in TYPES:
            raise ValueError("numbers of another type")
        self.code, self.order = code, "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if not isinstance(state[1], str) or state[1] not in ("<", ">", "|", "="):
            raise ValueError("another byte order")
        self.order = state[1]


class _Array:
    """The stand-in for `numpy.ndarray`, empty until its state is set."""

    tensor: Tensor

    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, by_column, data = state
        self.tensor = _tensor(self.budget, data, kind, shape, "F" if by_column else "C")


class Allowed:
    """A function that a pickle may call but not modify."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        return self.function(*arguments)

    def __setstate__(self, _: object) -> None:
        raise ValueError("a function has no state")


def is_shape(value: object) -> bool:
    """Whether a value is a tuple of sizes that some tensor could have."""
    return (
        isinstance(value, tuple)
        and len(value) <= MOST_DIMENSIONS
        and all(type(size) is int and 0 <= size < 1 << 48 for size in value)
    )


def _tensor(budget: Budget, data: object, kind: object, shape: object, order: object) -> Tensor:
    content = data.encode("latin-1") if isinstance(data, str) else data  # Python 2 pickles bytes as text
    if not isinstance(content, bytes | bytearray) or not isinstance(kind, _Type):
        raise ValueError("an array that does not hold numbers")
    if not isinstance(shape, tuple) or not is_shape(shape) or not isinstance(order, str) or order not in ("C", "F"):
        raise ValueError("an array of an impossible shape")
    dtype = np.dtype(kind.order + kind.code)
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{len(content)} bytes for shape {shape}")
    budget.spend(len(content))
    array: np.ndarray[Any, Any] = np.ndarray(shape, dtype, content, order="F" if order == "F" else "C")
    return torch.from_numpy(np.array(array, dtype.newbyteorder("="), order="C"))


def _from_buffer(budget: Budget, data: object, kind: object, shape: object, order: object) -> _Array:
    array = _Array(budget)
    array.tensor = _tensor(budget, data, kind, shape, order)
    return array


def _encode(budget: Budget, text: object, encoding: object) -> bytes:
    """The stand-in for `_codecs.encode`, by which protocol 2 writes bytes."""
    if not isinstance(text, str) or not isinstance(encoding, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("text in another encoding")
    budget.spend(len(text))
    return text.encode("latin-1")


def _nothing(*_: object) -> NoReturn:
    raise ValueError("the array type was called, but may only be named")


def allowed_names(budget: Budget) -> dict[str, Any]:
    """What a pickle of arrays may name, with stand-ins that spend from a budget."""

    def container(kind: type) -> Allowed:
        def make(items: Any = ()) -> Any:
            if not isinstance(items, dict | list | tuple):
                raise ValueError("a container of something else than a container")
            budget.spend(len(items))
            check_keys(*([item[0] for item in items] if issubclass(kind, dict) and not isinstance(items, dict) else ()))
            return kind(items)

        return Allowed(make)

    builtins = ("builtins", "__builtin__")
    return {
        **{f"{module}.{kind.__name__}": container(kind) for module in builtins for kind in (dict, list, tuple)},
        **{f"{module}.bytes": Allowed(lambda: b"") for module in builtins},  # empty bytes in protocol 2
        "collections.OrderedDict": container(OrderedDict),
        "_codecs.encode": Allowed(lambda *arguments: _encode(budget, *arguments)),
        "numpy.ndarray": Allowed(_nothing),
        "numpy.dtype": Allowed(_Type),
        **{f"numpy.{core}.multiarray._reconstruct": Allowed(lambda *_: _Array(budget)) for core in ("core", "_core")},
        **{
            f"numpy.{core}.numeric._frombuffer": Allowed(lambda *arguments: _from_buffer(budget, *arguments))
            for core in ("core", "_core")
        },
    }


def check_keys(*keys: object) -> None:
    """Raise `ValueError` unless these are words or numbers: the hash of a nested tuple can overflow the stack."""
    if not all(key is None or isinstance(key, str | bytes | int | float | Allowed) for key in keys):
        raise ValueError("a key that is not a word or a number")
    if any(isinstance(key, int) and key.bit_length() > 64 for key in keys):
        raise ValueError("a key of too many digits")


class Content(io.BytesIO):
    """A file in memory that never yields more than it holds, no truncated line, and not too many pieces.

    A byte of a pickle can make an object of 200 bytes.
    """

    pieces = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read bytes, and count the call."""
        self.pieces += 1
        if self.pieces > MOST_PIECES:
            raise ValueError("more objects than a checkpoint has")
        return super().read(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read a line, which must be whole."""
        line = super().readline(size)
        if not line.endswith(b"\n"):
            raise EOFError
        return line


class Unpickler(pickle._Unpickler):
    """A reader of pickles that may name only what it is given, each with its stand-in.

    It is the Python implementation: in a damaged file, the C one may allocate any amount of memory.
    """

    read: Callable[[int], bytes]
    append: Callable[[object], None]
    stack: list[Any]

    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)

    def __init__(
        self,
        content: io.BytesIO,
        allowed: Mapping[str, Any],
        *,
        encoding: str = "latin-1",
        stored: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(content, encoding=encoding)
        self.allowed, self.size, self.stored = allowed, content.getbuffer().nbytes, stored

    def persistent_load(self, pid: Any) -> Any:
        """What a reference to something outside of the pickle stands for."""
        if self.stored is None:
            raise ValueError("a reference to something outside of the pickle")
        return self.stored(pid)

    def find_class(self, module_name: str, global_name: str) -> Any:
        """The stand-in for a name; raises `RefusedError` for all that have none."""
        name = f"{module_name}.{global_name}"
        if name not in self.allowed:
            raise RefusedError(name)
        return self.allowed[name]

    def _load_checked(self, opcode: int) -> None:
        # The items behind the last mark, or the key and the value of a single item.
        if opcode == pickle.SETITEM[0]:
            check_keys(self.stack[-2])
        else:
            check_keys(*self.stack[:: 1 if opcode in (pickle.ADDITEMS[0], pickle.FROZENSET[0]) else 2])
        inherited: Any = pickle._Unpickler.dispatch[opcode]
        inherited(self)

    for _code in (pickle.SETITEM, pickle.SETITEMS, pickle.DICT, pickle.ADDITEMS, pickle.FROZENSET):
        dispatch[_code[0]] = lambda self, opcode=_code[0]: self._load_checked(opcode)

    def load_bytearray8(self) -> None:
        """Read a byte array, whose length Python would allocate before it reads."""
        length = int.from_bytes(self.read(8), "little")
        if length > self.size:
            raise ValueError("a byte array that is longer than the file")
        self.append(bytearray(self.read(length)))

    def load_frame(self) -> None:
        """Pass over the length of a frame, which is only there to read ahead."""
        self.read(8)

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8
    dispatch[pickle.FRAME[0]] = load_frame


def read_pickle(path: Path) -> Any:
    """Read the containers of a pickle, with a tensor for each array and without Paddle's table of names.

    Raises:
        RefusedError: the pickle names something other than containers and arrays; nothing of it was run.
        Exception: any type of exception, if the file is damaged, incomplete or not a pickle.
    """
    content = Content(path.read_bytes())
    budget = Budget(content.getbuffer().nbytes)
    return _plain(Unpickler(content, allowed_names(budget)).load(), DEEPEST, budget)


def _plain(value: object, depth: int, budget: Budget) -> Any:
    if not depth:
        raise ValueError("containers are nested too deeply")
    budget.spend(1)
    if isinstance(value, _Array):
        return value.tensor
    if isinstance(value, dict):
        items = dict.items(value)
        return {key: _plain(inner, depth - 1, budget) for key, inner in items if key != PADDLE_TABLE}
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], _Array):
        return value[1].tensor  # Paddle keeps its own name of a tensor beside it
    if isinstance(value, list | tuple):
        return [_plain(inner, depth - 1, budget) for inner in value]
    return value
