"""The folded Res2 chain on a GPU: convolutions that read and write slices of channels, in Triton.

Each split is an implicit matrix product, of pixels x (taps * channels) and (taps * channels) x channels. It reads x_i
and y_(i-1) where they lie in memory and adds them on the way, adds the bias, applies the ReLU and writes y_i where it
belongs: splits, sums and concatenation are never stored. The splits of a stage are one launch, since they are
independent. A split of the hierarchy needs the neighbourhood of the output before it: there each is a launch of its
own. The split that passes is written by the first launch.

Widths such as 26 are no multiple of what matrix units take: blocks are padded in registers by masks, which is exact.

This module needs triton, and is imported by those who ask for it alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from res2net.errors import InputError
from res2net.kernels.chain import Layout
from res2net.kernels.folded import DEFAULTS, ChainOptions, check_folded, output_shape, tap_major

__all__ = ["Blocks", "choose_blocks", "folded_chain_triton", "launches"]

PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)
INT32_ELEMENTS = 2**31
"""Tensors of as many elements are addressed by 64 bits."""


class Blocks(NamedTuple):
    """How a launch is cut: one program computes `pixels` x `outputs` values, `inputs` channels at a time."""

    pixels: int
    outputs: int
    inputs: int
    warps: int
    stages: int
    """Steps whose loads are under way at once."""


def choose_blocks(pixels: int, width: int, element_size: int, *, tf32: bool = False) -> Blocks:
    """Blocks that leave room for at least 8 warps on each processor of Ampere or Hopper, and spill no register.

    All channels of a split are one block up to 128, so that the input is read once for each tap. Exact fp32 has no
    matrix unit, and gets small blocks.

    Args:
        pixels: N * H * W of the output.
        width: channels of a split, divided by the groups.
        element_size: bytes of a value.
        tf32: whether fp32 is rounded to tf32.
    """
    padded = max(16, triton.next_power_of_2(width))
    if element_size == 4 and not tf32:
        return Blocks(64, min(padded, 64), 16, 4, 2)
    # Two programs for each of Hopper's 132 processors are wanted first.
    large = padded >= 64 and pixels >= 128 * 264
    return Blocks(128 if large else 64, min(padded, 128), min(padded, 32), 8 if large else 4, 3)


@triton.jit
def _addresses(
    image: tl.tensor,
    line: tl.tensor,
    column: tl.tensor,
    inside: tl.tensor,
    channel: tl.tensor,
    known: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    CHANNELS: tl.constexpr,
) -> tl.tensor:
    """Offsets and mask of a block `(pixels, channels)` of an image in channels-last memory."""
    inside = inside & (line >= 0) & (line < height) & (column >= 0) & (column < width)
    offsets = (((image * height + line) * width + column) * CHANNELS)[:, None] + channel[None, :]
    return offsets, inside[:, None] & known[None, :]


SIZES = ("images", "height", "width", "out_height", "out_width")
POSITIONS = ("first", "offset", "before_at", "passed")


@triton.jit(do_not_specialize=[*SIZES, *POSITIONS])  # one program for all sizes of images
def _chain_kernel(
    x: tl.tensor,
    before: tl.tensor,
    weights: tl.tensor,
    biases: tl.tensor,
    out: tl.tensor,
    images: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    out_height: tl.tensor,
    out_width: tl.tensor,
    first: tl.tensor,
    offset: tl.tensor,
    before_at: tl.tensor,
    passed: tl.tensor,
    BRANCHES: tl.constexpr,
    SCALE: tl.constexpr,
    SPLIT: tl.constexpr,
    GROUPS: tl.constexpr,
    KERNEL: tl.constexpr,
    STRIDE: tl.constexpr,
    DILATION: tl.constexpr,
    HAS_BEFORE: tl.constexpr,
    PASSES: tl.constexpr,
    WINDOW: tl.constexpr,
    COUNTS_PADDING: tl.constexpr,
    RELU: tl.constexpr,
    LARGE: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDEN: tl.constexpr,
    PIXELS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    INPUTS: tl.constexpr,
) -> None:
    """`BRANCHES` splits from branch `first` on, and with `PASSES` the one that passes: one program a block.

    Branch b is of the split at `offset` + b. It also takes the split at `before_at` of `before` (`HAS_BEFORE`). The
    split that passes is averaged over `WINDOW` x `WINDOW` pixels.
    """
    CHANNELS: tl.constexpr = SCALE * SPLIT
    GROUP: tl.constexpr = SPLIT // GROUPS
    OUTPUT_BLOCKS: tl.constexpr = (GROUP + OUTPUTS - 1) // OUTPUTS
    INPUT_BLOCKS: tl.constexpr = (GROUP + INPUTS - 1) // INPUTS
    TAPS: tl.constexpr = KERNEL * KERNEL
    SLOTS: tl.constexpr = BRANCHES + PASSES

    # Splits and groups of the same pixels run side by side: they share what the cache has read.
    program = tl.program_id(0)
    slot = program % SLOTS
    block = program // SLOTS % OUTPUT_BLOCKS
    group = program // (SLOTS * OUTPUT_BLOCKS) % GROUPS
    program = program // (SLOTS * OUTPUT_BLOCKS * GROUPS)
    if LARGE:
        program = program.to(tl.int64)

    pixel = program * PIXELS + tl.arange(0, PIXELS)
    out_column = pixel % out_width
    out_line = pixel // out_width % out_height
    image = pixel // out_width // out_height
    real = image < images
    output = block * OUTPUTS + tl.arange(0, OUTPUTS)
    known_output = output < GROUP
    output = group * GROUP + output  # among the channels of the split

    total = tl.zeros((PIXELS, OUTPUTS), tl.float32)
    if PASSES and slot == BRANCHES:
        position = passed
        counted = tl.zeros((PIXELS,), tl.float32)
        for tap in range(WINDOW * WINDOW):
            line = out_line * STRIDE + tap // WINDOW - WINDOW // 2
            column = out_column * STRIDE + tap % WINDOW - WINDOW // 2
            channel = position * SPLIT + output
            offsets, mask = _addresses(image, line, column, real, channel, known_output, height, width, CHANNELS)
            total += tl.load(x + offsets, mask, 0.0).to(tl.float32)
            counted += ((line >= 0) & (line < height) & (column >= 0) & (column < width)).to(tl.float32)
        if WINDOW > 1:
            total = total / (WINDOW * WINDOW if COUNTS_PADDING else tl.maximum(counted, 1.0)[:, None])
    else:
        branch = first + slot
        position = offset + branch
        for step in range(TAPS * INPUT_BLOCKS):
            tap = step // INPUT_BLOCKS
            line = out_line * STRIDE + (tap // KERNEL - KERNEL // 2) * DILATION
            column = out_column * STRIDE + (tap % KERNEL - KERNEL // 2) * DILATION
            inner = step % INPUT_BLOCKS * INPUTS + tl.arange(0, INPUTS)
            known = inner < GROUP
            channel = group * GROUP + inner
            offsets, mask = _addresses(image, line, column, real, channel, known, height, width, CHANNELS)
            value = tl.load(x + position * SPLIT + offsets, mask, 0.0)
            if HAS_BEFORE:
                previous = tl.load(before + before_at * SPLIT + offsets, mask, 0.0)
                # Rounded as a stored sum is.
                value = (value.to(tl.float32) + previous.to(tl.float32)).to(value.dtype)
            row = (branch * TAPS + tap) * SPLIT + output
            weight = tl.load(
                weights + row[None, :] * GROUP + inner[:, None], known[:, None] & known_output[None, :], 0.0
            )
            if WIDEN:
                value, weight = value.to(tl.float32), weight.to(tl.float32)
            total = tl.dot(value, weight, total, input_precision=PRECISION)
        total += tl.load(biases + branch * SPLIT + output, known_output, 0.0).to(tl.float32)[None, :]
        if RELU:
            total = tl.where(total < 0, 0.0, total)  # what is no number stays so

    offsets, mask = _addresses(
        image, out_line, out_column, real, position * SPLIT + output, known_output, out_height, out_width, CHANNELS
    )
    tl.store(out + offsets, total.to(out.dtype.element_ty), mask)


class Launch(NamedTuple):
    """One start of the kernel."""

    first: int
    """First branch."""
    branches: int
    """How many, side by side."""
    passes: bool
    """Whether the split that passes is written too."""
    before: str
    """What the branch also reads a split of: "x", "out" or nothing, ""."""
    before_at: int
    """Position of that split."""


def launches(layout: Layout) -> list[Launch]:
    """The starts of the kernel that compute a layout, in turn."""
    count = len(layout.convolved)
    passes = layout.passed is not None
    if not layout.hierarchical:
        return [Launch(0, count, passes, "", 0)]
    first = Launch(0, 1, passes, "", 0)
    if layout.passed is not None and layout.starts_with_passed:
        first = first._replace(before="x", before_at=layout.passed)
    return [first, *(Launch(i, 1, False, "out", layout.convolved[i - 1]) for i in range(1, count))]


def folded_chain_triton(
    x: Tensor,
    weights: Tensor,
    biases: Tensor,
    layout: Layout,
    options: ChainOptions = DEFAULTS,
    *,
    tf32: bool = False,
    blocks: Blocks | None = None,
) -> Tensor:
    """`folded_chain` on a GPU, in fp32, bf16 or fp16 with sums in fp32; the output is in channels-last memory.

    It is fastest when `x` is in channels-last memory and `weights` in that of `tap_major`: others are copied first.
    With `tf32` products of fp32 are rounded to tf32, to run on matrix units. `blocks` says how the launches are cut, by
    default as `choose_blocks` does. The other arguments are those of `folded_chain`. There is no gradient.

    Raises:
        InputError: an option or a shape does not fit, or there is no GPU (nor TRITON_INTERPRET=1).
    """
    check_folded(x, weights, biases, layout, options)
    if not (x.is_cuda or triton.knobs.runtime.interpret):
        raise InputError(f"backend='triton' runs on a GPU, and the input is on {x.device}: use backend='reference'.")
    if x.dtype not in PRECISIONS:
        raise InputError(f"backend='triton' does not compute {x.dtype}: give float32, bfloat16 or float16.")
    if not x.device == weights.device == biases.device:
        raise InputError(f"The input is on {x.device}, weights on {weights.device}, biases on {biases.device}.")
    x = x.contiguous(memory_format=torch.channels_last)
    weights = tap_major(weights)
    biases = biases.contiguous()
    stride, groups = options.stride, options.groups
    shape = output_shape(x, stride)
    out = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    if out.numel() == 0:
        return out

    pixels = shape[0] * shape[2] * shape[3]
    group = layout.width // groups
    cut = blocks or choose_blocks(pixels, group, x.element_size(), tf32=tf32)
    tiles = triton.cdiv(pixels, cut.pixels) * triton.cdiv(group, cut.outputs) * groups
    size = weights.shape[-1]
    fixed = {
        "SCALE": layout.scale,
        "SPLIT": layout.width,
        "GROUPS": groups,
        "KERNEL": size,
        "STRIDE": stride,
        "DILATION": options.dilation,
        "WINDOW": size if options.pools(layout) else 1,
        "COUNTS_PADDING": options.pool_counts_padding,
        "RELU": options.act == "relu",
        "LARGE": max(x.numel(), out.numel()) >= INT32_ELEMENTS,
        "PRECISION": "tf32" if tf32 else "ieee",
        "WIDEN": triton.knobs.runtime.interpret,  # the interpreter multiplies bf16 as if it were integers
    }
    with torch.cuda.device_of(x):
        for launch in launches(layout):
            before = x if launch.before == "x" else out
            numbers = (shape[0], *x.shape[2:], *shape[2:], launch.first, layout.convolved[0], launch.before_at)
            start = _chain_kernel[(tiles * (launch.branches + launch.passes),)]
            start(
                *(x, before, weights, biases, out, *numbers, layout.passed or 0),
                **constants(launch, cut),
                **fixed,
                num_warps=cut.warps,
                num_stages=cut.stages,
                enable_fp_fusion=True,
            )
    return out


def constants(launch: Launch, cut: Blocks) -> dict[str, object]:
    """What a start and its blocks make constant in the kernel."""
    return {
        "BRANCHES": launch.branches,
        "HAS_BEFORE": bool(launch.before),
        "PASSES": launch.passes,
        "PIXELS": cut.pixels,
        "OUTPUTS": cut.outputs,
        "INPUTS": cut.inputs,
    }
