"""The effective receptive field: which positions of the input change an output, and how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from res2net.errors import InputError
from res2net.measure.receptive import HasFeatures, ReceptiveField, receptive_field, stage_fields
from res2net.nn import evaluation

__all__ = ["EffectiveField", "effective_field", "settle"]

CHUNK = 4
"""Images at a time."""


@dataclass(frozen=True)
class EffectiveField:
    """How much each position of the input changes one position of an output."""

    gradient: Tensor
    """`(*size)`: the mean absolute gradient, summed over the channels, as a share of its sum over all positions."""
    centre: tuple[float, ...]
    """Where the theoretical receptive field of that output has its middle, in positions of the input."""

    def within(self) -> Tensor:
        """`(n,)`: the share of the gradient inside a square of side 1, 2, ... n around the centre.

        In other dimensions than two it is an interval or a cube. It rises to 1, where all of the input is inside.
        """
        distance = torch.zeros_like(self.gradient)
        for axis, (size, middle) in enumerate(zip(self.gradient.shape, self.centre, strict=True)):
            along = (torch.arange(size, dtype=self.gradient.dtype) - middle).abs()
            shape = [1] * self.gradient.ndim
            shape[axis] = size
            distance = torch.maximum(distance, along.view(shape))
        sides = (2 * distance + 1).ceil().long().flatten()
        return torch.bincount(sides - 1, weights=self.gradient.flatten()).cumsum(0)

    def side(self, share: float = 0.5) -> int:
        """The side of the smallest square around the centre that holds at least this share of the gradient.

        Raises:
            InputError: the share is not above 0 and at most 1.
        """
        if not 0 < share <= 1:
            raise InputError(f"Share {share!r} does not fit: give a number above 0, at most 1.")
        # To rounding: the sum of all shares can be a little less than 1.
        return 1 + int((self.within() < share - 1e-9).sum())


def effective_field(model: nn.Module, images: Tensor, stage: int = -1) -> EffectiveField:
    """The effective receptive field (Luo et al., NeurIPS 2016, section 2) of the central position of an output.

    The output's central position gets the gradient 1 in every channel, all others 0, and the gradient reaches back to
    the input. Its absolute value is averaged over the inputs. In evaluation mode; the model's modes, weights and
    gradients stay as they are. A global average, as in squeeze-and-excitation, lets every position of the input in.

    Args:
        model: a backbone, or another network whose output has positions and whose layers `receptive_field` knows.
        images: `(N, C, *size)`, random or real, as the network takes them.
        stage: of a backbone, which of its stages; by default the last.

    Raises:
        InputError: there are no images, no such stage, the output has no positions, or nothing reaches the input.
    """
    if images.ndim < 3 or not len(images):
        raise InputError(f"Images of shape {tuple(images.shape)} do not fit: give at least one, (N, C, *size).")
    with evaluation(model), torch.inference_mode(False), torch.enable_grad():
        chunks = [_gradient(model, chunk.detach().clone().requires_grad_(), stage) for chunk in images.split(CHUNK)]
    gradient = sum((chunk for chunk, _ in chunks), torch.zeros(images.shape[2:], dtype=torch.float64))
    middle = chunks[0][1]
    if not gradient.sum() > 0:
        raise InputError("No gradient reaches the input: the network's output does not depend on it, or is not finite.")
    fields = [_field(model, stage, axis) for axis in range(2 - images.ndim, 0)]
    centre = tuple(sum(seen.at(place)) / 2 for seen, place in zip(fields, middle, strict=True))
    return EffectiveField(gradient / gradient.sum(), centre)


def settle(model: nn.Module, images: Tensor) -> None:
    """Make a network with fresh weights, in place, one whose effective field says something.

    Normalisations that start at zero, and so close the branch that they are in, start at one; and batch normalisations
    take their statistics from `images`, `(N, C, *size)`, as in the first step of a training.
    """
    norms = [module for module in model.modules() if isinstance(module, _NormBase)]
    modes = {module: module.training for module in model.modules()}
    for norm in norms:
        if norm.weight is not None and not norm.weight.any():
            nn.init.ones_(norm.weight)
    momenta = {norm: norm.momentum for norm in norms}
    for norm in norms:
        norm.momentum = 1.0
    model.train()
    try:
        with torch.no_grad():
            model(images)
    finally:
        for norm, momentum in momenta.items():
            norm.momentum = momentum
        for module, training in modes.items():
            module.training = training


def _gradient(model: nn.Module, images: Tensor, stage: int) -> tuple[Tensor, tuple[int, ...]]:
    """`(*size)` in double precision, summed over images and channels; and where the output's centre is."""
    if isinstance(model, HasFeatures):
        pyramid = model.features(images)
        if not -len(pyramid) <= stage < len(pyramid):
            raise InputError(f"There is no stage {stage}: this network has {len(pyramid)}, the stem included.")
        output = pyramid[stage]
    else:
        output = model(images)
    if output.ndim != images.ndim:
        raise InputError(f"An output of shape {tuple(output.shape)} has no positions: leave out the classifier.")
    middle = tuple(size // 2 for size in output.shape[2:])
    central: Any = (..., *middle)
    (gradient,) = torch.autograd.grad(output[central].sum(), images, allow_unused=True)
    gradient = torch.zeros_like(images) if gradient is None else gradient
    return gradient.abs().double().sum((0, 1)).cpu(), middle


def _field(model: nn.Module, stage: int, axis: int) -> ReceptiveField:
    return stage_fields(model, axis)[stage] if isinstance(model, HasFeatures) else receptive_field(model, axis=axis)
