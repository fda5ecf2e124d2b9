"""Atomic writing of checkpoints and other files."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
import torch
from torch import Tensor

from res2net.errors import InputError

__all__ = ["METADATA_KEY", "atomic_write", "save", "write_problem"]

METADATA_KEY = "res2net"
"""The key in the header of a safetensors file under which our metadata is stored as JSON."""


def save(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any] | None = None) -> None:
    """Write a safetensors file with `metadata`, which must be representable in JSON, in its header.

    The file is written whole or not at all: after any failure the previous file of that name is unchanged. Tensors that
    share memory are written as separate copies.

    Raises:
        InputError: the file cannot be written: full disk, no permission.
    """
    header = {METADATA_KEY: json.dumps(dict(metadata or {}), sort_keys=True)}
    copies = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    atomic_write(path, safetensors.torch.save(copies, header))


def atomic_write(path: str | Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write bytes, or what a function writes, to a temporary file that replaces `path` only when all is on the disk.

    Missing folders are created. After any failure the previous file is unchanged and no temporary file is left.

    Raises:
        InputError: the file cannot be written: full disk, no permission.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(content) if isinstance(content, bytes) else content(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise write_problem(path, error) from error
    finally:
        # The file exists only after a failure. If the folder itself is the problem, there is nothing to remove.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_problem(path: Path, error: OSError, advice: str = "choose another place") -> InputError:
    """Make the error for a file that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(f"No space left on the disk for {path}: free some, or {advice}.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError(f"No permission to write {path}: change the permissions, or {advice}.")
    return InputError(f"Cannot write {path} ({error.strerror or error}): {advice}.")
