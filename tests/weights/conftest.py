"""Tiny networks with weights that no initialisation would give."""

from collections.abc import Callable

import pytest
import torch

from res2net.backbones.base import Backbone
from res2net.backbones.registry import build

TINY = {"layers": (2, 1, 1, 1), "channels": (8, 16, 32, 64), "stem_channels": 8, "num_classes": 5}


@pytest.fixture
def tiny() -> Callable[..., Backbone]:
    def build_tiny(name: str = "res2net26_26w_4s", *, seed: int = 0, **options) -> Backbone:
        model = build(name, **{**TINY, **options}).eval()
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for tensor in model.state_dict().values():
                if tensor.is_floating_point():
                    # Positive, so that statistics and scales keep signals alive through all layers.
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.2 + 0.02)
                else:
                    tensor.fill_(7)
        return model

    return build_tiny
