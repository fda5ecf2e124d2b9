"""What stands around a convolution: its normalisation and activation, and those of the network's kind."""

from __future__ import annotations

import copy
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from res2net.measure.flow import Flow, Node, Value, is_norm
from res2net.nn.layers import ActivationName, activation

__all__ = ["Follow", "Style", "Taken", "followers", "resized_norm", "style_of"]

# Activations that change nothing when they are applied twice; the means of their outputs also stay as they are.
REPEATABLE = (nn.ReLU, nn.Hardtanh, nn.Identity)  # a ReLU6 is a Hardtanh
FUNCTIONS: tuple[ActivationName, ...] = ("relu", "relu6", "silu", "mish", "hardswish")
SHAPED: dict[str, Callable[..., nn.Module]] = {
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": lambda approximate="none": nn.GELU(approximate),
    "hardtanh": nn.Hardtanh,
}
"""Activations whose functions have more arguments than the tensor: a slope, limits, an approximation."""
FAR = 12
"""Calls behind or before a convolution among which its kind of normalisation and activation is looked for."""


@dataclass(frozen=True)
class Style:
    """The normalisation and the activation of the splits."""

    norm: Callable[[int], nn.Module]
    act: Callable[[], nn.Module]


@dataclass(frozen=True)
class Follow:
    """What is applied to the output of a convolution and to nothing else."""

    norm: Node | None = None
    act: Node | None = None
    """None also where the normalisation has an activation of its own."""

    def taken(self, flow: Flow) -> Taken | None:
        """What the splits take over, if they can: both go, or the activation does no harm where it stays."""
        if self.norm is None or flow.calls[self.norm.name] > 1:
            return None
        if own_activation(self.norm.module) is not None:
            return Taken(self.norm, None)
        if self.act is None:
            return None
        if self.act.module is not None and flow.calls[self.act.name] == 1:
            return Taken(self.norm, None if is_norm(self.act.module) else self.act.name)
        return Taken(self.norm, None) if isinstance(made_activation(self.act), REPEATABLE) else None


@dataclass(frozen=True)
class Taken:
    """A normalisation and an activation that the splits apply themselves."""

    norm: Node
    act: str | None
    """The layer that goes; None where it is part of the normalisation, or stays."""


class ChannelNorm(nn.LayerNorm):
    """A layer normalisation over the channels of each position.

    Shape: `(N, C, *size)` to the same.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each position."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def followers(node: Node) -> Follow:
    """The normalisation and the activation directly behind a call, as far as nothing else reads what they read."""
    norm = only_user(node.output)
    if norm is None or not is_norm(norm.module):
        return Follow(None, norm if norm is not None and made_activation(norm) is not None else None)
    act = only_user(norm.output)
    return Follow(norm, act if act is not None and made_activation(act) is not None else None)


def only_user(value: Value) -> Node | None:
    """The call that reads a tensor, if there is one only; an identity is passed by."""
    while len(value.users) == 1 and not value.is_output:
        user = value.users[0]
        if not isinstance(user.module, nn.Identity):
            return user
        value = user.output
    return None


def own_activation(norm: nn.Module | None) -> nn.Module | None:
    """The activation that is part of a normalisation, as in timm's `BatchNormAct2d`."""
    act = getattr(norm, "act", None)
    return act if isinstance(act, nn.Module) and not isinstance(act, nn.Identity) else None


def made_activation(node: Node) -> nn.Module | None:
    """The activation that a call applies; None if it is something else."""
    module = node.module
    if module is None:
        name = node.name.removesuffix("_")
        if name in SHAPED:
            # What is neither a number nor a word is the switch to work in place.
            given = [value for value in node.arguments if type(value) in (int, float, str)]
            named = {key: value for key, value in node.named.items() if type(value) in (int, float, str)}
            return SHAPED[name](*given, **named)
        return activation(name) if name in FUNCTIONS else None
    if is_norm(module):
        return own_activation(module)
    own = type(module).__module__
    known = own == "torch.nn.modules.activation" or own == "timm.layers.activations"
    gates = (nn.Sigmoid, nn.Hardsigmoid, nn.Softmax, nn.MultiheadAttention)
    if not known or isinstance(module, gates) or type(module).__name__ in ("Sigmoid", "HardSigmoid"):
        return None
    return module


