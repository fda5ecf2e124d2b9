"""The options of the task click."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from res2net.errors import InputError
from res2net.options import check_ranges
from res2net.tasks.pixels.options import MaskPredictOptions, PixelOptions

if TYPE_CHECKING:
    from res2net.task.base import Task
    from res2net.task.result import Prediction


@dataclass(frozen=True)
class ClickOptions(PixelOptions):
    """The network that sees clicks, the clicks of training and evaluation, and the loss."""

    adjustable: ClassVar[tuple[str, ...]] = (
        *PixelOptions.adjustable,
        *("mask_threshold", "max_clicks", "min_area", "eval_objects", "connected"),
    )

    data_help: ClassVar[str] = (
        'images with object masks in COCO, PASCAL VOC, YOLO or Penn-Fudan format, or the synthetic data set "shapes"'
    )
    renamed: ClassVar[Mapping[str, str]] = {"most_clicks": "max_clicks", "least_area": "min_area"}
    everyday: ClassVar[tuple[str, ...]] = ("decoder", "output_stride", "crop", "max_clicks", "freeze_norms")

    output_stride: int | None = 16
    """Stride of the backbone's last map, 32, 16 or 8; none for the network's own."""
    first_click: bool = True
    """Guide the decoder by a separate branch around the first click (FCANet)."""
    first_weight: float = 1.0
    """Weight of the loss of the mask that this branch finds."""
    click_loss: Literal["bell", "distance"] = "bell"
    """Weights of pixels in the loss: bell (larger within the bells of clicks), or distance (by the distance to the
    nearest click of their kind, as in FCANet)."""
    click_weight: float = 10.0
    """Additional weight of clicked pixels in the loss bell; it falls off around them."""
    previous_mask: bool = False
    """Let the network see the mask that the previous clicks led to (RITM)."""
    sigma: float = 10.0
    """Full width at half maximum of a click in its map, pixels of the network's input."""
    first_sigma: float = 30.0
    """Full width at half maximum of the first click in the map of its branch."""
    positives: int = 3
    """Maximum number of random clicks on the object in training, beside the first."""
    negatives: int = 4
    """Maximum number of random clicks beside the object in training."""
    rounds: int = 3
    """Maximum number of training clicks on the largest error of the predicted mask."""
    max_clicks: int = 20
    """Maximum number of clicks per object in evaluation."""
    min_area: float = 64.0
    """Area of the box of the smallest object in training and evaluation, square pixels."""
    eval_objects: int = 0
    """Evaluate on so many objects, taken evenly from the data; 0 takes all."""
    mask_threshold: float = 0.5
    """Probability from which a pixel belongs to the mask."""
    connected: bool = False
    """Leave out parts of the mask that are not connected to a positive click (the structural integrity of FCANet)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, first_weight=(0, 1e6), click_weight=(0, 1e6), sigma=(0.5, 1000), first_sigma=(0.5, 1000))
        check_ranges(self, positives=(0, 100), negatives=(0, 100), rounds=(0, 100), max_clicks=(1, 1000))
        check_ranges(self, min_area=(0, math.inf), mask_threshold=(0.001, 1), eval_objects=(0, math.inf))
        if self.freeze:
            raise InputError(
                "The clicks enter the network at its first convolution, which has to learn them: leave out --freeze."
            )


@dataclass(frozen=True, kw_only=True)
class PredictOptions(MaskPredictOptions):
    """The clicks from which objects are found."""

    clicks: tuple[str, ...] = ()
    """Clicks on every image as column,row,+ on the object or column,row,- beside it, such as 120,80,+ 10,20,-."""

    def predict(self, task: Task, inputs: Sequence[Any], **settings: Any) -> Iterator[Prediction]:
        """Find the object of each input by the clicks."""
        from res2net.tasks.pixels.click.clicks import parse_click

        finder: Any = copy.copy(task)  # the next prediction may have other clicks
        finder.clicks = [parse_click(text) for text in self.clicks]
        return super().predict(finder, inputs, **settings)
