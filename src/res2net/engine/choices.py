"""Choices that several commands and functions share. Nothing here needs torch."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["ACCELERATORS", "PRECISIONS", "Accelerator", "BadAnnotations", "BadImages", "Decode", "Pick", "Precision"]

Precision = Literal["fp32", "bf16", "fp16"]
"""Numerical precision: 32 bits, or mixed precision with 16 bits."""
Accelerator = Literal["auto", "cpu", "gpu", "mps"]
"""The device that a network runs on."""
BadImages = Literal["stop", "skip"]
"""What to do with an image that cannot be read."""
BadAnnotations = Literal["stop", "skip"]
"""What to do with faulty annotations."""
Decode = Literal["full", "scaled"]
"""How JPEG files are decoded: in full, or at the scale that is needed, which is faster for large photos."""
Pick = Literal["first", "random", "differ"]
"""The images that are compared: the first, random ones, or those where the scores of models differ most."""
PRECISIONS: tuple[str, ...] = get_args(Precision)
ACCELERATORS: tuple[str, ...] = get_args(Accelerator)
