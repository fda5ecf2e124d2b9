"""What a user can choose for the task panoptic; nothing here needs torch."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro

from res2net.engine import options as verb_options
from res2net.options import check_ranges
from res2net.tasks.objects.options import DetectionLimits, ObjectOptions

if TYPE_CHECKING:
    from res2net.task.base import Task
    from res2net.task.result import Prediction


@dataclass(frozen=True)
class PanopticOptions(ObjectOptions):
    """How images are divided into things and stuff, and how that is trained."""

    adjustable: ClassVar[tuple[str, ...]] = (
        *("segment_score", "segment_overlap", "stuff_area", "scale_stuff_area"),
        *ObjectOptions.adjustable[:-1],
    )

    data_help: ClassVar[str] = (
        'images with things and stuff in COCO panoptic format, or the synthetic data set "shapes"'
    )

    detector: Literal["panoptic_fpn"] = "panoptic_fpn"
    """The network that finds things and stuff."""
    stuff_channels: int = 128
    """Channels of the branch for stuff."""
    stuff_weight: float = 0.5
    """Weight of the loss of stuff beside the losses of things."""
    min_score: Annotated[float, tyro.conf.Suppress] = 0.5
    """Not used: all segments are drawn and listed."""
    segment_score: float = 0.5
    """Things with a lower score become no segment."""
    segment_overlap: float = 0.5
    """Nor do things of which a larger share of pixels belongs to things with higher scores."""
    stuff_area: int = 4096
    """Minimum area of a segment of stuff, pixels."""
    scale_stuff_area: bool = True
    """That area is for an image of 640 x 480 and shrinks and grows with the image; else it is the same for all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, stuff_channels=(1, 1 << 16), stuff_weight=(0, 1000))
        check_ranges(self, segment_score=(0, 1), segment_overlap=(0, 1), stuff_area=(0, 1 << 30))


@dataclass(frozen=True, kw_only=True)
class SegmentLimits(DetectionLimits):
    """Which things become segments, in prediction and in evaluation."""

    score_threshold: float | None = None
    """Minimum score of a thing to become a segment; by default as in the training (--segment-score)."""

    def limit(self, task: Any) -> None:
        """Let a task keep these things; raises `InputError` if a value is out of range or does not apply."""
        from res2net.engine.restore import adjust

        changes = self.limits()
        if self.score_threshold is not None:
            # The detector's own threshold must not be above that of segments.
            changes["segment_score"] = self.score_threshold
            changes["score_threshold"] = min(self.score_threshold, task.options.head.score_threshold)
        adjust(task, changes)


@dataclass(frozen=True, kw_only=True)
class PredictOptions(SegmentLimits, verb_options.PredictOptions):
    """Options of `res2net predict panoptic`."""

    def predict(self, task: Task, inputs: Sequence[Any], **settings: Any) -> Iterator[Prediction]:
        """Run a task over inputs with these limits."""
        task = copy.copy(task)  # the next prediction may have other limits
        self.limit(task)
        return super().predict(task, inputs, **settings)


@dataclass(frozen=True, kw_only=True)
class EvalOptions(SegmentLimits, verb_options.EvalOptions):
    """Options of `res2net eval panoptic`."""

    def prepare(self, task: Task) -> None:
        """Set which things become segments."""
        self.limit(task)
