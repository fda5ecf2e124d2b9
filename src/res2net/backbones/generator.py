"""Encoders of networks that make images of images: residual networks of high resolution."""

from __future__ import annotations

from typing import Any

from res2net.backbones.registry import register
from res2net.backbones.resnet import ResNet

__all__: list[str] = []

# Johnson et al., ECCV 2016: full resolution, two reductions, and all other blocks at stride 4; InstanceNorm (Ulyanov et
# al., 2016), which sees one image alone. Branches start at work, as in those networks, and not at zero.
SHAPE: dict[str, Any] = {"stem": "conv3", "norm": "instance", "zero_init_last": False}
FULL = {**SHAPE, "layers": (1, 1, 9), "channels": (16, 32, 64), "stem_channels": 64}
TINY = {**SHAPE, "layers": (1, 1, 4), "channels": (8, 16, 32), "stem_channels": 16}
RES2 = {"base_width": 26, "scale": 4}
register(
    ResNet,
    "Encoder of a generator for image-to-image translation (Johnson et al., ECCV 2016): 9 blocks at stride 4",
    {"resnet_generator": FULL, "res2_generator": {**FULL, **RES2}},
)
register(
    ResNet,
    "The same with 4 blocks and half of the channels; the two cost the same within 2 %",
    {"resnet_generator_tiny": TINY, "res2_generator_tiny": {**TINY, **RES2}},
)
