"""The options of the task segment."""

from __future__ import annotations

from dataclasses import dataclass

from res2net.errors import InputError, check_range
from res2net.tasks.pixels.options import PixelOptions

__all__ = ["SegmentOptions"]


@dataclass(frozen=True)
class SegmentOptions(PixelOptions):
    """The loss of semantic segmentation."""

    class_weights: tuple[float, ...] = ()
    """Weight of each class in the loss; by default all are equal."""
    ohem: float = 0.0
    """Learn only from pixels whose true class has at most this probability, such as 0.7; 0 learns from all."""
    ohem_kept: float = 1 / 16
    """Smallest share of the pixels that is learnt from."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for weight in self.class_weights:
            check_range("class weight", weight, 0, 1e6)
        if self.class_weights and not any(self.class_weights):
            raise InputError("All class weights are 0, and nothing is learnt: give one above 0.")
        check_range("ohem", self.ohem, 0, 1)
        check_range("ohem kept", self.ohem_kept, 0, 1)
