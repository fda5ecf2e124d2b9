"""The header of our checkpoints: the types of its metadata, and the digest of the whole content."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from res2net.errors import InputError
from res2net.options import type_advice

METADATA_KEY = "res2net"
"""The key in the header of a safetensors file under which our metadata is stored as JSON."""
DIGEST_KEY = "res2net_sha256"
"""The key in the header under which the digest of the content is stored."""
DEEPEST = 8
"""The deepest nesting of lists and mappings in metadata."""
KINDS: dict[str, Any] = {
    "model": str,
    "options": dict[str, Any],
    "graph": str,
    "format": str,
    "source": str,
    "licence": str,
    "version": str,
    "preprocessing": dict[str, Any],
    "task": str,
    "task_options": dict[str, Any],
    "class_names": Sequence[str],
    "class_names_assumed": bool,
    "stuff_names": Sequence[str],
    "category_ids": Sequence[int],
    "stuff_category_ids": Sequence[int],
    "keypoints": dict[str, Any] | None,
    "spacing": Sequence[float],
    "window": Sequence[float],
    "metrics": dict[str, Any],
    "score": str,
    "precision": Literal["fp32", "bf16", "fp16"],
    "decode": Literal["full", "scaled"],
    "channels_last": bool,
    "batch_size": int,
    "seed": int,
    "val_fraction": float,
}
"""The types of metadata that this library reads; other programs and callers may add other entries."""
RANGES = {"batch_size": (1, 10**6), "seed": (0, 2**32 - 1), "val_fraction": (0, 1)}
"""The lowest and the highest value of numbers among these."""


def check_metadata(path: Path, metadata: Mapping[str, Any]) -> None:
    """Raise `InputError` unless all metadata that this library reads has its type and is not nested too deeply."""
    for name, value in metadata.items():
        if advice := _advice(name, value):
            raise InputError(
                f"The metadata of {path} is damaged: {name} is {str(value)[:40]!r}, and {advice.removeprefix('give ')} "
                "was expected: save the file again."
            )


def fitting_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that have the types of ours: those of other programs can have our names and another meaning."""
    return {name: value for name, value in metadata.items() if not _advice(name, value)}


def _advice(name: str, value: object) -> str:
    if not _is_shallow(value):
        return f"a value nested at most {DEEPEST} times"
    if advice := type_advice(value, KINDS[name]) if name in KINDS else "":
        return advice
    low, high = RANGES.get(name, (0, 0))
    return f"a number from {low} to {high:,}" if name in RANGES and not low <= value <= high else ""  # type: ignore[operator]


def _is_shallow(value: object, depth: int = DEEPEST) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return depth > 0 and all(_is_shallow(one, depth - 1) for one in inner)


def digest(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> str:
    """The SHA-256 of contiguous tensors with their names, types and shapes, and of all other entries of a header."""
    found = hashlib.sha256(json.dumps({k: v for k, v in header.items() if k != DIGEST_KEY}, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy())  # type: ignore[arg-type] # arrays are buffers
    return found.hexdigest()


def check_digest(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Raise `InputError` if the content of a file is not that of its digest; files without one pass.

    A bit may have flipped in the key of the digest, which therefore is also recognised by its value.
    """
    stated = header.get(DIGEST_KEY)
    if stated is None and METADATA_KEY in header:
        stated = next((value for value in header.values() if re.fullmatch("[0-9a-f]{64}", value)), None)
    if stated is not None and stated != digest(tensors, header):
        raise InputError(f"{path} is damaged, since its SHA-256 is another one: copy or download it again.")
