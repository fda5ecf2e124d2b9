"""Masks in COCO's compressed run-length encoding, which takes some hundred bytes instead of a whole image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from faster_coco_eval.core import mask as mask_api
from torch import Tensor

from res2net.errors import InputError

__all__ = ["areas", "encode", "pack", "unpack"]


def encode(masks: Tensor | Sequence[Mapping[str, Any]], what: str) -> tuple[tuple[int, int] | None, list[bytes]]:
    """Encode masks as run lengths.

    Args:
        masks: bool or uint8 `(n, H, W)`, or COCO's run lengths `{"size": [H, W], "counts": str or bytes}` of each.
        what: what the masks belong to, for messages.

    Returns:
        The size `(H, W)` of the masks, None for an empty list, and the compressed counts of each mask.

    Raises:
        InputError: the masks have another form or type, or different sizes.
    """
    if isinstance(masks, Tensor):
        if masks.ndim != 3 or masks.dtype not in (torch.bool, torch.uint8):
            raise InputError(
                f"Masks of a {what} are {masks.dtype} of shape {tuple(masks.shape)}: "
                "give bool of shape (objects, height, width), in the size of the image."
            )
        height, width = masks.shape[1:]
        # The library expects masks in column-major order, one after the other.
        columns = masks.as_subclass(Tensor).permute(0, 2, 1).contiguous().to(torch.uint8).cpu().numpy()
        encoded = mask_api.encode(columns.transpose(2, 1, 0)) if len(columns) else []
        return (height, width), [_bytes(one["counts"]) for one in encoded]
    if not all(isinstance(one, Mapping) and isinstance(one.get("counts"), str | bytes) for one in masks):
        raise InputError(
            f"Masks of a {what} are neither a tensor nor compressed run lengths: give COCO's size and counts."
        )
    sizes = {(int(one["size"][0]), int(one["size"][1])) for one in masks}
    if len(sizes) > 1:
        raise InputError(f"Masks of a {what} have sizes {sorted(sizes)}: give all the size of the image.")
    return (sizes.pop() if sizes else None), [_bytes(one["counts"]) for one in masks]


def areas(size: tuple[int, int], counts: Sequence[bytes]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The number of pixels of each mask, `(n,)`."""
    if not counts:
        return np.zeros(0)
    return np.asarray(mask_api.area([{"size": list(size), "counts": one} for one in counts]), dtype=np.float64)


def pack(counts: Sequence[bytes]) -> tuple[Tensor, Tensor]:
    """Concatenate the bytes of all masks to a uint8 tensor; also return the length of each."""
    joined = np.frombuffer(bytearray(b"".join(counts)), dtype=np.uint8) if counts else np.zeros(0, np.uint8)
    return torch.from_numpy(joined), torch.tensor([len(one) for one in counts], dtype=torch.int64)


def unpack(packed: Tensor, lengths: Tensor) -> list[bytes]:
    """Undo `pack`."""
    joined = packed.numpy().tobytes()
    ends = lengths.cumsum(0).tolist()
    return [joined[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _bytes(counts: str | bytes) -> bytes:
    return counts.encode() if isinstance(counts, str) else counts
