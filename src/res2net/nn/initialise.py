"""Initial weights."""

from __future__ import annotations

from torch import nn

from res2net.nn.bottleneck import Res2Bottleneck

__all__ = ["initialise"]


def initialise(model: nn.Module, *, zero_init_last: bool = True) -> None:
    """Draw the initial weights of a network in place, as the published code does.

    Convolutions are Kaiming-normal over their outputs (He et al., ICCV 2015); normalisations start as the identity.
    With `zero_init_last` each residual branch starts at zero if its last normalisation has a scale (Goyal et al.,
    2017): timm and mmpretrain do so, the official Res2Net code does not. On the meta device, where a tensor has no
    values and drawing takes most of the time that a network needs to be made, nothing is drawn.
    """
    if any(parameter.is_meta for parameter in model.parameters()):
        return
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    if zero_init_last:
        for module in model.modules():
            scale = getattr(module.bn3, "weight", None) if isinstance(module, Res2Bottleneck) else None
            if isinstance(scale, nn.Parameter):
                nn.init.zeros_(scale)