def style_of(node: Node | None, model: nn.Module, dims: int) -> Style:
    """The normalisation and activation nearest behind a convolution, else before it, else the commonest."""
    norm = act = None
    if node is not None:
        norm = around(node, lambda one: one.module if is_norm(one.module) else None)
        act = around(node, made_activation, past_layers=True)
    norm = norm or commonest([module for module in model.modules() if is_norm(module)])
    act = act or commonest([module for module in model.modules() if isinstance(module, nn.ReLU | nn.SiLU | nn.GELU)])
    return Style(norm_like(norm, dims), activation_like(act or nn.ReLU()))


def around(node: Node, find: Callable[[Node], nn.Module | None], *, past_layers: bool = False) -> nn.Module | None:
    """The first thing found behind a call, or else before it, without looking past layers with weights."""
    for behind in (True, False):
        waiting = deque([node])
        seen = {id(node)}
        while waiting and len(seen) < FAR:
            here = waiting.popleft()
            found = find(here) if here is not node else None
            if found is not None:
                return found
            if here is not node and not past_layers and isinstance(here.module, _ConvNd | nn.Linear):
                continue
            values = here.outputs if behind else here.inputs
            following = (
                [user for value in values for user in value.users]
                if behind
                else [value.producer for value in values if value.producer is not None]
            )
            for other in following:
                if id(other) not in seen:
                    seen.add(id(other))
                    waiting.append(other)
    return None


def commonest(modules: list[nn.Module]) -> nn.Module | None:
    """One of the type that occurs most often."""
    if not modules:
        return None
    kind = Counter(type(module) for module in modules).most_common(1)[0][0]
    return next(module for module in modules if type(module) is kind)


def norm_like(norm: Any, dims: int) -> Callable[[int], nn.Module]:
    """A function that makes normalisations of the kind of `norm`, without its activation."""
    if norm is None:
        return lambda _channels: nn.Identity()
    if isinstance(norm, nn.LayerNorm):
        eps = norm.eps
        return lambda channels: ChannelNorm(channels, eps=eps)
    if isinstance(norm, nn.GroupNorm):
        share = norm.num_channels // norm.num_groups if norm.num_groups > 1 else 0
        return lambda channels: nn.GroupNorm(groups_of(channels, share), channels, norm.eps)
    if isinstance(norm, nn.InstanceNorm1d | nn.InstanceNorm2d | nn.InstanceNorm3d):
        kinds = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
        settings: Any = (norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        return lambda channels: kinds[dims](channels, *settings)
    if isinstance(norm, nn.SyncBatchNorm):
        group = norm.process_group
        return lambda channels: nn.SyncBatchNorm(
            channels, norm.eps, norm.momentum, norm.affine, norm.track_running_stats, group
        )
    batch = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
    return lambda channels: batch[dims](
        channels,
        norm.eps,
        norm.momentum,
        norm.affine,
        norm.track_running_stats,
    )


def groups_of(channels: int, share: int) -> int:
    """Groups of about `share` channels that divide `channels`; one group for 0."""
    if not share:
        return 1
    divisors = [groups for groups in range(1, channels + 1) if channels % groups == 0]
    return min(divisors, key=lambda groups: abs(channels / groups - share))


def activation_like(act: nn.Module) -> Callable[[], nn.Module]:
    """A function that makes activations of the kind of `act`."""
    if isinstance(act, nn.PReLU):
        return nn.PReLU
    return lambda: copy.deepcopy(act)


def resized_norm(norm: nn.Module, channels: int) -> nn.Module:
    """A normalisation like `norm` for another number of channels, as new."""
    new = copy.deepcopy(norm)
    if isinstance(new, nn.GroupNorm):
        share = new.num_channels // new.num_groups if new.num_groups > 1 else 0
        new.num_channels, new.num_groups = channels, groups_of(channels, share)
    elif isinstance(new, nn.LayerNorm):
        new.normalized_shape = (channels,)
    else:
        new.num_features = channels  # type: ignore[assignment]
    for name, start in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
        old = getattr(new, name, None)
        if isinstance(old, Tensor):
            tensor = torch.full((channels,), start, device=old.device, dtype=old.dtype)
            is_parameter = isinstance(old, nn.Parameter)
            setattr(new, name, nn.Parameter(tensor, old.requires_grad) if is_parameter else tensor)
    return new
