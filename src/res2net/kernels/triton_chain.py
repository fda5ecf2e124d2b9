"""The folded Res2 chain on a GPU: convolutions in Triton that read and write slices of channels.

Each split is an implicit matrix product of (pixels, taps * channels) and (taps * channels, channels). It reads x_i and
y_(i-1) in place, adds them, adds the bias, applies the ReLU and writes y_i into its slice of the output, so that
splits, sums and the concatenation are never stored. The splits of a "stage" layout are independent and share one
launch. In a hierarchical layout each split needs the neighbourhood of the output before it and has its own launch. The
first launch also writes the split that passes through.

Widths such as 26 are not multiples of the sizes of matrix units: blocks are padded in registers by masks, which is
exact.

This module needs triton and is only imported on request.
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

PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)
INT32_ELEMENTS = 2**31
"""Tensors with at least this many elements need 64-bit addresses."""


class Blocks(NamedTuple):
    """The tile sizes of a launch: one program computes `pixels` x `outputs` values from `inputs` channels at a time."""

    pixels: int
    outputs: int
    inputs: int
    warps: int
    stages: int
    """Number of software-pipelined steps."""


def choose_blocks(pixels: int, width: int, element_size: int, *, tf32: bool = False) -> Blocks:
    """Choose blocks that allow at least 8 warps on each multiprocessor of Ampere and Hopper without spilling registers.

    All channels of a split form one block up to 128 channels, so that the input is read once for each tap. Exact fp32
    does not use matrix units and gets small blocks.

    Args:
        pixels: number of pixels of the output, N * H * W.
        width: number of channels of a split, divided by the groups.
        element_size: bytes of a value.
        tf32: whether fp32 is rounded to tf32.
    """
    padded = max(16, triton.next_power_of_2(width))
    if element_size == 4 and not tf32:
        return Blocks(64, min(padded, 64), 16, 4, 2)
    # Large blocks are used from two programs for each of Hopper's 132 multiprocessors.
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
    """Compute offsets and mask of a block `(pixels, channels)` of an image in channels-last memory."""
    inside = inside & (line >= 0) & (line < height) & (column >= 0) & (column < width)
    offsets = (((image * height + line) * width + column) * CHANNELS)[:, None] + channel[None, :]
    return offsets, inside[:, None] & known[None, :]


SIZES = ("images", "height", "width", "out_height", "out_width")
POSITIONS = ("first", "offset", "before_at", "passed")


@triton.jit(do_not_specialize=[*SIZES, *POSITIONS])  # one compiled kernel for all image sizes
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
    """Compute `BRANCHES` splits from branch `first` on and, with `PASSES`, the split that passes through.

    Each program computes one block. Branch b convolves the split at index `offset` + b, to which it adds the split at
    index `before_at` of `before` if `HAS_BEFORE`. The split that passes through is averaged over `WINDOW` x `WINDOW`
    pixels.
    """
    CHANNELS: tl.constexpr = SCALE * SPLIT
    GROUP: tl.constexpr = SPLIT // GROUPS
    OUTPUT_BLOCKS: tl.constexpr = (GROUP + OUTPUTS - 1) // OUTPUTS
    INPUT_BLOCKS: tl.constexpr = (GROUP + INPUTS - 1) // INPUTS
    TAPS: tl.constexpr = KERNEL * KERNEL
    SLOTS: tl.constexpr = BRANCHES + PASSES

    # Splits and groups of the same pixels run side by side, so that they share the cache.
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
                # Round the sum as if it were stored.
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
            total = tl.where(total < 0, 0.0, total)  # keeps NaN

    offsets, mask = _addresses(
        image, out_line, out_column, real, position * SPLIT + output, known_output, out_height, out_width, CHANNELS
    )
    tl.store(out + offsets, total.to(out.dtype.element_ty), mask)


class Launch(NamedTuple):
    """One launch of the kernel."""

    first: int
    """First branch."""
    branches: int
    """Number of branches that run side by side."""
    passes: bool
    """Whether it also writes the split that passes through."""
    before: str
    """The tensor whose split is added: "x", "out", or "" for none."""
    before_at: int
    """Index of that split."""


def launches(layout: Layout) -> list[Launch]:
    """The launches that compute a layout, in order."""
    count = len(layout.convolved)
    passes = layout.passed is not None
    if not layout.hierarchical:
        return [Launch(0, count, passes, "", 0)]
    first = Launch(0, 1, passes, "", 0)
    if layout.added_first is not None:
        first = first._replace(before="x", before_at=layout.added_first)
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
    int32_elements: int = INT32_ELEMENTS,
) -> Tensor:
    """Compute `folded_chain` on a GPU in fp32, bf16 or fp16 with fp32 sums, into channels-last memory.

    It is fastest with `x` in channels-last memory and `weights` in the order of `tap_major`; others are copied first.
    It is not differentiable. With `tf32`, products of fp32 are rounded to tf32, to run on matrix units. `blocks` are
    the tile sizes of the launches, by default those of `choose_blocks`; tensors with at least `int32_elements` elements
    are addressed with 64 bits.

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
    tiling = blocks or choose_blocks(pixels, group, x.element_size(), tf32=tf32)
    tiles = triton.cdiv(pixels, tiling.pixels) * triton.cdiv(group, tiling.outputs) * groups
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
        "LARGE": max(x.numel(), out.numel()) >= int32_elements,
        "PRECISION": "tf32" if tf32 else "ieee",
        "WIDEN": triton.knobs.runtime.interpret,  # the interpreter multiplies bf16 as integers
        "PIXELS": tiling.pixels,
        "OUTPUTS": tiling.outputs,
        "INPUTS": tiling.inputs,
    }
    with torch.cuda.device_of(x):
        for launch in launches(layout):
            before = x if launch.before == "x" else out
            numbers = (shape[0], *x.shape[2:], *shape[2:], launch.first, layout.convolved[0], launch.before_at)
            _chain_kernel[(tiles * (launch.branches + launch.passes),)](
                *(x, before, weights, biases, out, *numbers, layout.passed or 0),
                BRANCHES=launch.branches,
                HAS_BEFORE=bool(launch.before),
                PASSES=launch.passes,
                **fixed,
                num_warps=tiling.warps,
                num_stages=tiling.stages,
                enable_fp_fusion=True,
            )
    return out
