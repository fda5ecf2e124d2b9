"""Checks of options that several families share."""

from __future__ import annotations

from collections.abc import Sequence

from res2net.errors import InputError

__all__ = ["check_fixed_stride", "check_no_drop_path", "check_sizes", "check_stages"]


def check_sizes(num_classes: int, in_channels: int, dropout: float = 0.0) -> None:
    """`InputError` unless there is at least one channel, no negative number of classes, and a probability."""
    if num_classes < 0 or in_channels < 1:
        raise InputError(f"{num_classes} classes and {in_channels} input channels: give at least 0 and at least 1.")
    if not 0 <= dropout < 1:
        raise InputError(f"Dropout {dropout} does not fit: give a probability, 0 <= p < 1.")


def check_fixed_stride(output_stride: int | None, natural: int, because: str) -> None:
    """`InputError` unless the output stride is the network's own: one that dilation cannot change, `because` of it."""
    if output_stride not in (None, natural):
        raise InputError(f"Output stride {output_stride} is not possible here: {because}, so choose {natural}.")


def check_no_drop_path(drop_path_rate: float) -> None:
    """`InputError` unless it is 0, for networks without residual branches that could be dropped."""
    if drop_path_rate != 0:
        raise InputError(f"Drop path {drop_path_rate} does not fit: this network drops no residual branch, so give 0.")


def check_stages(chosen: Sequence[int], count: int, *, from_end: bool = False) -> None:
    """`InputError` unless some of `count` stages are chosen, by number from 0; `from_end` also allows negative ones."""
    if not chosen or not all((-count if from_end else 0) <= stage < count for stage in chosen):
        raise InputError(f"Stages {list(chosen)} do not exist: choose among 0 to {count - 1}, the stem first.")
