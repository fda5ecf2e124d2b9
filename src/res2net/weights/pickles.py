"""A safe reader of pickled NumPy arrays, the format of PaddleClas and Detectron2.

A pickle is a program that calls the functions it names. Here it may name only builtin containers and the functions
that rebuild NumPy arrays, and the latter are replaced by functions of this file that check their arguments.
"""

from __future__ import annotations

import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

DEEPEST = 4
"""The deepest nesting of containers in a checkpoint; a container that contains itself is deeper."""
TYPES = frozenset(("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1"))
"""The allowed types of numbers, as NumPy's letter and number of bytes."""
PADDLE_TABLE = "StructuredToParameterName@@"
"""The entry in which Paddle keeps its own names of the tensors."""


class RefusedError(Exception):
    """A pickle names a function or class that is not allowed; its name is the message."""


class _Type:
    """The stand-in for `numpy.dtype`: the type and byte order of an array."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in TYPES:
            raise ValueError(f"numbers of type {code!r}")
        self.code, self.order = code, "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise ValueError(f"byte order {state[1]!r}")
        self.order = state[1]


class _Array:
    """The stand-in for `numpy.ndarray`, empty until its state is set."""

    tensor: Tensor

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, by_column, data = state
        self.tensor = _tensor(data, kind, shape, "F" if by_column else "C")


class _Allowed:
    """A function that a pickle may call but not modify."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)

    def __setstate__(self, _: object) -> NoReturn:
        raise ValueError("a function has no state")


def _tensor(data: object, kind: object, shape: object, order: object) -> Tensor:
    content = data.encode("latin-1") if isinstance(data, str) else data  # Python 2 pickles bytes as text
    if not isinstance(content, bytes | bytearray) or not isinstance(kind, _Type) or order not in ("C", "F"):
        raise ValueError("an array that does not hold numbers")
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"shape {shape!r}")
    dtype = np.dtype(kind.order + kind.code)
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{len(content)} bytes for shape {shape}")
    array: np.ndarray[Any, Any] = np.ndarray(shape, dtype, content, order="F" if order == "F" else "C")
    return torch.from_numpy(np.array(array, dtype.newbyteorder("="), order="C"))


def _from_buffer(data: object, kind: object, shape: object, order: object) -> _Array:
    array = _Array()
    array.tensor = _tensor(data, kind, shape, order)
    return array


def _encode(text: object, encoding: object) -> bytes:
    """The stand-in for `_codecs.encode`, by which protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("text in another encoding")
    return text.encode("latin-1")


def _nothing(*_: object) -> NoReturn:
    raise ValueError("the array type was called, but may only be named")


_ALLOWED: dict[str, Any] = {
    **{f"{module}.{kind.__name__}": kind for module in ("builtins", "__builtin__") for kind in (dict, list, tuple)},
    **{f"{module}.bytes": _Allowed(lambda: b"") for module in ("builtins", "__builtin__")},  # empty bytes in protocol 2
    "collections.OrderedDict": OrderedDict,
    "_codecs.encode": _Allowed(_encode),
    "numpy.ndarray": _Allowed(_nothing),
    "numpy.dtype": _Allowed(_Type),
    **{f"numpy.{core}.multiarray._reconstruct": _Allowed(lambda *_: _Array()) for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _Allowed(_from_buffer) for core in ("core", "_core")},
}


class _Content(io.BytesIO):
    """A file in memory that never yields more than it holds, and no truncated line."""

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if not line.endswith(b"\n"):
            raise EOFError
        return line


class _Unpickler(pickle._Unpickler):
    # The Python implementation: in a damaged file, the C one may allocate any amount of memory.

    def find_class(self, module_name: str, global_name: str) -> Any:
        name = f"{module_name}.{global_name}"
        if name not in _ALLOWED:
            raise RefusedError(name)
        return _ALLOWED[name]


def read_pickle(path: Path) -> Any:
    """Read the containers of a pickle, with a tensor for each array and without Paddle's table of names.

    Raises:
        RefusedError: the pickle names something other than containers and arrays; nothing of it was run.
        Exception: any type of exception, if the file is damaged, incomplete or not a pickle.
    """
    return _plain(_Unpickler(_Content(path.read_bytes()), encoding="latin-1").load(), DEEPEST)


def _plain(value: object, depth: int) -> Any:
    if not depth:
        raise ValueError("containers are nested too deeply")
    if isinstance(value, _Array):
        return value.tensor
    if isinstance(value, dict):
        return {key: _plain(inner, depth - 1) for key, inner in dict.items(value) if key != PADDLE_TABLE}
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], _Array):
        return value[1].tensor  # Paddle keeps its own name of a tensor beside it
    if isinstance(value, list | tuple):
        return [_plain(inner, depth - 1) for inner in value]
    return value
