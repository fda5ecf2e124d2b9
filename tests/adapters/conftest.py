"""Networks whose last features are not zero."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn


@pytest.fixture
def lively() -> Callable[[nn.Module], dict[str, Tensor]]:
    """Give a network random weights and statistics such that every layer matters, and return them by name."""

    def fill(model: nn.Module) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        for name, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                continue
            normal = torch.randn(tensor.shape, generator=generator)
            if tensor.ndim > 1:
                tensor.copy_(normal * (2 / tensor[0].numel()) ** 0.5)
            elif name.endswith(("bias", "running_mean")):
                tensor.copy_(normal * 0.1)
            else:
                tensor.copy_(normal.abs() * 0.3 + 0.3)
        return {name: tensor.clone() for name, tensor in model.state_dict().items()}

    return fill
