"""Pickles of NumPy arrays, as PaddleClas and Detectron2 publish, read without running anything from them.

A pickle is a program that calls what it names. Here it may name builtin containers and the functions that NumPy's
arrays are rebuilt with, and those are replaced by functions of this file, which check what they are given.
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

__all__ = ["RefusedError", "read_pickle"]

DEEPEST = 4
"""Containers within containers; more is no checkpoint, but for instance one that contains itself."""
TYPES = frozenset(("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1"))
"""Kind and bytes of numbers, in NumPy's letters."""
PADDLE_TABLE = "StructuredToParameterName@@"
"""What Paddle keeps beside the tensors: its own names of them."""


class RefusedError(Exception):
    """A pickle names something that is not allowed, which is the text."""


class _Type:
    """What an array says about its numbers."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in TYPES:
            raise ValueError(f"numbers of type {code!r}")
        self.code, self.order = code, "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise ValueError(f"byte order {state[1]!r}")
        self.order = state[1]


class _Array:
    """An array, empty until its content comes."""

    tensor: Tensor

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, by_column, data = state
        self.tensor = _tensor(data, kind, shape, "F" if by_column else "C")


class _Allowed:
    """A function that a pickle may call but not change."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)

    def __setstate__(self, _: object) -> NoReturn:
        raise ValueError("a function has no state")


def _tensor(data: object, kind: object, shape: object, order: object) -> Tensor:
    content = data.encode("latin-1") if isinstance(data, str) else data  # a string in pickles of Python 2
    if not isinstance(content, bytes | bytearray) or not isinstance(kind, _Type) or order not in ("C", "F"):
        raise ValueError("an array of something else than numbers")
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
    """Bytes are written so by protocol 2."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("text in another encoding")
    return text.encode("latin-1")


def _nothing(*_: object) -> NoReturn:
    raise ValueError("the type of arrays is named and not called")


_ALLOWED: dict[str, Any] = {
    **{f"{module}.{kind.__name__}": kind for module in ("builtins", "__builtin__") for kind in (dict, list, tuple)},
    **{f"{module}.bytes": _Allowed(lambda: b"") for module in ("builtins", "__builtin__")},  # protocol 2, of no bytes
    "collections.OrderedDict": OrderedDict,
    "_codecs.encode": _Allowed(_encode),
    "numpy.ndarray": _Allowed(_nothing),
    "numpy.dtype": _Allowed(_Type),
    **{f"numpy.{core}.multiarray._reconstruct": _Allowed(lambda *_: _Array()) for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _Allowed(_from_buffer) for core in ("core", "_core")},
}


class _Content(io.BytesIO):
    """A file in memory, from which nothing larger than itself can be read, and no half of a name."""

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if not line.endswith(b"\n"):
            raise EOFError
        return line


class _Unpickler(pickle._Unpickler):
    # The one of pickle that is written in Python: a damaged number makes the other one ask for any amount of memory.

    def find_class(self, module_name: str, global_name: str) -> Any:
        name = f"{module_name}.{global_name}"
        if name not in _ALLOWED:
            raise RefusedError(name)
        return _ALLOWED[name]


def read_pickle(path: Path) -> Any:
    """The containers in a pickle, with a tensor for each array; Paddle's table of names is left out.

    Raises:
        RefusedError: it names something else than containers and arrays, of which nothing was run.
        Exception: of any type, where the file is damaged, incomplete or no pickle.
    """
    return _plain(_Unpickler(_Content(path.read_bytes()), encoding="latin-1").load(), DEEPEST)


def _plain(value: object, depth: int) -> Any:
    if not depth:
        raise ValueError("too many containers within each other")
    if isinstance(value, _Array):
        return value.tensor
    if isinstance(value, dict):
        return {key: _plain(inner, depth - 1) for key, inner in dict.items(value) if key != PADDLE_TABLE}
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], _Array):
        return value[1].tensor  # Paddle keeps its own name of a tensor beside it
    if isinstance(value, list | tuple):
        return [_plain(inner, depth - 1) for inner in value]
    return value
