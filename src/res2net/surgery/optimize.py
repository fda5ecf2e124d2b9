"""`optimize`: the same function for inference, rewritten so that it takes less time."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar, cast

from torch import Tensor, nn

from res2net.errors import check_choice
from res2net.kernels import Layout
from res2net.kernels.folded_op import BACKENDS
from res2net.measure.flow import Flow, Node, is_norm
from res2net.nn.bottleneck import Res2Bottleneck
from res2net.nn.res2conv import Res2Conv
from res2net.surgery.convert import Inputs, example_inputs, observed, put
from res2net.surgery.find import followers
from res2net.surgery.fold import fold_norms
from res2net.surgery.folded import FoldedChain, folds
from res2net.surgery.fused import ATTRIBUTES, Chain, ConvAct, FusedBottleneck, PackedConv, StageChain, grouped, packs
from res2net.surgery.kernels import channels_last, device_of, usable_kernels

__all__ = ["TARGETS", "optimize"]

Model = TypeVar("Model", bound=nn.Module)
TARGETS = ("eager", "export")
ELEMENTWISE = (*ATTRIBUTES, nn.Mish, nn.ELU)
"""Activations without weights, so that one serves for all splits."""


def optimize(
    model: Model,
    target: str = "eager",
    *,
    kernels: str | None = None,
    example_input: Tensor | Inputs | None = None,
) -> Model:
    """Rewrite a network for inference: the same function, to rounding.

    Batch normalisations are folded into the convolutions before them. A bottleneck becomes three steps: a convolution
    with its activation, the Res2 chain, and a convolution that adds the shortcut.

    Args:
        model: any network, where it will run; it is not changed.
        target: "eager", to be run by torch as it is: with images in channels-last memory. "export", to be compiled
            or exported: weights stay in the memory that they have.
        kernels: what computes convolutions and chains. "onednn", on a CPU and eager only: convolutions have their
            weights in oneDNN's own layout and apply their activation and the addition themselves. "torch": plain
            layers. "triton", on a GPU: plain layers, but each Res2 chain of two dimensions with ReLU, or no
            activation, is one operator (`res2net.kernels.folded_chain_op`); gradients do not pass it. "reference":
            the same operator computed by torch, anywhere, to compare with. By default "onednn" for an eager network
            on a CPU, else "torch".
        example_input: as in `res2net.convert`.

    Returns:
        The new network in evaluation, without gradients.

    Raises:
        InputError: an unknown target, kernels that do not run where the network is, or the network does not run with
            the example input.
    """
    check_choice("Target", target, TARGETS)
    kernels = usable_kernels(kernels, target, device_of(model))
    _, flow = observed(model, example_inputs(model, example_input))
    new = copy.deepcopy(model).eval().requires_grad_(False)
    fold_norms(new, flow)
    alone = fused_block(new, kernels)
    if alone is not None:
        new = cast("Model", alone)
    for name, module in list(new.named_modules()):
        fused = fused_block(module, kernels) if name else None
        if fused is not None:
            put(new, name, fused)
    if kernels == "onednn":
        for node in flow.nodes:
            pack(new, node, flow)
    elif target == "eager":
        channels_last(new)
    return new.eval()


def fused_block(module: nn.Module, kernels: str) -> nn.Module | None:
    """The module of fewer steps that takes the place of one of ours; None where it stays as it is."""
    if type(module) is Res2Conv and is_folded(module):
        return fused_chain(module, kernels)
    # Squeeze-and-excitation stands between the last convolution and the addition.
    if type(module) is Res2Bottleneck and is_folded(module) and isinstance(module.se, nn.Identity):
        if is_norm(module.bn1) or is_norm(module.bn3):
            return None
        return FusedBottleneck(
            joined(module.conv1, module.act1, kernels),
            fused_chain(module, kernels, alone=True),
            joined(module.conv3, module.act3, kernels),
            module.downsample,
        )
    return None


def is_folded(module: Res2Conv) -> bool:
    """Whether each convolution of the splits is directly followed by its activation."""
    return module.order == "conv-norm-act" and not any(is_norm(norm) for _, norm, _ in module.branches())


def fused_chain(module: Res2Conv, kernels: str, *, alone: bool = False) -> nn.Module:
    """The chain of a Res2 convolution; `alone` where nothing else reads its input."""
    layout = module.layout
    steps = [(conv, act) for conv, _, act in module.branches()]
    if kernels in BACKENDS and folds(steps, layout, module.pool):
        return FoldedChain(steps, layout, module.pool, kernels)
    if merges(steps, layout):
        merged = grouped([conv for conv, _ in steps])
        return StageChain(joined(merged, steps[0][1], kernels), layout, module.pool)
    convs = [joined(conv, act, kernels) for conv, act in steps]
    return Chain(convs, layout, module.pool, in_place=alone and kernels == "onednn")


def merges(steps: Sequence[tuple[nn.Module, nn.Module]], layout: Layout) -> bool:
    """Whether one grouped convolution is faster than these: on a CPU it is, where no split waits for another."""
    if layout.hierarchical or len(steps) == 1 or type(steps[0][1]) not in ELEMENTWISE:
        return False
    on_cpu = all(tensor.device.type == "cpu" for conv, _ in steps for tensor in conv.parameters())
    return on_cpu and len({(repr(conv), repr(act)) for conv, act in steps}) == 1  # all options are told by these


def joined(conv: nn.Module, act: nn.Module, kernels: str) -> nn.Module:
    """A convolution and its activation as one step."""
    return PackedConv(conv, act) if kernels == "onednn" and packs(conv, act) else ConvAct(conv, act)


def pack(model: nn.Module, node: Node, flow: Flow) -> None:
    """Pack, in place, the convolution of a call if it still is in the network, with the activation behind it."""
    if node.module is None or flow.calls[node.name] > 1:
        return
    try:
        conv = model.get_submodule(node.name)
    except AttributeError:
        return
    if type(conv) not in (nn.Conv2d, nn.Conv3d) or not packs(conv):
        return
    name = activation_behind(model, node, flow)
    act = nn.Identity() if name is None else model.get_submodule(name)
    if name is None or not packs(conv, act):
        put(model, node.name, PackedConv(conv, nn.Identity()))
        return
    put(model, node.name, PackedConv(conv, act))
    put(model, name, nn.Identity())


def activation_behind(model: nn.Module, node: Node, flow: Flow) -> str | None:
    """Name of the layer, called only here, that is applied to the output of a convolution and to nothing else."""
    follow = followers(node)
    behind = follow.act
    if follow.norm is not None:
        here = model.get_submodule(follow.norm.name)
        if is_norm(here):
            return None
        if not isinstance(here, nn.Identity):
            behind = follow.norm  # an activation that was part of the normalisation
    if behind is None or behind.module is None or flow.calls[behind.name] > 1:
        return None
    return behind.name
