"""Strides, dilations and drop rates of the stages of a network, and checks of the options that set them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from res2net.errors import InputError
from res2net.nn.layers import check_positive


@dataclass(frozen=True)
class StageSteps:
    """The strides and dilations of one stage."""

    stride: int
    """Stride of the stage's output, in positions of the image."""
    step: int
    """Stride of the first block."""
    first_dilation: int
    """Dilation of the first block, which is that of the stage before."""
    dilation: int
    """Dilation of the other blocks."""
    reduces: bool
    """Whether the stage makes maps smaller, or would if dilation had not replaced its stride."""

    def after_first(self) -> StageSteps:
        """The strides and dilations of the blocks behind the first."""
        return replace(self, step=1, first_dilation=self.dilation, reduces=False)


def stage_steps(strides: Sequence[int], stride_before: int, output_stride: int | None = None) -> list[StageSteps]:
    """Strides and dilations of the stages of a network, given their natural strides in positions of the image.

    A stage that would exceed `output_stride`, by default the last stride, keeps its size and dilates instead: its first
    block has the dilation of the stage before, the others twice that (Yu et al., CVPR 2017). Weights are the same at
    any output stride. Raises `InputError` if the output stride is not one of `strides`.
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


def rising(rate: float, blocks: int) -> Iterator[float]:
    """The drop rate of each block: it rises linearly from 0 at the first block to `rate` at the last."""
    return (rate * index / max(1, blocks - 1) for index in range(blocks))


def check_layers(layers: Sequence[int], channels: Sequence[int], *, least: int, what: str = "layers") -> None:
    """Raise `InputError` unless the lists of stages have the same length, at least `least`, and positive numbers."""
    if len(layers) != len(channels) or len(layers) < least:
        raise InputError(
            f"{len(layers)} stages of {what} and {len(channels)} of channels: give as many of each, at least {least}."
        )
    for name, counts in ((what, layers), ("channels", channels)):
        for count in counts:
            check_positive(f"Number of {name}", count)


def check_output_stride(output_stride: int, strides: Sequence[int]) -> None:
    """Raise `InputError` unless the output stride is one of the natural strides of the stages."""
    if output_stride not in strides:
        possible = sorted(set(strides), reverse=True)
        raise InputError(f"Output stride {output_stride} is not possible here: choose one of {possible}.")


def check_fixed_stride(output_stride: int | None, natural: int, because: str) -> None:
    """Raise `InputError` unless the output stride is the network's own, where dilation cannot replace strides."""
    if output_stride not in (None, natural):
        raise InputError(f"Output stride {output_stride} is not possible here: {because}, so choose {natural}.")


def check_no_drop_path(drop_path_rate: float) -> None:
    """Raise `InputError` unless the rate is 0, for networks without residual branches that could be dropped."""
    if drop_path_rate != 0:
        raise InputError(f"Drop path {drop_path_rate} does not fit: this network drops no residual branch, so give 0.")


def check_stages(chosen: Sequence[int], count: int, *, from_end: bool = False) -> None:
    """Raise `InputError` unless `chosen` names some of `count` stages by index; `from_end` allows negative ones."""
    if not chosen or not all((-count if from_end else 0) <= stage < count for stage in chosen):
        raise InputError(f"Stages {list(chosen)} do not exist: choose among 0 to {count - 1}, the stem first.")
