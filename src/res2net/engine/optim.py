"""Create the optimizer and the learning rate schedule of a configuration, from those of torch and timm."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    SequentialLR,
    StepLR,
)

from res2net.engine.config import OptimConfig

WARMUP_START = 0.01
"""The learning rate at the start of the warm-up, as a share of the full one."""


def make_optimizer(model: nn.Module, config: OptimConfig) -> Optimizer:
    """Create the optimizer of all parameters that require gradients."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [{"params": parameters}]
    if not config.decay_all:
        # Biases and normalisation parameters have one dimension.
        groups = [
            {"params": [p for p in parameters if p.ndim > 1]},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
    if config.optimizer == "sgd":
        nesterov = config.nesterov and config.momentum > 0
        return torch.optim.SGD(
            groups, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay, nesterov=nesterov
        )
    betas = config.betas or (0.9, 0.999)
    if config.optimizer == "lamb":
        from timm.optim import Lamb  # it takes seconds to import, and few runs need it

        return Lamb(groups, lr=config.lr, betas=betas, weight_decay=config.weight_decay)
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=config.lr, betas=betas, weight_decay=config.weight_decay)


def make_schedule(optimizer: Optimizer, config: OptimConfig, steps: int) -> LRScheduler:
    """Create the learning rate schedule over a run of `steps` updates; it is stepped after each update."""
    per_epoch = steps / config.epochs
    warmup, hold = round(config.warmup * per_epoch), round(config.hold * per_epoch)
    rest = max(1, steps - warmup - hold)
    if config.schedule == "one-cycle":
        share = min(0.999, max(config.warmup / config.epochs, 2 / max(steps, 3)))
        # As in torch, the first beta of Adam is cycled against the learning rate, unless the user set the betas.
        # The momentum of SGD stays as configured.
        cycle = config.optimizer in ("adam", "adamw") and config.betas is None
        return OneCycleLR(optimizer, config.lr, total_steps=max(steps, 3), pct_start=share, cycle_momentum=cycle)
    main: LRScheduler
    if config.schedule == "cosine":
        main = CosineAnnealingLR(optimizer, rest, eta_min=config.lr * config.lr_end)
    elif config.schedule == "poly":
        main = LambdaLR(optimizer, partial(_poly, steps=rest, power=config.poly_power, end=config.lr_end))
    elif config.schedule == "step":
        if config.milestones:
            # The schedule begins after the warm-up, and milestones count from the start of the run.
            milestones = [max(0, round(epoch * per_epoch) - warmup) for epoch in config.milestones]
            main = MultiStepLR(optimizer, milestones, config.step_factor)
        else:
            main = StepLR(optimizer, max(1, round(config.step_epochs * per_epoch)), config.step_factor)
    else:
        main = ConstantLR(optimizer, factor=1.0, total_iters=0)
    parts: list[LRScheduler] = [main]
    ends: list[int] = []
    if hold:
        parts, ends = [ConstantLR(optimizer, factor=1.0, total_iters=0), *parts], [warmup + hold]
    if warmup:
        parts, ends = [LinearLR(optimizer, WARMUP_START, 1.0, warmup), *parts], [warmup, *ends]
    return SequentialLR(optimizer, parts, ends) if ends else main


def _poly(step: int, *, steps: int, power: float, end: float) -> float:
    """The factor of the learning rate at an update; torch's `PolynomialLR` can only decay to 0."""
    return end + (1 - end) * max(0.0, 1 - step / steps) ** power
