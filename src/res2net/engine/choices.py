"""The choices that several commands and functions share, each written once. Nothing here needs torch."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["ACCELERATORS", "PRECISIONS", "Accelerator", "Precision"]

Precision = Literal["fp32", "bf16", "fp16"]
"""How a network computes: in 32 bits, or in mixed precision."""
Accelerator = Literal["auto", "cpu", "gpu", "mps"]
"""What a network computes on."""
PRECISIONS: tuple[str, ...] = get_args(Precision)
ACCELERATORS: tuple[str, ...] = get_args(Accelerator)
