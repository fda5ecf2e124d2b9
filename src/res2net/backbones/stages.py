"""Where the strides of a network's stages are, which of them dilation replaces, and how drop rates rise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from res2net.errors import InputError

__all__ = ["StageSteps", "check_output_stride", "rising", "stage_steps"]


@dataclass(frozen=True)
class StageSteps:
    """The strides and dilations of one stage."""

    stride: int
    """Of its output, in positions of the image."""
    step: int
    """Stride of its first block."""
    first_dilation: int
    """Dilation of its first block, which is that of the stage before."""
    dilation: int
    """Dilation of its other blocks."""
    reduces: bool
    """Whether it makes maps smaller, or would if dilation had not replaced its stride."""

    def after_first(self) -> StageSteps:
        """Those of the blocks behind the first."""
        return replace(self, step=1, first_dilation=self.dilation, reduces=False)


def stage_steps(strides: Sequence[int], stride_before: int, output_stride: int | None = None) -> list[StageSteps]:
    """The steps of stages that have these strides by nature.

    A stage that would pass `output_stride` keeps its size and dilates instead: its first block has the dilation of
    the stage before, the others twice that (Yu et al., CVPR 2017). Weights are the same at any output stride.

    Args:
        strides: of the stages, in positions of the image; each a multiple of the one before.
        stride_before: of what the first stage works on.
        output_stride: one of `strides`; by default the last.

    Raises:
        InputError: another output stride.
    """
    output_stride = strides[-1] if output_stride is None else output_stride
    check_output_stride(output_stride, strides)
    steps = []
    dilation, natural_before = 1, stride_before
    for natural in strides:
        dilation_before, dilation = dilation, max(1, natural // output_stride)
        stride = min(natural, output_stride)
        steps.append(StageSteps(stride, stride // stride_before, dilation_before, dilation, natural > natural_before))
        stride_before, natural_before = stride, natural
    return steps


def check_output_stride(output_stride: int, strides: Sequence[int]) -> None:
    """`InputError` unless it is one of `strides`, those of the stages."""
    if output_stride not in strides:
        possible = sorted(set(strides), reverse=True)
        raise InputError(f"Output stride {output_stride} is not possible here: choose one of {possible}.")


def rising(rate: float, blocks: int) -> Iterator[float]:
    """The drop rate of each block: from 0 at the first, linearly to `rate` at the last."""
    return (rate * index / max(1, blocks - 1) for index in range(blocks))
