"""The base class of detectors, and their registry; each module of this folder registers its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.registry import Registry
from res2net.tasks.objects.heads.options import DetectorOptions


class Detector(nn.Module):
    """A network that finds objects in images.

    Images come as a batch `(N, C, H, W)`, padded at the right and bottom; `sizes` are the (height, width) of each image
    before padding. Boxes are `(x1, y1, x2, y2)` in pixels of the batch; labels start at 0, and there is no background
    class. `losses` and `detect` work in training and in evaluation mode; the mode only affects layers such as batch
    normalisation.
    """

    backbone: Backbone
    """The backbone, without a classifier."""
    num_classes: int

    def losses(
        self, images: Tensor, sizes: Sequence[tuple[int, int]], targets: Sequence[Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        """The terms of the training loss by name; their sum is minimised.

        Args:
            images: the batch `(N, C, H, W)`.
            sizes: (height, width) of each image before padding.
            targets: for each image with n objects (n may be 0): `boxes` `(n, 4)`, `labels` `(n,)`, and if the detector
                predicts them, `masks` `(n, H, W)` and `keypoints` `(n, k, 3)` with x, y and visibility.
        """
        raise NotImplementedError

    def detect(self, images: Tensor, sizes: Sequence[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """Detect the objects in each image, best first.

        Returns:
            For each image, `boxes` `(m, 4)` clipped to the image, `scores` `(m,)` descending, `labels` `(m,)` int64,
            and if the detector predicts them, `masks` `(m, 28, 28)` (probabilities within the box), `keypoints`
            `(m, k, 2)` and `keypoint_scores` `(m, k)`.
        """
        raise NotImplementedError

    def set_thresholds(self, options: DetectorOptions) -> None:
        """Detect with other `score_threshold`, `nms_threshold` and number of `detections` from now on.

        Raises:
            InputError: the detector was exported with others, which cannot be undone.
        """
        raise NotImplementedError

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """As `detect`, but with fixed shapes for export and for images without padding.

        Returns:
            `boxes` `(N, D, 4)`, `scores` `(N, D)` descending, `labels` `(N, D)`, and if the detector predicts them,
            `masks` `(N, D, 28, 28)`, or `keypoints` `(N, D, k, 2)` and `keypoint_scores` `(N, D, k)`. Unused rows have
            score 0.
        """
        raise NotImplementedError


Build = Callable[[Backbone, int, DetectorOptions], Detector]
"""A function from a backbone without a classifier, the number of classes and the options to a detector."""

DETECTORS: Registry[Build] = Registry("Detector", package="res2net.tasks.objects.heads")
"""Functions that build the detectors, by name."""


def build_detector(name: str, backbone: Backbone, num_classes: int, options: DetectorOptions | None = None) -> Detector:
    """Build a detector on a backbone, which becomes a part of it.

    Args:
        name: one of `DETECTORS`.
        backbone: a network for images; its classifier is not used.
        num_classes: number of classes, without the background.
        options: sizes and thresholds.

    Raises:
        InputError: there is no such detector (the message names the nearest), or the backbone or the options do
            not fit.
    """
    build = DETECTORS[name]
    if num_classes < 1:
        raise InputError(f"A detector cannot have {num_classes} classes: give 1 or more, the background not counted.")
    if backbone.dims != 2:
        raise InputError(f"A detector needs images, and this backbone is for signals of {backbone.dims} dimensions.")
    return build(backbone, num_classes, options or DetectorOptions())
