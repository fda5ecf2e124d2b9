"""A network put into evaluation for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["evaluation"]


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """Evaluation within the `with`; afterwards every module is in the mode that it was in, frozen ones included."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
