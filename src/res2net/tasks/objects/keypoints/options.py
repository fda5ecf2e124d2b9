"""What a user can choose for the task keypoints; nothing here needs torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from res2net.errors import InputError
from res2net.options import check_ranges
from res2net.tasks.objects.options import ObjectEvalOptions, ObjectOptions, ObjectPredictOptions

if TYPE_CHECKING:
    from res2net.images.sources import DataSource
    from res2net.task.base import Task
    from res2net.task.result import Prediction


@dataclass(frozen=True)
class KeypointsOptions(ObjectOptions):
    """How keypoints are found, and how that is trained.

    Sizes of images and what is about detectors is for keypoint_rcnn, what is about crops for simple_baseline.
    """

    data_help: ClassVar[str] = 'images with keypoints in COCO format, or the synthetic data set "shapes"'
    size_help: ClassVar[str] = (
        "Shorter side of images for keypoint_rcnn, pixels; for simple_baseline height and width of what it sees."
    )
    everyday: ClassVar[tuple[str, ...]] = ("detector", "crop", "freeze", "freeze_norms")

    detector: Literal["simple_baseline", "keypoint_rcnn"] = "simple_baseline"
    """simple_baseline (the paper's) looks into one box at a time, in evaluation by default those of the data set;
    keypoint_rcnn finds the boxes itself."""
    crop: tuple[int, int] = (256, 192)
    """Height and width that simple_baseline sees of each object, pixels; --size does not matter to it."""
    channels: int = 256
    """Channels of the transposed convolutions of simple_baseline."""
    sigma: float = 2.0
    """Standard deviation of a keypoint in its heat maps, in their pixels, of which each is four of the crop."""
    refine: Literal["taylor", "quarter", "none"] = "taylor"
    """How a point is found between the pixels of a heat map: taylor is DARK, quarter the paper's."""
    flip_test: bool = True
    """Evaluate with the mean of the heat maps of each crop and of its mirror image."""
    crop_scale: float = 0.3
    """Standard deviation, and most, by which training crops are larger or smaller."""
    rotation: float = 40.0
    """Standard deviation of the angle by which training crops are turned, degrees."""
    rotate: float = 0.6
    """Probability of turning."""

    @property
    def adjustable(self) -> tuple[str, ...]:  # type: ignore[override] # it depends on the network
        """The options that may change after training."""
        return ("flip_test", "refine") if self.detector == "simple_baseline" else ObjectOptions.adjustable

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.crop) != 2 or not all(16 <= side <= 4096 and side % 4 == 0 for side in self.crop):
            raise InputError(f"The crop {self.crop} does not fit: give a height and a width, multiples of 4 from 16.")
        check_ranges(self, channels=(1, 1 << 16), sigma=(0.1, 100), crop_scale=(0, 0.9))
        check_ranges(self, rotation=(0, 90), rotate=(0, 1))


@dataclass(frozen=True, kw_only=True)
class PredictOptions(ObjectPredictOptions):
    """Options of `res2net predict keypoints`."""

    boxes: Annotated[str | None, "FILE"] = None
    """With simple_baseline, predict inside the boxes of this file instead of whole images: COCO results of a detector,
    as `res2net predict detect --coco FILE` writes them, or COCO annotations."""
    box_score: float = 0.0
    """Minimum score of these boxes."""

    def _predict(self, task: Task, inputs: Sequence[Any], **settings: Any) -> Iterator[Prediction]:
        if self.boxes is None:
            return super()._predict(task, inputs, **settings)
        return self._predict_in_boxes(task, inputs, _top_down(task), self.boxes, **settings)

    def _predict_in_boxes(
        self, task: Task, inputs: Sequence[Any], way: Any, file: str, **settings: Any
    ) -> Iterator[Prediction]:
        from itertools import islice

        from res2net.engine.predict import InputSamples, predict_samples
        from res2net.tasks.objects.coco_results import category_numbers, image_numbers
        from res2net.tasks.objects.data.boxes import BoxedInputs, read_boxes

        samples = InputSamples(task, inputs)
        paths = [Path(path) for path in samples.paths]
        categories = category_numbers(len(task.class_names), way.task.category_ids)
        boxes = read_boxes(file, image_numbers(paths), categories, self.box_score, paths)
        results = predict_samples(task, BoxedInputs(samples, boxes), **settings)
        for index, of_image in enumerate(boxes):
            found: list[Any] = list(islice(results, len(of_image)))
            reason = found[0][1] if found else ""
            merged = None if reason else way.merge([result for result, _ in found])
            yield samples.prediction(index, merged, reason)


@dataclass(frozen=True, kw_only=True)
class EvalOptions(ObjectEvalOptions):
    """Options of `res2net eval keypoints`."""

    boxes: Annotated[str | None, "FILE"] = None
    """With simple_baseline, evaluate inside the boxes of this file instead of the ground truth boxes: COCO results of a
    detector, as `res2net predict detect --coco FILE` writes them."""
    box_score: float = 0.0
    """Minimum score of these boxes."""

    def prepare(self, task: Task) -> None:
        """Set which detections are kept; `InputError` where boxes are given to a network that finds its own."""
        super().prepare(task)
        if self.boxes is not None:
            _top_down(task)

    def samples(self, task: Task, source: DataSource) -> Any:
        """The crops to evaluate on."""
        if self.boxes is None:
            return super().samples(task, source)
        from res2net.tasks.objects.coco_results import category_numbers
        from res2net.tasks.objects.data.boxes import image_numbers, read_boxes

        categories = category_numbers(len(task.class_names), source.category_ids)
        found = read_boxes(self.boxes, image_numbers(source.val), categories, self.box_score)
        return _top_down(task).use_boxes(source, found)


def _top_down(task: Any) -> Any:
    """The way top-down of a task; `InputError` where it has none."""
    if task.top_down is None:
        raise InputError("Only keypoints with simple_baseline looks into given boxes: leave out --boxes.")
    return task.top_down
