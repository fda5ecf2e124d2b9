"""What every detector offers, and the registry of detectors: each file of this folder registers its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.registry import Registry
from res2net.tasks.objects.heads.options import DetectorOptions

__all__ = ["DETECTORS", "Build", "Detector", "build_detector"]


class Detector(nn.Module):
    """A network that finds objects in images.

    Images come as a batch `(N, C, H, W)`, padded at the right and at the bottom; `sizes` are the (height, width) of
    each before. Boxes are `(x1, y1, x2, y2)` in pixels of the batch, labels count from 0 and have no background class.
    `losses` and `detect` do what they say in training and in evaluation; the mode only matters to layers such as
    batch normalisation.
    """

    backbone: Backbone
    """The network below; it has no classifier."""
    num_classes: int

    def losses(
        self, images: Tensor, sizes: Sequence[tuple[int, int]], targets: Sequence[Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        """The parts of the training loss by name; their sum is minimised.

        Args:
            images: `(N, C, H, W)`.
            sizes: (height, width) of each image before padding.
            targets: for each image, of n objects, where n may be 0: `boxes` `(n, 4)`, `labels` `(n,)`, and where the
                detector finds them `masks` `(n, H, W)`, `keypoints` `(n, k, 3)` of x, y and visibility.
        """
        raise NotImplementedError

    def detect(self, images: Tensor, sizes: Sequence[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """What is in each image, the best first.

        `boxes` `(m, 4)` within the image's size, `scores` `(m,)` descending, `labels` `(m,)` int64, and where the
        detector finds them `masks` `(m, 28, 28)`, probabilities within the box, `keypoints` `(m, k, 2)` and
        `keypoint_scores` `(m, k)`.
        """
        raise NotImplementedError

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """For export, where shapes are fixed: what `detect` finds in images that fill the batch.

        `boxes` `(N, D, 4)`, `scores` `(N, D)` descending, `labels` `(N, D)`, and where the detector finds them `masks`
        `(N, D, 28, 28)`, or `keypoints` `(N, D, k, 2)` and `keypoint_scores` `(N, D, k)`; rows without a detection
        have score 0.
        """
        raise NotImplementedError


Build = Callable[[Backbone, int, DetectorOptions], Detector]
"""A backbone without classifier, the number of classes and options to a detector."""

DETECTORS: Registry[Build] = Registry("Detector", package="res2net.tasks.objects.heads")
"""What builds each detector, by name."""


def build_detector(name: str, backbone: Backbone, num_classes: int, options: DetectorOptions | None = None) -> Detector:
    """The detector of that name on a backbone, which becomes a part of it.

    Args:
        name: one of `DETECTORS`.
        backbone: a network for images; its classifier is not used.
        num_classes: how many classes of objects there are, the background not counted.
        options: sizes and thresholds.

    Raises:
        InputError: there is no such detector, the nearest is named; or the backbone or the options do not fit.
    """
    build = DETECTORS[name]
    if num_classes < 1:
        raise InputError(f"A detector cannot have {num_classes} classes: give 1 or more, the background not counted.")
    if backbone.dims != 2:
        raise InputError(f"A detector needs images, and this backbone is for signals of {backbone.dims} dimensions.")
    return build(backbone, num_classes, options or DetectorOptions())
