"""`optimize`: an exact rewrite of a network that makes inference faster."""

from __future__ import annotations

import copy
import itertools
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from res2net.errors import InputError, check_choice
from res2net.kernels.folded_op import BACKENDS, triton_problem
from res2net.measure.flow import Flow, Node, is_norm
from res2net.nn.bottleneck import Res2Bottleneck
from res2net.nn.res2conv import Res2Conv
from res2net.surgery.convert import Inputs, example_inputs, record_copy, replace_layer
from res2net.surgery.find import followers, own_activation
from res2net.surgery.fused import (
    Chain,
    ConvAct,
    FoldedChain,
    FusedBottleneck,
    PackedConv,
    StageChain,
    folds,
    grouped,
    merges,
    packs,
)
from res2net.surgery.kinds import CHANNELS_LAST, is_plain

Kernels = Literal["onednn", "torch", "triton", "reference"]
Target = Literal["eager", "export"]
Model = TypeVar("Model", bound=nn.Module)


def optimize(
    model: Model,
    target: Target = "eager",
    *,
    kernels: Kernels | None = None,
    example_input: Tensor | Inputs | None = None,
) -> Model:
    """Rewrite a network for inference: the same function, up to rounding.

    Batch normalisations are folded into the convolutions before them. A bottleneck becomes three steps: a convolution
    with its activation, the Res2 chain, and a convolution that adds the shortcut.

    Args:
        model: any network, on the device where it will run; it is not changed.
        target: "eager" for a network that torch runs as it is, with images in channels-last memory; "export" for one
            that is compiled or exported, whose weights keep their memory format.
        kernels: the implementation of convolutions and chains. "onednn", on a CPU and eager only: weights are in
            oneDNN's own layout, and activation and addition are fused. "torch": plain layers. "triton", on a GPU:
            plain layers, except that each 2-D Res2 chain with ReLU or without activation is one operator
            (`res2net.kernels.folded_chain_op`), which is not differentiable. "reference": the same operator computed
            by torch, on any device, for comparison. By default "onednn" for an eager network on a CPU, else "torch".
        example_input: a tensor, or a tuple of arguments, that the network is run with, as in `res2net.convert`.

    Returns:
        The new network in evaluation mode, without gradients.

    Raises:
        InputError: the target is unknown, the kernels do not run on the network's device, or the network does not run
            with the example input.
    """
    check_choice("target", target, Target)
    kernels = usable_kernels(kernels, target, device_of(model))
    _, flow = record_copy(model, example_inputs(model, example_input))
    new = copy.deepcopy(model).eval().requires_grad_(False)
    fold_norms(new, flow)
    new = cast("Model", fused_block(new, kernels) or new)
    for name, module in list(new.named_modules()):
        fused = fused_block(module, kernels) if name else None
        if fused is not None:
            replace_layer(new, name, fused)
    if kernels == "onednn":
        for node in flow.nodes:
            pack(new, node, flow)
    elif target == "eager":
        channels_last(new)
    return new.eval()


def fused_block(module: nn.Module, kernels: Kernels) -> nn.Module | None:
    """The fused module that replaces a Res2 convolution or bottleneck; None for other modules."""
    if type(module) is Res2Conv and is_folded(module):
        return fused_chain(module, kernels)
    # Squeeze-and-excitation comes between the last convolution and the addition, which then cannot be fused.
    if type(module) is Res2Bottleneck and is_folded(module) and isinstance(module.se, nn.Identity):
        if is_norm(module.bn1) or is_norm(module.bn3):
            return None
        return FusedBottleneck(
            fused_conv(module.conv1, module.act1, kernels),
            fused_chain(module, kernels, owns_input=True),
            fused_conv(module.conv3, module.act3, kernels),
            module.downsample,
        )
    return None


def is_folded(module: Res2Conv) -> bool:
    """Whether all normalisations of the splits are folded, so that activations directly follow convolutions."""
    return module.order == "conv-norm-act" and not any(is_norm(norm) for _, norm, _ in module.branches())


def fused_chain(module: Res2Conv, kernels: Kernels, *, owns_input: bool = False) -> nn.Module:
    """The fused chain of a Res2 convolution; `owns_input` if nothing else reads its input, which can be overwritten."""
    layout = module.layout
    steps = [(conv, act) for conv, _, act in module.branches()]
    if kernels in BACKENDS and folds(steps, layout, module.pool):
        return FoldedChain(steps, layout, module.pool, kernels)
    if merges(steps, layout):
        merged = grouped([conv for conv, _ in steps])
        return StageChain(fused_conv(merged, steps[0][1], kernels), layout, module.pool)
    convs = [fused_conv(conv, act, kernels) for conv, act in steps]
    return Chain(convs, layout, module.pool, in_place=owns_input and kernels == "onednn")


