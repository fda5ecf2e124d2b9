"""What the tasks share that give a value to each pixel: the network, views of images, inference and the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from res2net.backbones.base import Backbone
from res2net.images.samples import Samples
from res2net.images.sources import DataSettings, DataSource, open_source
from res2net.images.transforms import Transform
from res2net.report import Table
from res2net.task.base import CreateBackbone, Evaluation, Task, frozen
from res2net.task.maps import resized
from res2net.task.truth import WithTruth
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
"""Images in a report."""
BATCH_PIXELS = 1 << 22
"""The network sees at most this many pixels of images of one size at a time, as of 16 with 512 x 512, and always at
least one image."""


class PixelTask(Task):
    """An encoder and a decoder with their data.

    A task states how many values a pixel has, what is learnt, and what is shown.
    """

    labels: ClassVar[tuple[str, ...]] = ("semantic",)
    """The entries of a target that the task needs; see `PixelImages`."""

    model: PixelNetwork
    within: tuple[int, int] | None = None
    """Height and width of the images of an exported network, into which all have to fit."""

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
        """Make the backbone with a decoder."""
        backbone = create_encoder(create, options)
        decoder = DECODERS[options.decoder](backbone.stages, cls.count_values(facts), options.channels)
        return PixelNetwork(backbone, decoder)

    def forward(self, images: Tensor) -> Tensor:
        """`(N, C, H, W)` to logits `(N, K, H, W)`."""
        return self.model(images)

    def transform(self, train: bool) -> Transform:
        """Random views in training, the whole image in evaluation."""
        if train:
            return self.train_transform()
        return WithTruth(pixel_eval_transform(self.preprocessing, self.options.resize, self.within))

    def train_transform(self) -> PixelTransform:
        """The random views that the options describe."""
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
        """Turn logits `(N, K, H, W)` into the values that are averaged where a pixel is seen several times."""
        return logits.float().softmax(1)

    def values(self, images: Tensor, targets: Mapping[str, Any]) -> Iterator[Tensor]:
        """The values of the pixels of each image, `(K, height, width)`, in the size of its file.

        They come one after the other, so that no more than a few are in memory.
        """
        file_sizes = iter(targets["original_size"])
        start = 0
        for (height, width), alike in groupby(tuple(map(int, size)) for size in targets["size_now"]):
            stop = start + len(list(alike))
            count = max(1, BATCH_PIXELS // (height * width))
            while start < stop:
                # An image beside larger ones has zeros around it, which it would not have alone.
                group = images[start : min(start + count, stop), ..., :height, :width]
                start += len(group)
                for one in self.averaged_values(group):
                    size = next(file_sizes)
                    yield resized(one[None], (int(size[0]), int(size[1])))[0]

    def averaged_values(self, images: Tensor) -> Tensor:
        """The values `(N, K, H, W)` of images of one size, over the windows, sizes and mirror images of the options."""
        options = self.options

        def whole(views: Tensor) -> Tensor:
            return self.activated(self(views))

        def pieces(views: Tensor) -> Tensor:
            if not options.window:
                return whole(views)
            return sliding_window(whole, views, options.window, options.overlap)

        return averaged(pieces, images, options.scales, options.flip_test)

    def constant(self, samples: Samples) -> Tensor:
        """The logits `(K,)` that fit all pixels of the samples best: the best prediction without seeing an image."""
        raise NotImplementedError

    def score_table(self, evaluation: Evaluation) -> Table:
        """The scores of an evaluation in detail, for its report."""
        raise NotImplementedError

    def write_report(self, report: Report, evaluation: Evaluation, source: DataSource) -> None:
        """Scores in detail, and validation images with their ground truth and their predictions."""
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
        report.add_images(images, captions, "Validation images, their ground truth, and what was predicted.", 3)


def create_encoder(create: CreateBackbone, options: Any, **chosen: Any) -> Backbone:
    """The backbone with the output stride that is chosen, of which no more is trained than the options say."""
    if options.output_stride is not None:
        chosen["output_stride"] = options.output_stride
    return frozen(create(num_classes=0, **chosen), options)
