"""Networks with weights that no initialisation would give, and what holds for the pyramid of each."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn

from res2net.backbones.base import Backbone


@pytest.fixture
def alike() -> Callable[..., None]:
    """Give networks, made on the meta device, the same weights and statistics: random, and such that signals live."""

    def fill(first: nn.Module, *others: nn.Module) -> None:
        generator = torch.Generator().manual_seed(0)
        weights = {name: draw(name, tensor, generator) for name, tensor in first.state_dict().items()}
        for model in (first, *others):
            load(model, weights)

    return fill


@pytest.fixture
def assert_pyramid_stays() -> Callable[[Backbone], None]:
    """Assert that what comes after a feature that was given out, or after the image, does not change it."""

    def check(model: Backbone) -> None:
        x = torch.randn(1, 3, 40, 33)
        before = x.clone()
        given, kept, y = [], [], x
        for modules in model.stage_modules():
            y = nn.Sequential(*modules)(y)
            given.append(y)
            kept.append(y.clone())
        assert torch.equal(x, before)
        for feature, saved, ours in zip(given, kept, model.features(x), strict=True):
            assert torch.equal(feature, saved)
            assert torch.equal(feature, ours)

    return check


def draw(name: str, like: Tensor, generator: torch.Generator) -> Tensor:
    """A tensor of that shape: of a convolution, a linear layer, or a normalisation and its statistics."""
    if not like.is_floating_point():
        return torch.zeros(like.shape, dtype=like.dtype)
    normal = torch.randn(like.shape, generator=generator)
    if like.ndim > 1:
        return normal * (2 / like[0].numel()) ** 0.5
    if name.endswith(("bias", "running_mean")):
        return normal * 0.1
    uniform = torch.rand(like.shape, generator=generator)
    return uniform + 0.5 if name.endswith("running_var") else uniform * 0.6 + 0.1


def load(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """The weights that the network has by the same names; it must have no others."""
    names = model.state_dict()
    model.load_state_dict({name: weights[name] for name in names}, assign=True)
