"""Image-to-image translation: an image is made of an image (pix2pix, Isola et al., CVPR 2017)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchmetrics import Metric

from res2net.backbones.base import Backbone
from res2net.errors import check_range
from res2net.images.samples import Samples
from res2net.images.sources import DataSource
from res2net.images.transforms import Transform
from res2net.report import Column, Report, image_rows
from res2net.report.images import as_image
from res2net.report.tables import Cell
from res2net.task.base import Evaluation, register_task
from res2net.task.truth import WithTruth
from res2net.tasks.pixels.base import SHOWN, PixelTask
from res2net.tasks.pixels.data.pixel_transforms import pixel_eval_transform
from res2net.tasks.pixels.heads.windows import sliding_window
from res2net.tasks.translate.data import PAIR_NAMES, Backwards, PairTransform, unit
from res2net.tasks.translate.discriminator import PatchDiscriminator, adversarial_loss
from res2net.tasks.translate.generator import Generator, ImageDecoder
from res2net.tasks.translate.metric import ImageSimilarity
from res2net.tasks.translate.options import TranslateOptions
from res2net.tasks.translate.perceptual import PerceptualDistance, perceptual_distance
from res2net.weights import Preprocessing, atomic_write

__all__ = ["Translate", "TranslateOptions"]

CHANNELS = 3
"""Of the images that are made."""


@register_task
class Translate(PixelTask):
    """A generator, which is what a checkpoint holds, and in training a discriminator that it learns to deceive."""

    name = "translate"
    Options = TranslateOptions
    labels = PAIR_NAMES
    adjustable = ("window", "overlap")
    monitor = "SSIM"
    outputs = ("image",)
    result_name = "translation"
    columns = (Column("size", "pixels"),)

    model: Generator
    discriminator: PatchDiscriminator | None
    """In training alone, as what follows."""
    perceptual: PerceptualDistance | None

    def __init__(self, model: nn.Module, preprocessing: Preprocessing, options: Any, facts: Mapping[str, Any]) -> None:
        super().__init__(model, preprocessing, options, facts)
        self.register_module("discriminator", None)
        self.register_module("perceptual", None)

    @classmethod
    def backbone_options(cls, options: Any) -> dict[str, Any]:
        """Nothing: the generator doubles its maps up to the image's resolution, whatever their strides."""
        return {}

    @classmethod
    def network(cls, backbone: Backbone, options: Any, facts: Mapping[str, Any]) -> Generator:
        """The generator on a backbone."""
        return Generator(backbone, ImageDecoder(backbone.stages, CHANNELS, skips=options.skips))

    @classmethod
    def build(
        cls, create: Callable[..., Backbone], source: DataSource, preprocessing: Preprocessing, options: Any
    ) -> Self:
        """A fresh generator, and beside it what it learns from."""
        if options.adversarial:
            # The discriminator sees an eighth of it, and instance normalisation needs more than one value.
            check_range("size (with a discriminator)", preprocessing.size, 16)
        task = super().build(create, source, preprocessing, options)
        if options.adversarial:
            channels = len(preprocessing.mean) + CHANNELS
            task.discriminator = PatchDiscriminator(channels, options.discriminator_channels)
        if options.perceptual:
            task.perceptual = perceptual_distance(options.perceptual_weights, options.perceptual_model)
        return task

    def learners(self) -> Sequence[nn.Module]:
        """The generator, then the discriminator."""
        return (self.model,) if self.discriminator is None else (self.model, self.discriminator)

    def turns(self, images: Tensor, targets: Mapping[str, Any]) -> Iterator[dict[str, Tensor]]:
        """The losses of the generator, and of the discriminator those for the same images."""
        real, made = targets["image"], self.model(images)
        yield self.generator_losses(images, made, real)
        if self.discriminator is not None:
            kind, given = self.options.adversarial_loss, images
            # Half of each, which slows it down beside the generator (section 3.3 of pix2pix).
            yield {
                "discriminator_real": adversarial_loss(kind, self.discriminator(given, real), real=True) / 2,
                "discriminator_made": adversarial_loss(kind, self.discriminator(given, made.detach()), real=False) / 2,
            }

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """Those of the generator."""
        return self.generator_losses(images, self.model(images), targets["image"])

    def generator_losses(self, images: Tensor, made: Tensor, real: Tensor) -> dict[str, Tensor]:
        """How far what was made of images is from what is real, in each of the ways that were chosen."""
        options = self.options
        losses = {"l1": options.l1 * F.l1_loss(made, real)}
        if self.discriminator is not None:
            verdicts = self.discriminator(images, made)
            losses["adversarial"] = options.adversarial * adversarial_loss(
                options.adversarial_loss, verdicts, real=True
            )
        if self.perceptual is not None:
            losses["perceptual"] = options.perceptual * self.perceptual(made, real)
        return losses

    def metric(self) -> Metric:
        """SSIM, PSNR, and VIF as a perceptual one that needs no weights."""
        return ImageSimilarity()

    def unit(self, metric: str) -> str:
        """PSNR is in decibels."""
        return "dB" if metric == "PSNR" else super().unit(metric)

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """For each image its `l1`, the mean absolute difference in 0 ... 1."""
        losses = []
        for made, truth in zip(self.values(images, targets), targets["truth"], strict=True):
            real = unit(truth["image"]).to(made.device)
            metric.update(made, real)
            losses.append(F.l1_loss(made, real))
        return {"l1": torch.stack(losses)}

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> list[Any]:
        """What is made of each image, uint8 `(height, width, 3)`, in the size of its file."""
        assert targets is not None
        made = self.values(images, targets)
        return [one.mul(255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy() for one in made]

    def activated(self, logits: Tensor) -> Tensor:
        """As it is: the generator gives images."""
        return logits.float()

    def seen(self, images: Tensor) -> Tensor:
        """What is made of images of one size, piece by piece where they are large and that is chosen."""
        if not self.options.window:
            return self.activated(self(images))
        return sliding_window(
            lambda pieces: self.activated(self(pieces)), images, self.options.window, self.options.overlap
        )

    def datasets(self, source: DataSource) -> tuple[Any, Any]:
        """The samples, in the direction that was chosen."""
        return super().datasets(self.directed(source))

    def directed(self, source: DataSource) -> DataSource:
        """The source, with its pairs turned round where that is chosen."""
        if self.options.direction == "forward":
            return source
        return replace(source, train=Backwards(source.train), val=Backwards(source.val))

    def transform(self, train: bool) -> Transform:
        """Random cuts of a square in training; in evaluation images as they are."""
        size = (self.preprocessing.size, self.preprocessing.size)
        if train:
            return PairTransform(self.preprocessing, size, enlarge=self.options.enlarge, flip=self.options.flip)
        return WithTruth(pixel_eval_transform(self.preprocessing, within=self.within))

    def fit(self, size: tuple[int, int] | None = None) -> tuple[int, int]:
        """By default the square of training."""
        self.within = size or (self.preprocessing.size, self.preprocessing.size)
        return self.within

    def fitted(self) -> Transform:
        """Resizing where an image is too large, and zeros around it up to the size of the exported network."""
        return pixel_eval_transform(self.preprocessing, within=self.within, padded=True)

    def tabulate(self, result: Any) -> Sequence[Sequence[Cell]]:
        """Its size."""
        return [(f"{result.shape[1]} x {result.shape[0]}",)]

    def described(self, result: Any) -> dict[str, int]:
        """`width` and `height`: the image itself is written by `save`."""
        return {"width": int(result.shape[1]), "height": int(result.shape[0])}

    def save(self, result: Any, stem: Path) -> list[Path]:
        """A PNG of the image."""
        path = stem.with_name(f"{stem.name}-translated.png")
        atomic_write(path, lambda file: Image.fromarray(result).save(file, "PNG"))
        return [path]

    def draw(self, image: Image.Image, result: Any) -> Image.Image:
        """The image, and beside it what was made of it."""
        sheet = Image.new("RGB", (2 * image.width, image.height))
        sheet.paste(image, (0, 0))
        sheet.paste(Image.fromarray(result), (image.width, 0))
        return sheet

    def images(self, source: DataSource) -> Samples:
        """The validation pairs, in the direction that was chosen."""
        return self.directed(source).val

    def draw_beside(self, image: Any, result: Any, target: Mapping[str, Any]) -> Image.Image:
        """What was made of the image."""
        return Image.fromarray(result)

    def draw_truth(self, image: Any, target: Mapping[str, Any]) -> Image.Image:
        """The other image of the pair."""
        return as_image(target["image"])

    def write_report(self, report: Report, evaluation: Evaluation, source: DataSource) -> None:
        """Validation images, what was made of them, and what is true."""
        pairs = self.images(source)
        rows = []
        for image, target in (pairs[index] for index in range(min(SHOWN, len(pairs)))):
            made = Image.fromarray(self.found_in(image, target))
            rows.append([as_image(image), made, as_image(target["image"])])
        report.add_section("Images")
        figure = image_rows(rows, ("input", "made of it", "true"))
        report.add_figure(figure, "Validation images, what was made of them, and what is true.")
