"""A safe reader of files of `torch.save`, of torch 1.6 and later (zip archives) and of earlier versions.

`torch.load(weights_only=True)` runs no code either, but a small file can make it take any amount of memory, and it
trusts the sizes that a file states. Here a file can take no more than a few times its size, and its tensors are read
only when they are asked for.
"""

from __future__ import annotations

import io
import math
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from res2net.weights.pickles import Allowed, Budget, Content, Unpickler, allowed_names, is_shape

STORAGES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
}
"""The types of numbers of torch's storages, by the beginnings of their names."""
OTHERS = {
    "torch._utils._rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils._rebuild_qtensor": "a quantized tensor",
    "torch._utils._rebuild_meta_tensor_no_storage": "a tensor without values",
    "torch._utils._rebuild_wrapper_subclass": "a tensor of another kind",
    "torch._utils._rebuild_device_tensor_from_numpy": "a tensor of another kind",
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": "a tensor of another kind",
    "torch.nn.parameter.Parameter": "a tensor of another kind",
    "torch.Tensor": "a tensor of another kind",
    **{
        f"torch.{kind}Storage": "a tensor of another kind"
        for kind in ("QInt8", "QUInt8", "QInt32", "QUInt4x2", "Typed")
    },
    **dict.fromkeys(("torch.per_tensor_affine", "torch.per_channel_affine"), "a quantization"),
    "torch.serialization._get_layout": "a layout",
    "torch.Size": "a size",
    "torch.device": "a device",
    "collections.Counter": "a counter",
    **{f"{module}.{name}": name for module in ("builtins", "__builtin__") for name in ("set", "bytearray", "complex")},
    **{f"numpy.{core}.multiarray.scalar": "a number of NumPy" for core in ("core", "_core")},
}
"""What training programs keep beside the tensors, which is not read, and what messages call it."""
LEGACY_HEADERS = 3
"""Pickles before the content in a file from before torch 1.6: a magic number, a version, and the system."""


class Other(Allowed):
    """The stand-in for values that are not read, and for whatever makes them."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        super().__init__(lambda *_: self)
        self.kind = kind

    def __setstate__(self, _: object) -> None:
        """Ignore the state."""

    def ignore(self, *_: object) -> None:
        """Ignore an item that would be added."""

    append = extend = add = update = __setitem__ = ignore


@dataclass(frozen=True)
class _Storage:
    """The stand-in for a class of storages: the type of its numbers."""

    dtype: torch.dtype


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor of a file that is not yet read."""

    read_bytes: Callable[[], bytearray]
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    budget: Budget

    def read(self) -> Tensor:
        """Read the tensor; raises `ValueError` if it reaches beyond its storage or is larger than its file."""
        content = self.read_bytes()
        self.budget.spend(math.prod(self.size) * self.dtype.itemsize)
        if 0 in self.size:
            return torch.empty(self.size, dtype=self.dtype)
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.size, self.stride, strict=True))
        if (last + 1) * self.dtype.itemsize > len(content):
            raise ValueError("a tensor beyond the end of its storage")
        usable = len(content) - len(content) % self.dtype.itemsize
        flat = torch.frombuffer(memoryview(content)[:usable], dtype=self.dtype)
        return flat.as_strided(self.size, self.stride, self.offset)


