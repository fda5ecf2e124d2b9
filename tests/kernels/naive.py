"""Eq. 1 of the paper written out in float64, by loops over splits and taps."""

import torch


def naive_chain(x, weights, biases, layout, *, stride=1, dilation=1, groups=1, act="relu", pool=None, counts=True):
    """`folded_chain`, from the equation alone; `pool` is whether the split that passes is averaged."""
    x, weights, biases = (tensor.double() for tensor in (x, weights, biases))
    size = weights.shape[-1]
    pool = not layout.hierarchical if pool is None else pool
    splits = [x[:, i * layout.width : (i + 1) * layout.width] for i in range(layout.scale)]
    passes = layout.passes and layout.scale > 1
    if passes and layout.split_order == "official":
        splits = [splits[-1], *splits[:-1]]  # the last passes: the paper's function of permuted splits
    outputs, before, branch = [], None, 0
    for i, split in enumerate(splits):
        if passes and i == 0:
            outputs.append(average(split, size, stride, counts) if pool else split)
            before = split if layout.hierarchical and layout.split_order == "arxiv-v1" else None
            continue
        total = split if before is None else split + before
        y = convolve(total, weights[branch], biases[branch], stride, dilation, groups)
        y = y.clamp(min=0) if act == "relu" else y
        outputs.append(y)
        before = y if layout.hierarchical else None
        branch += 1
    if passes and layout.split_order == "official":
        outputs = [*outputs[1:], outputs[0]]
    return torch.cat(outputs, 1)


def taps(x, size, stride, dilation):
    """For each tap, the value that each output pixel sees there."""
    height, width = x.shape[2:]
    reach = size // 2 * dilation
    padded = torch.zeros(*x.shape[:2], height + 2 * reach, width + 2 * reach, dtype=x.dtype)
    padded[:, :, reach : reach + height, reach : reach + width] = x
    for line in range(size):
        for column in range(size):
            top, left = line * dilation, column * dilation
            yield line, column, padded[:, :, top : top + height : stride, left : left + width : stride]


def convolve(x, weight, bias, stride, dilation, groups):
    outputs, inputs = weight.shape[:2]
    each = outputs // groups
    y = 0
    for line, column, seen in taps(x, weight.shape[-1], stride, dilation):
        parts = [
            torch.einsum(
                "nihw,oi->nohw",
                seen[:, group * inputs : (group + 1) * inputs],
                weight[group * each : (group + 1) * each, :, line, column],
            )
            for group in range(groups)
        ]
        y = y + torch.cat(parts, 1)
    return y + bias[None, :, None, None]


def average(x, size, stride, counts):
    total = sum(seen for *_, seen in taps(x, size, stride, 1))
    number = sum(seen for *_, seen in taps(torch.ones_like(x), size, stride, 1))
    return total / (size * size if counts else number)
