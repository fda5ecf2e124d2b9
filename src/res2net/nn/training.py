"""How networks start and train: initial weights, normalisations that are kept, and evaluation for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from res2net.nn.bottleneck import Res2Bottleneck


def initialise(model: nn.Module, *, zero_init_last: bool = True) -> None:
    """Draw the initial weights of a network in place, as the published code does.

    Convolutions are Kaiming-normal over their outputs (He et al., ICCV 2015); normalisations start as the identity.
    With `zero_init_last` each residual branch starts at zero if its last normalisation has a scale (Goyal et al.,
    2017): timm and mmpretrain do so, the official Res2Net code does not. Nothing is drawn on the meta device, where
    tensors have no values and drawing would take most of the time of building a network.
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


def evaluate_norms(*models: nn.Module) -> None:
    """Set batch normalisations to evaluation mode, in which they keep their statistics."""
    for model in models:
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def freeze_norms(model: nn.Module) -> None:
    """Replace batch normalisations, in place, by torchvision's `FrozenBatchNorm2d`, which never learns."""
    from torchvision.ops import FrozenBatchNorm2d  # it takes seconds to import

    norms = {name: module for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    for name, norm in norms.items():
        frozen = FrozenBatchNorm2d(norm.num_features, norm.eps)
        frozen.load_state_dict(norm.state_dict())
        model.set_submodule(name, frozen)


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """Evaluation mode within the `with` block; afterwards every module has the mode that it had before."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