class TorchFile:
    """The content of a file of `torch.save`: containers, and a `StoredTensor` for each tensor; a context manager.

    Raises, when it is made:
        RefusedError: the file names Python objects; nothing of it was run.
        Exception: any type of exception, if the file is damaged, incomplete or not of torch.
    """

    content: Any

    def __init__(self, path: Path) -> None:
        size = path.stat().st_size
        self.budget, self.dtypes = Budget(size), dict[str, torch.dtype]()
        with path.open("rb") as file:
            zipped = file.read(2) == b"PK"
        self.file = path.open("rb")
        try:
            if zipped:
                self._open_archive(size)
            else:
                self._open_legacy()
        except BaseException:
            self.file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def _open_archive(self, size: int) -> None:
        archive = zipfile.ZipFile(self.file)
        entries = archive.infolist()
        # `torch.save` compresses nothing and writes every entry once; entries may not overlap either.
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("compressed entries")
        if sum(entry.file_size for entry in entries) > size or len({entry.filename for entry in entries}) < len(
            entries
        ):
            raise ValueError("entries that are larger than the file")
        (root,) = (e.filename.removesuffix("data.pkl") for e in entries if e.filename.endswith("/data.pkl"))
        names = {entry.filename for entry in entries}
        if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != sys.byteorder.encode():
            raise ValueError("another byte order")
        self.read_storage = cache(lambda key: bytearray(archive.read(f"{root}data/{key}")))
        self.content = self._unpickle(Content(archive.read(f"{root}data.pkl")), "utf-8")

    def _open_legacy(self) -> None:
        stream = Content(self.file.read())
        for _ in range(LEGACY_HEADERS):
            self._unpickle(stream, "latin-1")
        self.content = self._unpickle(stream, "latin-1")
        storages: dict[str, bytearray] = {}
        for key in self._unpickle(stream, "latin-1"):
            length = int.from_bytes(stream.read(8), "little") * self.dtypes[key].itemsize
            if len(content := stream.read(length)) < length:
                raise EOFError
            storages[key] = bytearray(content)
        self.read_storage = storages.__getitem__

    read_storage: Callable[[str], bytearray]
    """The bytes of a storage by its key; the same in every call, since tensors may share them."""

    def _unpickle(self, stream: io.BytesIO, encoding: str) -> Any:
        return Unpickler(stream, self._allowed(), encoding=encoding, stored=self._storage).load()

    def _allowed(self) -> dict[str, Any]:
        """What the file may name."""
        parameter = Allowed(lambda tensor, *_: tensor)
        return {
            **allowed_names(self.budget),
            **{name: Other(kind) for name, kind in OTHERS.items()},
            **{f"torch.{name}Storage": _Storage(dtype) for name, dtype in STORAGES.items()},
            **{f"torch.storage.{name}Storage": _Storage(torch.uint8) for name in ("Untyped", "_Untyped")},
            **{f"torch.{name}": value for name, value in vars(torch).items() if isinstance(value, torch.dtype)},
            "torch._utils._rebuild_tensor": Allowed(self._tensor),
            "torch._utils._rebuild_tensor_v2": Allowed(self._tensor),
            "torch._utils._rebuild_tensor_v3": Allowed(
                lambda storage, offset, size, stride, _grad, _hooks, dtype, *_: self._tensor(
                    (storage[0], dtype), offset, size, stride
                )
            ),
            "torch._utils._rebuild_parameter": parameter,
            "torch._utils._rebuild_parameter_with_state": parameter,
        }

    def _storage(self, identity: Any) -> Any:
        """The key and the type of a storage, from what a pickle says of it."""
        if not isinstance(identity, tuple) or len(identity) < 5 or not isinstance(identity[2], str):
            raise ValueError("a reference to something else than a storage")
        if isinstance(identity[1], Other):
            return identity[1]
        if len(identity) > 5 and identity[5] is not None:
            raise ValueError("a view of a storage, which only very old files have")
        self.dtypes[identity[2]] = identity[1].dtype
        return identity[2], identity[1].dtype

    def _tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *_: object) -> Any:
        if isinstance(storage, Other):
            return storage
        key, dtype = storage
        if not is_shape((offset,)) or not is_shape(size) or not is_shape(stride) or len(size) != len(stride):
            raise ValueError("a tensor of an impossible shape")
        if not isinstance(dtype, torch.dtype):
            raise ValueError("a tensor of an impossible type")
        return StoredTensor(lambda: self.read_storage(key), dtype, offset, size, stride, self.budget)
