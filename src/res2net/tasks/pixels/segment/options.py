"""The options of the task segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from res2net.errors import InputError
from res2net.options import check_ranges
from res2net.tasks.pixels.options import PixelOptions


@dataclass(frozen=True)
class SegmentOptions(PixelOptions):
    """The loss of semantic segmentation."""

    data_help: ClassVar[str] = (
        "folders images/ and masks/ with files of the same names (PNG with the class of each pixel, 255 for none; "
        'class names in classes.txt), ADE20K, PASCAL VOC, Cityscapes, COCO stuff, or the synthetic data set "shapes"'
    )

    class_weights: tuple[float, ...] = ()
    """Weight of each class in the loss; by default all are equal."""
    ohem: float = 0.0
    """Learn only from pixels whose true class has at most this probability, such as 0.7; 0 learns from all."""
    ohem_kept: float = 1 / 16
    """Smallest share of the pixels that is learnt from."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, class_weights=(0, 1e6), ohem=(0, 1), ohem_kept=(0, 1))
        if self.class_weights and not any(self.class_weights):
            raise InputError("All class weights are 0, and nothing is learnt: give one above 0.")
