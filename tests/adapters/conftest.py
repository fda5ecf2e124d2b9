"""Networks whose last features are not zero, and files in the place of published ones."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from res2net.weights import find_record, from_native


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


@pytest.fixture
def write_published() -> Callable[[nn.Module, str, Path], None]:
    """Write the weights of a network as the file of its record "paddle_in1k", which has no hash, to a cache."""

    def write(model: nn.Module, name: str, cache: Path) -> None:
        arrays = {key: tensor.numpy() for key, tensor in from_native(model.state_dict(), "paddle").items()}
        cache.mkdir(exist_ok=True)
        (cache / find_record(name, "paddle_in1k").file_name).write_bytes(pickle.dumps(arrays, protocol=4))

    return write
