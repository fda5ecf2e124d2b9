"""What the tasks have in common that give a value to each pixel: views of images, inference, export, the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, ClassVar

from torch import Tensor

from res2net.backbones.base import Backbone
from res2net.images.samples import Samples
from res2net.images.sources import DataSource
from res2net.images.transforms import Transform
from res2net.report import Report, Table
from res2net.task.base import Evaluation
from res2net.task.headed import HeadedTask
from res2net.task.maps import resized
from res2net.task.truth import WithTruth
from res2net.tasks.pixels.data.pixel_transforms import (
    PixelAugment,
    PixelTransform,
    pixel_eval_transform,
    pixel_train_transform,
)
from res2net.tasks.pixels.heads.decoders import build_decoder
from res2net.tasks.pixels.heads.fixed import FixedPixels
from res2net.tasks.pixels.heads.network import PixelNetwork
from res2net.tasks.pixels.heads.windows import averaged, sliding_window

__all__ = ["PixelTask"]

SHOWN = 8
"""Images in a report."""
TOGETHER = 1 << 22
"""Pixels of images of one size that are seen at a time, as of 16 with 512 x 512, beside one image at least."""


class PixelTask(HeadedTask):
    """An encoder and a decoder with their data: a task says how many values a pixel has, what is learnt and shown.

    `labels` has one entry, the map that is learnt.
    """

    labels: ClassVar[Sequence[str]] = ("semantic",)
    outputs: ClassVar[Sequence[str]] = ("logits",)
    adjustable: ClassVar[Sequence[str]] = ("resize", "window", "overlap", "scales", "flip_test")

    model: PixelNetwork
    within: tuple[int, int] | None = None
    """Height and width of the images of an exported network, into which all have to fit."""

    @classmethod
    def values_of(cls, facts: Mapping[str, Any]) -> int:
        """How many values a pixel has."""
        return len(facts["class_names"])

    @classmethod
    def backbone_options(cls, options: Any) -> dict[str, Any]:
        """The output stride, where one is chosen."""
        return {} if options.output_stride is None else {"output_stride": options.output_stride}

    @classmethod
    def network(cls, backbone: Backbone, options: Any, facts: Mapping[str, Any]) -> PixelNetwork:
        """The backbone with a decoder."""
        decoder = build_decoder(options.decoder, backbone.stages, cls.values_of(facts), options.channels)
        return PixelNetwork(cls.frozen(backbone, options), decoder)

    @classmethod
    def fixed(cls, network: Any, size: tuple[int, ...], facts: Mapping[str, Any]) -> Any:
        """Smaller images are filled up."""
        return FixedPixels(network, (size[0], size[1]))

    def forward(self, images: Tensor) -> Tensor:
        """`(N, C, H, W)` to logits `(N, K, H, W)`."""
        return self.model(images)

    def transform(self, train: bool) -> Transform:
        """Random views in training, the whole image in evaluation."""
        if train:
            return self.augmented()
        return WithTruth(pixel_eval_transform(self.preprocessing, self.options.resize, self.within))

    def augmented(self) -> PixelTransform:
        """The transform of training."""
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

    def fit(self, size: tuple[int, int] | None = None) -> tuple[int, int]:
        """By default the square of training, or what was cut out there."""
        self.within = size or self.options.crop or (self.preprocessing.size, self.preprocessing.size)
        return self.within

    def fitted(self) -> Transform:
        """Resizing where an image is too large, and zeros around it up to the size of the exported network."""
        return pixel_eval_transform(self.preprocessing, self.options.resize, self.within, padded=True)

    def activated(self, logits: Tensor) -> Tensor:
        """Logits `(N, K, H, W)` to the values whose mean counts where a pixel is seen several times."""
        return logits.float().softmax(1)

    def values(self, images: Tensor, targets: Mapping[str, Any]) -> Iterator[Tensor]:
        """For each image, in the size of its file, the values of its pixels `(K, height, width)`.

        They come one after the other, so that no more than a few are in memory.
        """
        wanted = iter(targets["original_size"])
        place = 0
        for (height, width), alike in groupby(tuple(map(int, size)) for size in targets["size_now"]):
            last = place + len(list(alike))
            count = max(1, TOGETHER // (height * width))
            while place < last:
                # An image beside larger ones has zeros around it, which it would not have alone.
                group = images[place : min(place + count, last), ..., :height, :width]
                place += len(group)
                for one in self.seen(group):
                    size = next(wanted)
                    yield resized(one[None], (int(size[0]), int(size[1])))[0]

    def seen(self, images: Tensor) -> Tensor:
        """Values `(N, K, H, W)` of images of one size, as the options of evaluation say."""
        options = self.options

        def whole(views: Tensor) -> Tensor:
            return self.activated(self(views))

        def pieces(views: Tensor) -> Tensor:
            if not options.window:
                return whole(views)
            return sliding_window(whole, views, options.window, options.overlap)

        return averaged(pieces, images, options.scales, options.flip_test)

    def constant(self, samples: Samples) -> Tensor:
        """The logits `(K,)` of all pixels that suit samples best: what is known without looking at an image."""
        raise NotImplementedError

    def numbers(self, evaluation: Evaluation) -> Table | None:
        """What a report tells in more detail."""
        return None

    def write_report(self, report: Report, evaluation: Evaluation, source: DataSource) -> None:
        """The numbers in detail, and images with what is true and what was found."""
        table = self.numbers(evaluation)
        if table is not None:
            report.add_table(table)
        report.add_section("Images")
        images, captions = [], []
        for index in range(min(SHOWN, len(source.val))):
            image, target = source.val[index]
            result = self.found_in(image, target)
            images += [
                self.draw_alone(image, target),
                self.draw_truth(image, target),
                self.draw_beside(image, result, target),
            ]
            captions += [f"image {index}", "true", "found"]
        report.add_images(images, captions, "Validation images, what is true of them, and what was found.", 3)