def fused_conv(conv: nn.Module, act: nn.Module, kernels: Kernels) -> nn.Module:
    """Fuse a convolution with its activation."""
    return PackedConv(conv, act) if kernels == "onednn" and packs(conv, act) else ConvAct(conv, act)


def pack(model: nn.Module, node: Node, flow: Flow) -> None:
    """Pack the convolution of a call with the activation after it, in place, unless it was already fused."""
    if node.module is None or flow.calls[node.name] > 1:
        return
    try:
        conv = model.get_submodule(node.name)
    except AttributeError:
        return
    if type(conv) not in (nn.Conv2d, nn.Conv3d) or not packs(conv):
        return
    act: nn.Module = nn.Identity()
    name = activation_after(model, node, flow)
    if name is not None and packs(conv, model.get_submodule(name)):
        act = model.get_submodule(name)
        replace_layer(model, name, nn.Identity())
    replace_layer(model, node.name, PackedConv(conv, act))


def activation_after(model: nn.Module, node: Node, flow: Flow) -> str | None:
    """Name of the layer that applies an activation to the output of a convolution, and only there; None without one."""
    follow = followers(node)
    after = follow.act
    if follow.norm is not None:
        here = model.get_submodule(follow.norm.name)
        if is_norm(here):
            return None
        if not isinstance(here, nn.Identity):
            after = follow.norm  # an activation that belonged to the normalisation
    if after is None or after.module is None or flow.calls[after.name] > 1:
        return None
    return after.name


def fold_norms(model: nn.Module, flow: Flow) -> None:
    """Fold batch normalisations into the convolutions and linear layers that only they read, in place."""
    for node in flow.nodes:
        norm_node = followers(node).norm if folds_into(node) else None
        if norm_node is None or flow.calls[node.name] > 1 or flow.calls[norm_node.name] > 1:
            continue
        norm = model.get_submodule(norm_node.name)
        if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) or norm.running_mean is None:
            continue
        layer: Any = model.get_submodule(node.name)
        fused = fuse_linear_bn_eval(layer, norm) if isinstance(layer, nn.Linear) else fuse_conv_bn_eval(layer, norm)
        replace_layer(model, node.name, fused)
        replace_layer(model, norm_node.name, own_activation(norm) or nn.Identity())


def folds_into(node: Node) -> bool:
    """Whether the layer of a call can absorb a scale and a shift of its outputs."""
    module = node.module
    if isinstance(module, nn.Linear):
        return type(module) is nn.Linear and len(node.output.shape) == 2
    return isinstance(module, _ConvNd) and is_plain(module)


def device_of(model: nn.Module) -> torch.device:
    """The device of the first tensor of a model."""
    tensors = itertools.chain(model.parameters(), model.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def usable_kernels(kernels: Kernels | None, target: Target, device: torch.device) -> Kernels:
    """The given kernels, or the default ones; raises `InputError` if they do not run on the device."""
    packs_here = device.type == "cpu" and torch.backends.mkldnn.is_available()
    if kernels is None:
        return "onednn" if packs_here and target == "eager" else "torch"
    check_choice("kernels", kernels, Kernels)
    if kernels == "onednn" and target == "export":
        raise InputError("kernels='onednn' cannot be exported: use kernels='torch', or target='eager'.")
    if kernels == "onednn" and not packs_here:
        raise InputError(f"kernels='onednn' needs oneDNN and a CPU, and the network is on {device}: use 'torch'.")
    problem = triton_problem(device) if kernels == "triton" else None
    if problem is not None:
        raise InputError(f"kernels='triton' needs triton and a GPU, and {problem}: use 'torch'.")
    return kernels


def channels_last(model: nn.Module) -> None:
    """Convert the weights of convolutions to channels-last memory, in place, and with them their outputs."""
    for module in model.modules():
        if isinstance(module, _ConvNd) and module.weight.ndim in CHANNELS_LAST:
            weight = module.weight.data
            # The strides of a 1x1 kernel fit both formats, so `to` would not change them.
            module.weight.data = torch.empty_like(weight, memory_format=CHANNELS_LAST[weight.ndim]).copy_(weight)
