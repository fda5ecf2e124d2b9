"""Image-to-image translation: an image is made of an image (pix2pix, Isola et al., CVPR 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res2net.errors import check_range
from res2net.export.exporter import EXPORTERS
from res2net.images.sources import DataSource
from res2net.images.splits import DataSettings
from res2net.images.transforms import Transform
from res2net.report.images import as_image
from res2net.task.base import TASKS, CreateBackbone, Evaluation, Scoring, Task, Turn
from res2net.tasks.pixels.base import SHOWN, PixelTask, without_looking
from res2net.tasks.pixels.exporter import PixelExporter
from res2net.tasks.pixels.transforms import PixelTransform, pixel_eval_transform
from res2net.tasks.translate.data import PAIR_NAMES, Backwards, PairTransform, read_pairs, unit
from res2net.tasks.translate.network import Generator, ImageDecoder, PatchDiscriminator, adversarial_loss
from res2net.tasks.translate.options import TranslateOptions
from res2net.tasks.translate.perceptual import PerceptualDistance, perceptual_distance
from res2net.tasks.translate.result import TranslatedImage
from res2net.weights import Preprocessing

if TYPE_CHECKING:
    from torchmetrics import Metric

    from res2net.report import Report

CHANNELS = 3
"""Channels of the images that are made."""
SMALLEST = 16
"""Least side of images with a discriminator: it sees an eighth of it, and instance normalisation needs more than one
value."""


@TASKS.register("translate")
class Translate(PixelTask):
    """A generator, which is what a checkpoint holds, and in training a discriminator that it learns to deceive."""

    name = "translate"
    Options = TranslateOptions
    labels = PAIR_NAMES
    reader = staticmethod(read_pairs)
    scoring = Scoring("SSIM", units={"PSNR": "dB"})

    model: Generator
    discriminator: PatchDiscriminator | None
    """In training alone."""
    perceptual: PerceptualDistance | None
    """In training alone."""

    def __init__(self, model: nn.Module, preprocessing: Preprocessing, options: Any, facts: Mapping[str, Any]) -> None:
        # There are no classes; checkpoints of earlier versions give PAIR_NAMES another name.
        super().__init__(model, preprocessing, options, {**facts, "class_names": list(PAIR_NAMES)})
        self.register_module("discriminator", None)
        self.register_module("perceptual", None)
        self._made: Tensor | None = None

    @classmethod
    def open(cls, source: str | Path, settings: DataSettings | None = None, options: Any | None = None) -> DataSource:
        """Open a folder of pairs, or the source "shapes-masks", in the direction of the options."""
        pairs = super().open(source, settings)
        if options is None or options.direction == "forward":
            return pairs
        return replace(pairs, train=Backwards(pairs.train), val=Backwards(pairs.val))

    @classmethod
    def network(cls, create: CreateBackbone, options: Any, facts: Mapping[str, Any]) -> Generator:
        """Make the generator on a backbone of any strides: its decoder doubles maps up to the image's resolution."""
        backbone = create(num_classes=0)
        return Generator(backbone, ImageDecoder(backbone.stages, CHANNELS, skips=options.skips))

    @classmethod
    def build(cls, create: CreateBackbone, source: DataSource, preprocessing: Preprocessing, options: Any) -> Self:
        """Make the generator, and the networks of its losses."""
        if options.adversarial:
            check_range("size (with a discriminator)", preprocessing.size, SMALLEST)
        task = super().build(create, source, preprocessing, options)
        if options.adversarial:
            channels = len(preprocessing.mean) + CHANNELS
            task.discriminator = PatchDiscriminator(channels, options.discriminator_channels)
        if options.perceptual:
            task.perceptual = perceptual_distance(options.perceptual_weights, options.perceptual_model)
        return task

    def turns(self) -> Sequence[Turn]:
        """The generator, then the discriminator, which learns from the images that the generator made of the batch."""
        generator = Turn(self.model, self.losses)
        if self.discriminator is None:
            return (generator,)
        return generator, Turn(self.discriminator, self.discriminator_losses)

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """The losses of the generator."""
        made = self.model(images)
        if self.discriminator is not None:
            self._made = made.detach()
        return self.generator_losses(images, made, targets["image"])

    def generator_losses(self, images: Tensor, made: Tensor, real: Tensor) -> dict[str, Tensor]:
        """The distance of the images that were made from the real ones, in each of the ways that were chosen."""
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

    def discriminator_losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """The losses of the discriminator on a batch of which `losses` made images just before."""
        assert self.discriminator is not None
        assert self._made is not None
        made, self._made = self._made, None
        kind = self.options.adversarial_loss
        # Half of each, which slows it down beside the generator (section 3.3 of pix2pix).
        return {
            "discriminator_real": adversarial_loss(kind, self.discriminator(images, targets["image"]), real=True) / 2,
            "discriminator_made": adversarial_loss(kind, self.discriminator(images, made), real=False) / 2,
        }

    def metric(self) -> Metric:
        """SSIM, PSNR, and VIF as a perceptual measure that needs no weights."""
        from res2net.tasks.translate.metric import ImageSimilarity

        return ImageSimilarity()

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """For each image its `l1`, the mean absolute difference in 0 ... 1."""
        losses = []
        for made, truth in zip(self.values(images, targets), targets["truth"], strict=True):
            real = unit(truth["image"]).to(made.device)
            metric.update(made, real)
            losses.append(F.l1_loss(made, real))
        return {"l1": torch.stack(losses)}

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> list[TranslatedImage]:
        """The image that is made of each image, in the size of its file."""
        assert targets is not None
        made = self.values(images, targets)
        return [TranslatedImage(one.mul(255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()) for one in made]

    def truth(self, image: Any, target: Mapping[str, Any]) -> TranslatedImage:
        """The other image of the pair."""
        return TranslatedImage(np.asarray(as_image(target["image"])))

    def activate(self, logits: Tensor) -> Tensor:
        """The images themselves: the generator has its own activation."""
        return logits.float()

    def averaged_values(self, images: Tensor) -> Tensor:
        """The images that are made of images of one size."""
        return self.windowed_values(images)

    @property
    def crop(self) -> tuple[int, int]:
        """Height and width of what is seen of a pair in training."""
        return self.preprocessing.size, self.preprocessing.size

    def transform(self, train: bool) -> Transform:
        """Random crops of a square in training; in evaluation images as they are."""
        if train:
            return PairTransform(self.preprocessing, self.crop, enlarge=self.options.enlarge, flip=self.options.flip)
        return super().transform(False)

    def eval_transform(self, *, padded: bool = False) -> PixelTransform:
        """Images as they are, for an exported network resized where they are too large, and `padded` with zeros."""
        return pixel_eval_transform(self.preprocessing, within=self.fixed_size, padded=padded)

    def write_report(self, report: Report, evaluation: Evaluation, source: DataSource) -> None:
        """Validation images, the images that were made of them, and the true ones."""
        from res2net.report import image_rows  # matplotlib takes time to import

        rows = []
        for image, target in (source.val[index] for index in range(min(SHOWN, len(source.val)))):
            made = self.predict_sample(image, target).panel(image)
            rows.append([as_image(image), made, self.truth(image, target).panel(image)])
        report.add_section("Images")
        figure = image_rows(rows, ("input", "made of it", "true"))
        report.add_figure(figure, "Validation images, the images that were made of them, and the true ones.")


def copied(untrained: Task, source: DataSource) -> dict[str, Task]:
    """A baseline for recipes: the task with a network that returns its input."""
    return without_looking(untrained, "copy", Copy(untrained.preprocessing))


class Copy(nn.Module):
    """Undoes the normalisation of images."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        # The device of a task is that of its parameters.
        self.mean, self.std = (
            nn.Parameter(torch.tensor(values).view(-1, 1, 1), requires_grad=False)
            for values in (preprocessing.mean, preprocessing.std)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to the same with values from 0 to 1."""
        return (images * self.std + self.mean).clamp(0, 1)


@EXPORTERS.register("translate")
class TranslateExporter(PixelExporter):
    """A generator of images of one size; smaller images are padded, larger ones are resized."""

    outputs = ("image",)

    task: Translate

    def restore(self, network: nn.Module, outputs: Sequence[str], size: tuple[int, ...]) -> None:
        """Put an exported network into the place of the task's model; files of earlier versions name it "picture"."""
        super().restore(network, self.outputs if list(outputs) == ["picture"] else outputs, size)
