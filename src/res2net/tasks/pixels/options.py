"""The common options of tasks that predict values for each pixel."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from res2net.engine import options as verb_options
from res2net.errors import InputError
from res2net.options import check_literals, check_ranges

if TYPE_CHECKING:
    from res2net.task.base import Task
    from res2net.task.result import Prediction


@dataclass(frozen=True)
class PixelOptions:
    """The decoder, views of images in training and in evaluation, and what of the backbone is trained."""

    adjustable: ClassVar[tuple[str, ...]] = ("resize", "window", "overlap", "scales", "flip_test")
    """The options that may change after training."""

    size_help: ClassVar[str] = "Side, or height and width, of the random crops of training, pixels."
    everyday: ClassVar[tuple[str, ...]] = ("decoder", "output_stride", "crop", "freeze", "freeze_norms")

    decoder: str = "deeplabv3plus"
    """deeplabv3plus; or unet, unetplusplus, manet, linknet, fpn, pspnet, pan, upernet (segmentation_models.pytorch)."""
    channels: int = 256
    """Channels within the decoder; the decoders of segmentation_models.pytorch have their own numbers."""
    output_stride: int | None = None
    """Stride of the backbone's last map, 32, 16 or 8; by default the network's own."""
    crop: tuple[int, int] | None = None
    """Height and width of the random crops of training, pixels; by default a square of --size."""
    scale: tuple[float, float] = (0.5, 2.0)
    """Smallest and largest random factor by which a training image is resized before it is cropped."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    color_jitter: float = 0.0
    """Largest relative change of brightness, contrast and saturation."""
    resize: int = 0
    """Shorter side to which images are resized, pixels, in training before the random factor; 0 keeps their size."""
    window: int = 0
    """Side of the sliding window in which larger images are evaluated, pixels; 0 evaluates whole images."""
    overlap: float = 1 / 3
    """Smallest share of a window that overlaps with the next."""
    scales: tuple[float, ...] = (1.0,)
    """Evaluate with the mean over these factors of each image's size, such as 0.5 0.75 1 1.25 1.5 1.75."""
    flip_test: bool = False
    """Evaluate with the mean of each image and its mirror image."""
    freeze: int = 0
    """Stages of the backbone that are not trained, the stem first."""
    freeze_norms: bool = False
    """Keep the batch normalisations of the backbone fixed, as is usual with published weights and small batches."""

    def __post_init__(self) -> None:
        check_literals(self)
        check_ranges(self, channels=(1, 1 << 16), crop=(8, 16384), flip=(0, 1), color_jitter=(0, 1), freeze=(0, 100))
        check_ranges(self, resize=(0, 16384), window=(0, 16384), overlap=(0, 0.9))
        if self.output_stride not in (None, 8, 16, 32):
            raise InputError(f"The output stride {self.output_stride} does not fit: give 8, 16 or 32.")
        if not 0 < self.scale[0] <= self.scale[1] <= 100:
            raise InputError(f"The scales {self.scale} do not fit: give a least and a greatest factor, up to 100.")
        if not self.scales or not all(0.05 <= scale <= 10 for scale in self.scales):
            raise InputError(f"The scales {self.scales} of evaluation do not fit: give numbers from 0.05 to 10.")


@dataclass(frozen=True, kw_only=True)
class MaskPredictOptions(verb_options.PredictOptions):
    """Options of `res2net predict` of tasks that find one mask in an image."""

    mask_threshold: float | None = None
    """Probability from which a pixel belongs to the mask; by default as in the training (0.5)."""

    def predict(self, task: Task, inputs: Sequence[Any], **settings: Any) -> Iterator[Prediction]:
        """Run a task over inputs with this threshold."""
        from res2net.engine.restore import adjust

        task = copy.copy(task)  # the next prediction may have another threshold
        adjust(task, {} if self.mask_threshold is None else {"mask_threshold": self.mask_threshold})
        return super().predict(task, inputs, **settings)
