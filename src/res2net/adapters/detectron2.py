"""Our backbones in the registry of Detectron2 (https://github.com/facebookresearch/detectron2).

Detectron2 has no release in a package registry, so this is tested against a stand-in for its registry and classes.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.optional import needs
from res2net.zoo import create_model

INSTALL = "pip install 'git+https://github.com/facebookresearch/detectron2'"


class PyramidBackbone(nn.Module):
    """The part of a Detectron2 backbone that does not need its classes: `forward` gives feature maps by name.

    The names are "stem", "stage1", "stage2", ...; strides are of the image.

    Args:
        backbone: the network, whose classifier is not used.
        out_features: names of the maps to return.

    Shape: `(N, in_channels, H, W)` to maps `(N, channels, ceil(H / stride), ceil(W / stride))`.

    Raises:
        InputError: a map does not exist.
    """

    def __init__(self, backbone: Backbone, out_features: list[str]) -> None:
        super().__init__()
        self.backbone = backbone
        self.levels = {name: level for level, name in enumerate(stage_names(backbone)) if name in out_features}
        if not out_features or set(out_features) - set(self.levels):
            raise InputError(f"Maps {out_features} do not exist: choose among {', '.join(stage_names(backbone))}.")

    @property
    def size_divisibility(self) -> int:
        """The sides of images are padded to a multiple of this."""
        return self.backbone.output_stride

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """`(N, in_channels, H, W)` to the maps by name, finest first."""
        pyramid = self.backbone.features(x)
        return {name: pyramid[level] for name, level in self.levels.items()}


def stage_names(backbone: Backbone) -> list[str]:
    """Names of the stages: "stem", "stage1", "stage2", ..."""
    return ["stem", *(f"stage{level}" for level in range(1, len(backbone.stages)))]


def build_multi_scale_backbone(cfg: Any, input_shape: Any) -> nn.Module:
    """Build a Detectron2 backbone from a configuration; this is the function that `register` adds.

    It reads `MODEL.RES2NET.NAME`, `.WEIGHTS` (a tag or a file, "" for none), `.OUT_FEATURES` and `.OPTIONS`, and
    `MODEL.BACKBONE.FREEZE_AT`, the number of frozen stages.

    Raises:
        MissingLibraryError: Detectron2 is not installed.
        InputError: as in `res2net.create_model`, or a map does not exist.
    """
    with needs("This adapter", "detectron2", install=INSTALL):
        from detectron2.layers import ShapeSpec
        from detectron2.modeling.backbone import Backbone as Base

    class MultiScaleBackbone(PyramidBackbone, Base):  # type: ignore[misc] # mypy does not see its classes
        """A backbone that is an instance of Detectron2's own class, as it requires."""

        def output_shape(self) -> dict[str, Any]:
            """Channels and stride of each map."""
            stages = {name: self.backbone.stages[level] for name, level in self.levels.items()}
            return {name: ShapeSpec(channels=s.channels, stride=s.stride) for name, s in stages.items()}

    ours = cfg.MODEL.RES2NET
    options = {"in_channels": input_shape.channels, **dict(ours.OPTIONS)}
    backbone = create_model(ours.NAME, ours.WEIGHTS or None, num_classes=0, adapt_classifier=True, **options)
    return MultiScaleBackbone(backbone.freeze(cfg.MODEL.BACKBONE.FREEZE_AT), list(ours.OUT_FEATURES))


def register(registry: Any) -> None:
    """Add `build_multi_scale_backbone` to a registry of Detectron2, `detectron2.modeling.BACKBONE_REGISTRY`.

    A configuration then needs `MODEL.BACKBONE.NAME = "build_multi_scale_backbone"` and a new node:

        cfg.MODEL.RES2NET = CfgNode(
            {
                "NAME": "res2net50_26w_4s",
                "WEIGHTS": "in1k",
                "OUT_FEATURES": ["stage1", "stage2", "stage3", "stage4"],
                "OPTIONS": {},
            }
        )
    """
    registry.register(build_multi_scale_backbone)
