"""Modules whose statistics no initialisation would give."""

from collections.abc import Callable

import pytest
from torch import nn


@pytest.fixture
def lively() -> Callable[[nn.Module], nn.Module]:
    """The module in double precision with random normalisations: the order of two of them then matters."""

    def randomise(module: nn.Module) -> nn.Module:
        module.double()
        for child in module.modules():
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
                for tensor in (child.weight, child.bias, child.running_mean):
                    nn.init.normal_(tensor)
                nn.init.uniform_(child.running_var, 0.5, 2)
        return module

    return randomise
