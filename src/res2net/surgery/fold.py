"""Folding of batch normalisations into the preceding convolutions: the same function in evaluation, up to rounding."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from res2net.measure.flow import Flow, Node
from res2net.surgery.convert import put
from res2net.surgery.find import followers, own_activation
from res2net.surgery.kinds import is_plain

__all__ = ["fold_norms"]


def fold_norms(model: nn.Module, flow: Flow) -> None:
    """Fold batch normalisations into the convolutions and linear layers that only they read, in place.

    Args:
        model: a network in evaluation mode.
        flow: the recorded data flow of a network with the same layers.
    """
    for node in flow.nodes:
        norm_node = followers(node).norm if folds_into(node) else None
        if norm_node is None or flow.calls[node.name] > 1 or flow.calls[norm_node.name] > 1:
            continue
        norm = model.get_submodule(norm_node.name)
        if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) or norm.running_mean is None:
            continue
        layer: Any = model.get_submodule(node.name)
        fused = fuse_linear_bn_eval(layer, norm) if isinstance(layer, nn.Linear) else fuse_conv_bn_eval(layer, norm)
        put(model, node.name, fused)
        put(model, norm_node.name, own_activation(norm) or nn.Identity())


def folds_into(node: Node) -> bool:
    """Whether the layer of a call can absorb a scale and a shift of its outputs."""
    module = node.module
    if isinstance(module, nn.Linear):
        return type(module) is nn.Linear and len(node.output.shape) == 2
    return isinstance(module, _ConvNd) and is_plain(module)
