"""The base class of tasks that predict values for each pixel: network, transforms, inference and report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor
from torch.utils.data import Subset

from res2net.backbones.base import Backbone
from res2net.images.samples import Samples
from res2net.images.sources import DataSource, SourceReader, open_source
from res2net.images.splits import DataSettings
from res2net.images.transforms import Transform, WithTruth
from res2net.report import Table
from res2net.task.base import CreateBackbone, Evaluation, Task, frozen
from res2net.task.maps import Constant, resized
from res2net.tasks.pixels.formats.open import read_pixels
from res2net.tasks.pixels.heads.network import DECODERS, PixelNetwork
from res2net.tasks.pixels.transforms import PixelTransform, pixel_eval_transform, pixel_train_transform

if TYPE_CHECKING:
    from res2net.report import Report

SHOWN = 8
"""Maximum number of validation images in a report."""
BATCH_PIXELS = 1 << 22
"""Maximum number of pixels in a forward pass at inference, such as 16 images of 512 x 512; a larger image runs on its
own."""
SEEN = 200
"""Training images from which a predictor that sees no image takes what is usual."""

Function = Callable[[Tensor], Tensor]
"""A function from images `(N, C, H, W)` to values `(N, K, H, W)`."""


class PixelTask(Task):
    """A task whose network is an encoder with a decoder.

    Subclasses define the losses and metrics, and what a report shows.
    """

    labels: ClassVar[tuple[str, ...]] = ("semantic",)
    """The target entries that the task needs; see `PixelImages`."""
    reader: ClassVar[SourceReader] = staticmethod(read_pixels)
    """Reads the data set at a path."""
    value_name: ClassVar[str] = ""
    """The name of the only value of a pixel; empty if there is one value for each class of the data."""

    model: PixelNetwork
    fixed_size: tuple[int, int] | None = None
    """Input height and width of an exported network, to which larger images are scaled down; None for any size."""

    @classmethod
    def open(cls, source: str | Path, settings: DataSettings | None = None, options: Any | None = None) -> DataSource:
        """Open the data set at a path, or a named source; its only class is that of the value, if there is one."""
        opened = open_source(source, settings, labels=cls.labels, reader=cls.reader)
        return replace(opened, class_names=[cls.value_name]) if cls.value_name else opened

    @classmethod
    def network(cls, create: CreateBackbone, options: Any, facts: Mapping[str, Any]) -> PixelNetwork:
        """Construct the backbone and the decoder."""
        backbone = create_encoder(create, options)
        decoder = DECODERS[options.decoder](backbone.stages, len(facts["class_names"]), options.channels)
        return PixelNetwork(backbone, decoder)

    def forward(self, images: Tensor) -> Tensor:
        """Map images `(N, C, H, W)` to logits `(N, K, H, W)`."""
        return self.model(images)

    @property
    def crop(self) -> tuple[int, int]:
        """Height and width of the random crops of training, by default a square."""
        return self.options.crop or (self.preprocessing.size, self.preprocessing.size)

    def transform(self, train: bool) -> Transform:
        """Random crops for training, whole images for evaluation."""
        return self.train_transform() if train else WithTruth(self.eval_transform())

    def train_transform(self) -> PixelTransform:
        """The random augmentation that the options configure."""
        options = self.options
        return pixel_train_transform(
            self.preprocessing, self.crop, options.resize, options.scale, options.flip, options.color_jitter
        )

    def eval_transform(self, *, padded: bool = False) -> PixelTransform:
        """Whole images, for an exported network `padded` with zeros to its input size."""
        return pixel_eval_transform(self.preprocessing, self.options.resize, self.fixed_size, padded=padded)

    def activate(self, logits: Tensor) -> Tensor:
        """Turn logits `(N, K, H, W)` into the values that are averaged over windows, scales and mirror images."""
        return logits.float().softmax(1)

    def values(self, images: Tensor, targets: Mapping[str, Any]) -> Iterator[Tensor]:
        """Yield the predicted values `(K, height, width)` of each image of a batch, at the resolution of its file.

        They are yielded one by one, so that only a few full-resolution maps are in memory at a time.
        """
        file_sizes = iter(targets["original_size"])
        start = 0
        for (height, width), same_size in groupby(tuple(map(int, size)) for size in targets["size_now"]):
            stop = start + len(list(same_size))
            count = max(1, BATCH_PIXELS // (height * width))
            while start < stop:
                # Crop the padding, so that the values do not depend on the other images of the batch.
                group = images[start : min(start + count, stop), ..., :height, :width]
                start += len(group)
                for values in self.averaged_values(group):
                    yield resized(values[None], tuple(map(int, next(file_sizes))))[0]

    def averaged_values(self, images: Tensor) -> Tensor:
        """The values `(N, K, H, W)` of images of one size, averaged over windows, scales and flips."""
        return averaged(self.windowed_values, images, self.options.scales, self.options.flip_test)

    def windowed_values(self, images: Tensor) -> Tensor:
        """The values `(N, K, H, W)` of images of one size, averaged over windows if the options ask for these."""

        def run_network(views: Tensor) -> Tensor:
            return self.activate(self(views))

        window = self.options.window or max(images.shape[-2:])
        return sliding_window(run_network, images, window, self.options.overlap)

    def constant(self, samples: Samples) -> Tensor:
        """The constant logits `(K,)` that fit the pixels of all samples best, for a baseline that ignores its input."""
        raise NotImplementedError

    def score_table(self, evaluation: Evaluation) -> Table:
        """A table of detailed scores for the report, such as the IoU of each class."""
        raise NotImplementedError

    def write_report(self, report: Report, evaluation: Evaluation, source: DataSource) -> None:
        """Add the detailed scores, and validation images with their ground truth and predictions."""
        report.add_table(self.score_table(evaluation))
        report.add_section("Images")
        images, captions = [], []
        for index in range(min(SHOWN, len(source.val))):
            image, target = source.val[index]
            truth = self.truth(image, target)
            prediction = self.predict_sample(image, target)
            images += [self.inputs.show(image, truth), truth.panel(image, truth), prediction.panel(image, truth)]
            captions += [f"image {index}", "ground truth", "prediction"]
        report.add_images(images, captions, "Validation images, their ground truth, and the predictions.", 3)


def create_encoder(create: CreateBackbone, options: Any, **arguments: Any) -> Backbone:
    """Create the backbone without a classifier, with the output stride and the frozen stages of the options."""
    if options.output_stride is not None:
        arguments["output_stride"] = options.output_stride
    return frozen(create(num_classes=0, **arguments), options)


def sliding_window(function: Function, images: Tensor, window: int, overlap: float = 1 / 3) -> Tensor:
    """Apply a function to images `(N, C, H, W)` window by window, averaging its values where windows overlap.

    A window of all images has sides of `window` pixels, or of the images where these are shorter; it overlaps with the
    next by the share `overlap` or more, at least 0 and below 1.
    """
    height, width = images.shape[-2:]
    rows, columns = (_starts(side, window, overlap) for side in (height, width))
    if len(rows) == len(columns) == 1:
        return function(images)
    total: Tensor | None = None
    counts = images.new_zeros(height, width)
    for top, left in product(rows, columns):
        area = (..., slice(top, top + window), slice(left, left + window))
        values = function(images[area])
        if total is None:
            total = values.new_zeros(*values.shape[:2], height, width)
        total[area] += values
        counts[area] += 1
    assert total is not None
    return total.div_(counts)  # in place, since this tensor is large for a photo and many classes


def averaged(function: Function, images: Tensor, scales: Sequence[float] = (1.0,), flip: bool = False) -> Tensor:
    """Average the values of a function over `scales` of images `(N, C, H, W)`, with `flip` also over mirror images."""
    size = images.shape[-2:]
    total: Tensor | None = None
    for scale in scales:
        scaled = resized(images, [max(1, round(side * scale)) for side in size])
        values = function(scaled)
        if flip:
            values = (values + function(scaled.flip(-1)).flip(-1)) / 2
        values = resized(values, size)
        total = values if total is None else total + values
    assert total is not None
    return total if len(scales) == 1 else total / len(scales)


def _starts(side: int, window: int, overlap: float) -> list[int]:
    """Evenly spaced starts of windows that cover a side exactly."""
    if side <= window:
        return [0]
    step = max(1.0, window * (1 - overlap))
    count = 1 + -int(-(side - window) // step)
    return [round(index * (side - window) / (count - 1)) for index in range(count)]


def constant(untrained: Any, source: DataSource) -> dict[str, Task]:
    """A baseline for recipes: it gives every pixel of every image the values that are usual in the training."""
    return without_looking(untrained, "constant", Constant(untrained.constant(few_samples(source))))


def few_samples(source: DataSource) -> Any:
    """The first training samples of a source."""
    return Subset(source.train, range(min(SEEN, len(source.train))))  # type: ignore[arg-type]


def without_looking(untrained: Task, name: str, model: Any) -> dict[str, Task]:
    """The task with another model."""
    return {name: type(untrained)(model, untrained.preprocessing, untrained.options, untrained.facts)}
