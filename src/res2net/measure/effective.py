"""The effective receptive field: how much each position of the input changes an output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from res2net.errors import InputError
from res2net.measure.receptive import HasFeatures, receptive_field, stage_fields
from res2net.nn import evaluation

CHUNK = 4
"""Number of images in a batch."""


@dataclass(frozen=True)
class EffectiveField:
    """How much each position of the input changes one position of an output."""

    gradient: Tensor
    """The mean absolute gradient `(*size)`, summed over the channels, as a share of its sum over all positions."""
    centre: tuple[float, ...]
    """Centre of the theoretical receptive field of that output, in positions of the input."""

    def cumulative(self) -> Tensor:
        """The shares of the gradient `(n,)` inside squares of sides 1, 2, ... n around the centre, rising to 1.

        In one or three dimensions these are intervals or cubes.
        """
        along = [
            (torch.arange(size, dtype=self.gradient.dtype) - middle).abs()
            for size, middle in zip(self.gradient.shape, self.centre, strict=True)
        ]
        distance = torch.stack(torch.meshgrid(*along, indexing="ij")).amax(0)
        sides = (2 * distance + 1).ceil().long().flatten()
        return torch.bincount(sides - 1, weights=self.gradient.flatten()).cumsum(0)

    def side(self, share: float = 0.5) -> int:
        """Side of the smallest square around the centre that holds at least this share of the gradient.

        Raises:
            InputError: the share is not above 0 and at most 1.
        """
        if not 0 < share <= 1:
            raise InputError(f"Share {share!r} does not fit: give a number above 0, at most 1.")
        # With rounding the sum of all shares can be a little less than 1.
        return 1 + int((self.cumulative() < share - 1e-9).sum())


def effective_field(model: nn.Module, images: Tensor, stage: int = -1) -> EffectiveField:
    """Measure the effective receptive field (Luo et al., NeurIPS 2016, section 2) of the centre of an output.

    The gradient of the output is 1 in every channel of its central position and 0 elsewhere. The absolute value of the
    gradient with respect to the input is averaged over the inputs. The network runs in evaluation mode; its modes,
    weights and gradients are not changed. With a global average, as in squeeze-and-excitation, every position of the
    input contributes.

    Args:
        model: a backbone, or another network whose output has positions and whose layers `receptive_field` knows.
        images: random or real images `(N, C, *size)`, normalised for the network.
        stage: index of the stage of a backbone; by default the last.

    Raises:
        InputError: there are no images or no such stage, the output has no positions, or no gradient reaches the
            input.
    """
    if images.ndim < 3 or not len(images):
        raise InputError(f"Images of shape {tuple(images.shape)} do not fit: give at least one, (N, C, *size).")
    with evaluation(model), torch.inference_mode(False), torch.enable_grad():
        chunks = [_gradient(model, chunk.detach().clone().requires_grad_(), stage) for chunk in images.split(CHUNK)]
    gradient = sum((chunk for chunk, _ in chunks), torch.zeros(images.shape[2:], dtype=torch.float64))
    middle = chunks[0][1]
    if not gradient.sum() > 0:
        raise InputError("No gradient reaches the input: the network's output does not depend on it, or is not finite.")
    fields = [
        stage_fields(model, axis)[stage] if isinstance(model, HasFeatures) else receptive_field(model, axis=axis)
        for axis in range(2 - images.ndim, 0)
    ]
    centre = tuple(sum(seen.at(index)) / 2 for seen, index in zip(fields, middle, strict=True))
    return EffectiveField(gradient / gradient.sum(), centre)


def calibrate_norms(model: nn.Module, images: Tensor) -> None:
    """Set the normalisations of an untrained network, in place, so that its effective field is meaningful.

    Scales that start at zero, and so switch off a residual branch, are set to one, and batch normalisations take their
    statistics from `images`, `(N, C, *size)`, as in the first step of training.
    """
    momenta = {module: module.momentum for module in model.modules() if isinstance(module, _NormBase)}
    for norm in momenta:
        if norm.weight is not None and not norm.weight.any():
            nn.init.ones_(norm.weight)
        norm.momentum = 1.0
    try:
        with evaluation(model), torch.no_grad():
            model.train()
            model(images)
    finally:
        for norm, momentum in momenta.items():
            norm.momentum = momentum


def _gradient(model: nn.Module, images: Tensor, stage: int) -> tuple[Tensor, tuple[int, ...]]:
    """The gradient `(*size)` in double precision, summed over images and channels; and the centre of the output."""
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
