"""The normalisation and activation of a convolution, and new ones of the same type."""

from __future__ import annotations

import copy
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from res2net.measure.flow import Flow, Node, Value, is_activation, is_norm
from res2net.nn.layers import ActivationName, LayerStyle, activation

# Activations that can be applied twice without an effect, also after averaging their outputs.
REPEATABLE = (nn.ReLU, nn.Hardtanh, nn.Identity)  # a ReLU6 is a Hardtanh
FUNCTIONS: tuple[ActivationName, ...] = ("relu", "relu6", "silu", "mish", "hardswish")
SHAPED: dict[str, Callable[..., nn.Module]] = {
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": lambda approximate="none": nn.GELU(approximate),
    "hardtanh": nn.Hardtanh,
}
"""Activations whose functions have arguments besides the tensor: a slope, limits, an approximation."""
MAX_DISTANCE = 12
"""Number of calls after or before a convolution that are searched for a normalisation and an activation."""


@dataclass(frozen=True)
class Followers:
    """The calls that only the output of a convolution goes through."""

    norm: Node | None = None
    """The normalisation."""
    act: Node | None = None
    """The activation; None also if the normalisation includes one."""

    def absorbed(self, flow: Flow) -> Absorbed | None:
        """The layers that the splits take over; None unless both can be removed, or the activation can be repeated."""
        if self.norm is None or flow.calls[self.norm.name] > 1:
            return None
        if own_activation(self.norm.module) is not None:
            return Absorbed(self.norm, None)
        if self.act is None:
            return None
        if self.act.module is not None and flow.calls[self.act.name] == 1:
            return Absorbed(self.norm, None if is_norm(self.act.module) else self.act.name)
        return Absorbed(self.norm, None) if isinstance(activation_of(self.act), REPEATABLE) else None


@dataclass(frozen=True)
class Absorbed:
    """A normalisation and an activation that the splits apply instead."""

    norm: Node
    """The normalisation, which is removed."""
    act: str | None
    """Name of the activation that is removed; None if it belongs to the normalisation, or stays."""


class ChannelNorm(nn.LayerNorm):
    """A layer normalisation over the channels of each position of `(N, C, *size)`."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the channels of each position."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def followers(node: Node) -> Followers:
    """Find the normalisation and the activation directly after a call, if nothing else reads their inputs."""
    norm = only_user(node.output)
    if norm is None or not is_norm(norm.module):
        return Followers(None, norm if norm is not None and activation_of(norm) is not None else None)
    act = only_user(norm.output)
    return Followers(norm, act if act is not None and activation_of(act) is not None else None)


def only_user(value: Value) -> Node | None:
    """The only call that reads a tensor, identities aside; None if there are others."""
    while len(value.users) == 1 and not value.is_output:
        user = value.users[0]
        if not isinstance(user.module, nn.Identity):
            return user
        value = user.output
    return None


def own_activation(norm: nn.Module | None) -> nn.Module | None:
    """The activation that a normalisation includes, as timm's `BatchNormAct2d`; None without one."""
    act = getattr(norm, "act", None)
    return act if isinstance(act, nn.Module) and not isinstance(act, nn.Identity) else None


def activation_of(node: Node) -> nn.Module | None:
    """The activation that a call applies; None if it is something else."""
    module = node.module
    if module is None:
        name = node.name.removesuffix("_")
        if name in SHAPED:
            # Numbers and strings only: a bool is the `inplace` switch.
            given = [value for value in node.arguments if type(value) in (int, float, str)]
            named = {key: value for key, value in node.named.items() if type(value) in (int, float, str)}
            return SHAPED[name](*given, **named)
        return activation(name) if name in FUNCTIONS else None
    if is_norm(module):
        return own_activation(module)
    gate = isinstance(module, nn.Sigmoid | nn.Hardsigmoid | nn.Softmax | nn.MultiheadAttention)
    gate = gate or type(module).__name__ in ("Sigmoid", "HardSigmoid")
    return module if is_activation(module) and not gate else None


def style_of(node: Node | None, model: nn.Module, dims: int) -> LayerStyle:
    """The normalisation and activation nearest after a convolution, else before it, else the most common ones."""
    norm = act = None
    if node is not None:
        norm = nearest_module(node, lambda one: one.module if is_norm(one.module) else None)
        act = nearest_module(node, activation_of, past_layers=True)
    norm = norm or most_common([module for module in model.modules() if is_norm(module)])
    act = act or most_common([module for module in model.modules() if isinstance(module, nn.ReLU | nn.SiLU | nn.GELU)])
    return LayerStyle(dims, norm_like(norm, dims), activation_like(act or nn.ReLU()))


def nearest_module(
    node: Node, find: Callable[[Node], nn.Module | None], *, past_layers: bool = False
) -> nn.Module | None:
    """Search after a call, then before it, for a module, without passing layers with weights unless `past_layers`."""
    for behind in (True, False):
        waiting = deque([node])
        seen = {id(node)}
        while waiting and len(seen) < MAX_DISTANCE:
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


def most_common(modules: list[nn.Module]) -> nn.Module | None:
    """A module of the most common type."""
    if not modules:
        return None
    kind = Counter(type(module) for module in modules).most_common(1)[0][0]
    return next(module for module in modules if type(module) is kind)


def norm_like(norm: Any, dims: int) -> Callable[[int], nn.Module]:
    """A function that creates normalisations of the type of `norm`, without its activation."""
    if norm is None:
        return lambda _channels: nn.Identity()
    if isinstance(norm, nn.LayerNorm):
        eps = norm.eps
        return lambda channels: ChannelNorm(channels, eps=eps)
    if isinstance(norm, nn.GroupNorm):
        share = norm.num_channels // norm.num_groups if norm.num_groups > 1 else 0
        return lambda channels: nn.GroupNorm(groups_of(channels, share), channels, norm.eps)
    settings = (norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    if isinstance(norm, nn.SyncBatchNorm):
        group = norm.process_group
        return lambda channels: nn.SyncBatchNorm(channels, *settings, group)
    instance = isinstance(norm, nn.InstanceNorm1d | nn.InstanceNorm2d | nn.InstanceNorm3d)
    kind: Any = getattr(nn, f"{'Instance' if instance else 'Batch'}Norm{dims}d")
    return lambda channels: kind(channels, *settings)


def groups_of(channels: int, share: int) -> int:
    """The number of groups, a divisor of `channels`, with about `share` channels each; one group for 0."""
    if not share:
        return 1
    divisors = [groups for groups in range(1, channels + 1) if channels % groups == 0]
    return min(divisors, key=lambda groups: abs(channels / groups - share))


def activation_like(act: nn.Module) -> Callable[[], nn.Module]:
    """A function that creates activations of the type of `act`."""
    if isinstance(act, nn.PReLU):
        return nn.PReLU
    return lambda: copy.deepcopy(act)


def resized_norm(norm: nn.Module, channels: int) -> nn.Module:
    """Create a freshly initialised normalisation like `norm` for another number of channels."""
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
