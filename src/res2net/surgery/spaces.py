"""Channel spaces: the layers that must be resized together when their common channels change."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

from torch import nn
from torch.nn.modules.conv import _ConvNd

from res2net.measure.flow import DROPS, POINTWISE, Flow, Node, Value, is_activation, is_norm
from res2net.surgery.kinds import is_plain

# Functions that treat channels independently, and so work with any number of channels.
POOLS = tuple(f"{kind}_pool{dims}d" for kind in ("max", "avg", "adaptive_avg", "adaptive_max") for dims in (1, 2, 3))
CHANNELWISE = POINTWISE | {*POOLS, "interpolate", "fn"}
CHANNELWISE_LAYERS = (
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.modules.dropout._DropoutNd,
    nn.Upsample,
    nn.Identity,
)
OVER_CHANNELS = (nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.GLU, nn.MultiheadAttention, nn.Softmax2d)


@dataclass(eq=False)
class Space:
    """Tensors that share their channels, with the layers that produce, consume or normalise them."""

    fixed: bool = False
    """Whether something else depends on the number of channels, so that it cannot change."""
    producers: dict[str, Node] = field(default_factory=dict)
    """Dense 1x1 convolutions and linear layers that produce the tensors, by name."""
    consumers: dict[str, Node] = field(default_factory=dict)
    """Dense 1x1 convolutions and linear layers that read the tensors, by name."""
    norms: dict[str, Node] = field(default_factory=dict)
    """Normalisations of the tensors, by name."""
    kernels: set[str] = field(default_factory=set)
    """Names of convolutions with a kernel above 1 that produce or read the tensors."""


def spaces(flow: Flow) -> dict[Value, Space]:
    """Compute the channel space of each tensor of a recorded data flow."""
    parents: dict[Value, Value] = {}

    def root(value: Value) -> Value:
        while (parent := parents.setdefault(value, value)) is not value:
            parents[value] = value = parents[parent]
        return value

    for node in flow.nodes:
        if is_channelwise(node):
            for one, other in pairwise(value for value in node.values if math.prod(value.shape) > 1):
                parents[root(one)] = root(other)
    found: dict[Value, Space] = {}
    space_of: dict[Value, Space] = {}
    for node in flow.nodes:
        for value in node.values:
            space = space_of[value] = found.setdefault(root(value), Space())
            space.fixed |= value.is_output or (value.producer is None and math.prod(value.shape) > 1)
    for node in flow.nodes:
        enter(node, space_of, shared=flow.calls[node.name] > 1)
    return space_of


def enter(node: Node, space_of: dict[Value, Space], *, shared: bool) -> None:
    """Enter a call, of a layer that is called once or is `shared`, into the spaces of its tensors."""
    touched = {id(space_of[value]): space_of[value] for value in node.values}.values()
    module = node.module
    fixed = module is not None and shared and next(module.parameters(), None) is not None
    if isinstance(module, _ConvNd) and max(module.kernel_size) > 1:
        for space in touched:
            space.kernels.add(node.name)
    elif is_dense(node):
        space_of[node.inputs[0]].consumers[node.name] = node
        space_of[node.output].producers[node.name] = node
    elif isinstance(module, _ConvNd | nn.Linear) or not is_channelwise(node):
        fixed = True
    elif is_norm(module):
        space_of[node.output].norms[node.name] = node
    for space in touched:
        space.fixed |= fixed


def is_channelwise(node: Node) -> bool:
    """Whether each channel of the output depends only on the same channel of the inputs."""
    module, shapes = node.module, [value.shape for value in node.values]
    shapes = [shape for shape in shapes if math.prod(shape) > 1]
    if not node.inputs or any(len(shape) < 2 or shape[1] != shapes[0][1] for shape in shapes):
        return False
    if isinstance(module, _ConvNd):
        return is_plain(module) and module.groups == module.in_channels == module.out_channels > 1
    if module is None:
        if node.name == "mean":
            return spatial(node)
        return node.name in CHANNELWISE and len({len(shape) for shape in shapes}) == 1
    if is_norm(module):
        return not isinstance(module, nn.LayerNorm) or "2d" in type(module).__name__
    if isinstance(module, OVER_CHANNELS) or next(module.parameters(), None) is not None:
        return False
    return is_activation(module) or type(module).__name__ in DROPS or isinstance(module, CHANNELWISE_LAYERS)


def is_dense(node: Node) -> bool:
    """Whether a call is of a 1x1 convolution without groups, or of a linear layer on `(N, C)`."""
    if isinstance(node.module, nn.Linear):
        return len(node.inputs[0].shape) == 2 and type(node.module) is nn.Linear
    return isinstance(node.module, _ConvNd) and is_plain(node.module) and node.module.groups == 1


def spatial(node: Node) -> bool:
    """Whether a mean is over spatial axes only."""
    count = len(node.inputs[0].shape)
    for item in (*node.arguments, *node.named.values()):
        axes = (item,) if isinstance(item, int) and not isinstance(item, bool) else item
        if isinstance(axes, tuple | list):
            return len(axes) > 0 and all(axis % count > 1 for axis in axes)
    return False
