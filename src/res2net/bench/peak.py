"""What the machine reaches at most: a product of large matrices, in each precision."""

from __future__ import annotations

from collections.abc import Callable

import torch

__all__ = ["OPERATIONS", "Peak", "peak_run"]

SIDES = {"cpu": 2048, "cuda": 8192}
OPERATIONS = {device: 2 * side**3 for device, side in SIDES.items()}
"""Multiplications and additions of one product."""


class Peak(str):
    """The key of the product in a precision among cases that are measured."""

    __slots__ = ()


def peak_run(precision: str, device: str = "cpu") -> Callable[[], object]:
    """A product of two square matrices: in int8 with sums of 32 bits."""
    side = SIDES[device]
    if precision == "int8":
        whole = torch.randint(-127, 128, (side, side), dtype=torch.int8, device=device)
        return lambda: torch._int_mm(whole, whole.T)
    matrix = torch.randn(side, side, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    return lambda: matrix @ matrix
