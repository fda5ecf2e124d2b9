"""The base class of tasks that predict values for each pixel: network, transforms, inference and report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from res2net.backbones.base import Backbone
from res2net.images.samples import Samples
from res2net.images.sources import DataSettings, DataSource, open_source
from res2net.images.transforms import Transform, WithTruth
from res2net.report import Table
from res2net.task.base import CreateBackbone, Evaluation, Task, frozen
from res2net.task.maps import resized
from res2net.tasks.pixels.data.pixel_transforms import (
    PixelAugment,
    PixelTransform,
    pixel_eval_transform,
    pixel_train_transform,
)
from res2net.tasks.pixels.formats.open import read_pixels
from res2net.tasks.pixels.heads.network import DECODERS, PixelNetwork
from res2net.tasks.pixels.heads.windows import averaged, sliding_window

if TYPE_CHECKING:
    from res2net.report import Report

__all__ = ["PixelTask", "create_encoder"]

SHOWN = 8
"""Maximum number of validation images in a report."""
BATCH_PIXELS = 1 << 22
"""Maximum number of pixels in a forward pass at inference, such as 16 images of 512 x 512; a larger image runs on its
own."""


class PixelTask(Task):
    """A task whose network is an encoder with a decoder.

    Subclasses define the number of values of a pixel, the losses and metrics, and what a report shows.
    """

    labels: ClassVar[tuple[str, ...]] = ("semantic",)
    """The target entries that the task needs; see `PixelImages`."""

    model: PixelNetwork
    within: tuple[int, int] | None = None
    """Input height and width of an exported network, which no image may exceed; None for any size."""

    @classmethod
    def open(cls, source: str | Path, settings: DataSettings | None = None, options: Any | None = None) -> DataSource:
        """Open images with a label for each pixel, in one of `PIXEL_FORMATS`, or a named source."""
        return open_source(source, settings, labels=cls.labels, reader=read_pixels)

    @classmethod
    def count_values(cls, facts: Mapping[str, Any]) -> int:
        """The number of values that a pixel has."""
        return len(facts["class_names"])

    @classmethod
    def network(cls, create: CreateBackbone, options: Any, facts: Mapping[str, Any]) -> PixelNetwork:
        """Construct the backbone and the decoder."""
        backbone = create_encoder(create, options)
        decoder = DECODERS[options.decoder](backbone.stages, cls.count_values(facts), options.channels)
        return PixelNetwork(backbone, decoder)

    def forward(self, images: Tensor) -> Tensor:
        """Map images `(N, C, H, W)` to logits `(N, K, H, W)`."""
        return self.model(images)

    def transform(self, train: bool) -> Transform:
        """Random crops for training, whole images for evaluation."""
        if train:
            return self.train_transform()
        return WithTruth(pixel_eval_transform(self.preprocessing, self.options.resize, self.within))

    def train_transform(self) -> PixelTransform:
        """The random augmentation that the options configure."""
        options = self.options
        return pixel_train_transform(
            self.preprocessing,
            PixelAugment(
                crop=options.crop or (self.preprocessing.size, self.preprocessing.size),
                shorter=options.resize,
                scale=options.scale,
                flip=options.flip,
                color_jitter=options.color_jitter,
            ),
        )

    def activated(self, logits: Tensor) -> Tensor:
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
                    size = next(file_sizes)
                    yield resized(values[None], (int(size[0]), int(size[1])))[0]

    def averaged_values(self, images: Tensor) -> Tensor:
        """The values `(N, K, H, W)` of images of one size, averaged over windows, scales and flips."""
        options = self.options

        def run_network(views: Tensor) -> Tensor:
            return self.activated(self(views))

        def run_windows(views: Tensor) -> Tensor:
            if not options.window:
                return run_network(views)
            return sliding_window(run_network, views, options.window, options.overlap)

        return averaged(run_windows, images, options.scales, options.flip_test)

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
            images += [
                self.inputs.show(image, truth),
                truth.panel(image, truth),
                self.find(image, target).panel(image, truth),
            ]
            captions += [f"image {index}", "ground truth", "prediction"]
        report.add_images(images, captions, "Validation images, their ground truth, and the predictions.", 3)


def create_encoder(create: CreateBackbone, options: Any, **arguments: Any) -> Backbone:
    """Create the backbone without a classifier, with the output stride and the frozen stages of the options."""
    if options.output_stride is not None:
        arguments["output_stride"] = options.output_stride
    return frozen(create(num_classes=0, **arguments), options)
