"""What each split of a Res2 block does."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from res2net.errors import InputError, check_choice
from res2net.nn import Res2Bottleneck, Res2Conv, evaluation


def res2_blocks(model: nn.Module) -> dict[str, Res2Conv]:
    """The Res2 convolutions and bottlenecks of a network by name, in the order of the network."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Res2Conv)}


def split_activations(model: nn.Module, images: Tensor, block: str) -> list[Tensor]:
    """Compute the output of every split of a Res2 convolution or bottleneck, averaged over its channels.

    Args:
        model: the network; it runs in evaluation mode and is not changed.
        images: the input of the network, `(N, C, *size)`.
        block: name of the block, such as "layer3.1".

    Returns:
        A map `(N, *size of the block)` per split, in the order of the channels and of `res2net.measure.split_fields`:
        with `split_order="official"`, the split that passes through is the last.

    Raises:
        InputError: the network has no Res2 block of that name; the message names the nearest.
    """
    blocks = res2_blocks(model)
    if not blocks:
        raise InputError(f"A {type(model).__name__} without Res2 blocks has no splits: choose a Res2Net.")
    check_choice("block", block, blocks)
    module = blocks[block]
    seen: list[Tensor] = []

    def read(splits: Tensor) -> None:
        # Averaged immediately, since later layers may work in place.
        seen.extend(split.mean(1) for split in splits.split(module.width, 1))

    if isinstance(module, Res2Bottleneck):
        hook = module.conv3.register_forward_pre_hook(lambda _, inputs: read(inputs[0]))
    else:
        hook = module.register_forward_hook(lambda _, _inputs, output: read(output))
    try:
        with evaluation(model), torch.no_grad():
            model(images)
    finally:
        hook.remove()
    return seen
