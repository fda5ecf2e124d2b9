"""What a user can choose for the task keypoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from res2net.errors import InputError, check_range
from res2net.tasks.objects.options import ObjectOptions

__all__ = ["KeypointsOptions"]


@dataclass(frozen=True)
class KeypointsOptions(ObjectOptions):
    """How key points are found, and how that is trained.

    Sizes of images and what is about detectors is for keypoint_rcnn, what is about crops for simple_baseline.
    """

    detectors: ClassVar[tuple[str, ...]] = ("simple_baseline", "keypoint_rcnn")

    detector: str = "simple_baseline"
    """simple_baseline (the paper's: it looks into one box at a time, in evaluation those of the data set), or
    keypoint_rcnn (it finds the boxes itself)."""
    crop: tuple[int, int] = (256, 192)
    """Height and width that simple_baseline sees of each object, pixels; --size does not matter to it."""
    channels: int = 256
    """Channels of its transposed convolutions."""
    sigma: float = 2.0
    """Standard deviation of a key point in its heat maps, in their pixels, of which each is four of the crop."""
    refine: str = "taylor"
    """How a point is found between the pixels of a heat map: taylor (DARK), quarter (the paper's), or none."""
    flip_test: bool = True
    """Evaluate with the mean of the heat maps of each crop and of its mirror image."""
    crop_scale: float = 0.3
    """Standard deviation, and most, by which training crops are larger or smaller."""
    rotation: float = 40.0
    """Standard deviation of the angle by which training crops are turned, degrees."""
    rotate: float = 0.6
    """Probability of turning."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.crop) != 2 or not all(16 <= side <= 4096 and side % 4 == 0 for side in self.crop):
            raise InputError(f"The crop {self.crop} does not fit: give a height and a width, multiples of 4 from 16.")
        check_range("channels", self.channels, 1, 1 << 16)
        check_range("sigma", self.sigma, 0.1, 100)
        check_range("crop scale", self.crop_scale, 0, 0.9)
        check_range("rotation", self.rotation, 0, 90)
        check_range("rotate", self.rotate, 0, 1)
