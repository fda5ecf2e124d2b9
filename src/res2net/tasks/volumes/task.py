"""Segmentation of volumes: the class of each voxel of a scan, by a 3-D network or slice by slice (2.5-D)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from res2net.export.exporter import EXPORTERS, Exporter
from res2net.images.sources import DataSource, open_source
from res2net.images.splits import DataSettings
from res2net.images.text import distinct_names
from res2net.images.transforms import Transform
from res2net.report import Column, Table
from res2net.task.base import TASKS, CreateBackbone, Evaluation, Scoring, Task
from res2net.task.inputs import Inputs
from res2net.task.maps import Constant
from res2net.tasks.volumes.folders import read_volumes
from res2net.tasks.volumes.network import VolumeNetwork
from res2net.tasks.volumes.nifti import Volume, needs_volumes
from res2net.tasks.volumes.options import VolumesOptions
from res2net.tasks.volumes.prepare import (
    PatchAugment,
    Patches,
    PrepareVolume,
    central_patch,
    resampled,
    usual_intensities,
    usual_spacing,
)
from res2net.tasks.volumes.result import LabelVolume, VolumeInputs
from res2net.tasks.volumes.synthetic import Bodies
from res2net.weights import Preprocessing

if TYPE_CHECKING:
    from torchmetrics import Metric

    from res2net.report import Report

WINDOWS = 4
"""Windows of a volume that the network sees at a time."""
SHOWN = 4
"""Volumes in a report."""


@TASKS.register("volumes")
class Volumes(Task):
    """A U-Net on patches in training and on overlapping windows in use; Dice and Hausdorff distance.

    Volumes are resampled to one spacing for the network, and the predicted classes to the voxels of the file.
    """

    name = "volumes"
    Options = VolumesOptions
    labels: ClassVar[tuple[str, ...]] = ("label_map",)
    """The entries of a target that it needs."""
    inputs: Inputs = VolumeInputs()
    fact_names = ("class_names", "spacing", "window")
    # It trains on patches, and validates on whole volumes.
    scoring = Scoring("dice", headline=("dice",), units={"hd95*": "mm"}, samples="samples")

    model: VolumeNetwork

    def __init__(
        self, model: VolumeNetwork, preprocessing: Preprocessing, options: VolumesOptions, facts: Mapping[str, Any]
    ) -> None:
        super().__init__(model, preprocessing, options, facts)
        self.inputs = VolumeInputs(window=self.window)

    @classmethod
    def open(cls, source: str | Path, settings: DataSettings | None = None, options: Any | None = None) -> DataSource:
        """Open a folder of volumes with label maps, or the synthetic volumes of the source "volumes"."""
        return open_source(source, settings, labels=cls.labels, reader=read_volumes)

    @classmethod
    def describe(cls, source: DataSource) -> dict[str, Any]:
        """The classes, and the usual spacing and the usual intensities of the training volumes."""
        low, high = usual_intensities(source.train)
        return {**super().describe(source), "spacing": list(usual_spacing(source.train)), "window": [low, high]}

    @classmethod
    def network(cls, create: CreateBackbone, options: Any, facts: Mapping[str, Any]) -> VolumeNetwork:
        """Construct the backbone, which sees several slices as its input channels, and a decoder."""
        backbone = create(num_classes=0, in_channels=options.slices)
        return VolumeNetwork(backbone, len(facts["class_names"]), channels=options.channels)

    @cached_property
    def patch(self) -> tuple[int, ...]:
        """Slices, height and width of a patch."""
        side = self.preprocessing.size
        return (self.options.depth or side, side, side)

    @property
    def spacing(self) -> Sequence[float]:
        """Distance of the voxels that the network sees, mm."""
        return self.options.spacing or self.facts["spacing"]

    @property
    def window(self) -> tuple[float, float]:
        """The lowest and the highest intensity that matter."""
        low, high = self.options.window or self.facts["window"]
        return float(low), float(high)

    def forward(self, volumes: Tensor) -> Tensor:
        """Map `(N, 1, D, H, W)` to logits `(N, classes, D, H, W)`."""
        return self.model(volumes)

    @cached_property
    def criterion(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The soft Dice loss of all classes over the batch plus cross entropy (Isensee et al., 2021)."""
        with needs_volumes():
            from monai.losses.dice import DiceCELoss
        return DiceCELoss(to_onehot_y=True, softmax=True, batch=True)

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """Soft Dice loss plus cross entropy, as one."""
        return {"loss": self.criterion(self(images).float(), targets["label_map"][:, None])}

    def metric(self) -> Metric:
        """Dice, and the 95 % Hausdorff distance."""
        from res2net.tasks.volumes.metric import VolumeScores

        return VolumeScores(self.class_names)

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """For each volume its `dice`, the mean over its classes."""
        from res2net.tasks.volumes.metric import volume_dice

        dice = []
        for found, truth, volume in zip(
            self.label_maps(images, targets), targets["truth"], targets["volume"], strict=True
        ):
            metric.update(found, truth.cpu(), volume.spacing)
            dice.append(volume_dice(found, truth, len(self.class_names)).nanmean().nan_to_num(1.0))
        return {"dice": torch.stack(dice)}

    def label_maps(self, images: Tensor, targets: Mapping[str, Any]) -> list[Tensor]:
        """The class of each voxel of the file of each volume, `(D, H, W)` uint8, on the CPU."""
        with needs_volumes():
            from monai.inferers.utils import sliding_window_inference
        # An exported network takes patches of one shape.
        by_slice = isinstance(self.model, VolumeNetwork) and self.model.backbone.dims == 2
        found = []
        for image, now, original in zip(images, targets["size_now"], targets["original_size"], strict=True):
            depth, height, width = now
            logits = sliding_window_inference(
                image[None, :, :depth, :height, :width],
                # Slices that are seen one by one need no window along them.
                (depth, *self.patch[1:]) if by_slice else self.patch,
                WINDOWS,
                self,
                overlap=self.options.overlap,
                mode="gaussian",
                cval=self.prepare().lowest,
            )
            found.append(resampled(logits[0].float(), original).argmax(0).to("cpu", torch.uint8))
        return found

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> list[LabelVolume]:
        """The class of each voxel of each volume, in the voxels of its file."""
        assert targets is not None
        return [
            LabelVolume(label_map, volume, self.class_names, self.window)
            for label_map, volume in zip(self.label_maps(images, targets), targets["volume"], strict=True)
        ]

    def truth(self, image: Volume, target: Mapping[str, Any]) -> LabelVolume:
        """The true class of each voxel."""
        return LabelVolume(target["label_map"], image.without_voxels(), self.class_names, self.window)

    def prepare(self, *, truth: bool = False) -> PrepareVolume:
        """The transform to one spacing and one range of intensities."""
        mean, std = self.preprocessing.mean[0], self.preprocessing.std[0]
        return PrepareVolume(self.spacing, self.window, mean=mean, std=std, truth=truth)

    def transform(self, train: bool) -> Transform:
        """The whole volume; patches are cut out by `datasets`."""
        return self.prepare(truth=not train)

    def datasets(self, source: DataSource) -> tuple[Any, Any]:
        """Random patches to train on, and whole volumes to validate on."""
        volumes, val = super().datasets(source)
        options = self.options
        augment = PatchAugment(options.flip, options.jitter, options.noise)
        lowest = self.prepare().lowest
        return Patches(volumes, self.patch, options.patches, options.foreground, lowest, augment), val

    def write_report(self, report: Report, evaluation: Evaluation, source: DataSource) -> None:
        """Dice and Hausdorff distance of each class, and some volumes with the ground truth and the prediction."""
        metrics = evaluation.metrics
        columns = (Column("class"), Column("Dice", "%", digits=1), Column("95 % Hausdorff distance", "mm", digits=1))
        keys = distinct_names(self.class_names)[1:]
        rows = [(key, metrics[f"dice_{key}"], metrics[f"hd95_{key}"]) for key in keys]
        report.add_table(Table("Classes, means over volumes", columns, rows))
        report.add_section("Volumes")
        images, captions = [], []
        for index in range(min(SHOWN, len(source.val))):
            volume, target = source.val[index]
            truth = self.truth(volume, target)
            images += [truth.panel(volume, truth), self.predict_sample(volume, target).panel(volume, truth)]
            captions += [f"volume {index}: true", f"volume {index}: found"]
        caption = "Slices through the last class that is there, from above, from the front and from the side."
        report.add_images(images, captions, caption, 2)


@EXPORTERS.register("volumes")
class VolumesExporter(Exporter):
    """A network that sees one patch of a volume; the task cuts volumes into windows of that shape."""

    required_facts = ("spacing", "window")

    task: Volumes

    def set_size(self, size: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Set (slices,) height and width of a patch, by default those of training; returns all three."""
        if size is not None:
            depth = () if len(size) == 3 else (self.task.options.depth or size[0],)
            self.task.patch = (*depth, *size)
        return self.task.patch

    def transform(self) -> Callable[[Volume], Tensor]:
        """The central patch of a volume, `(1, *patch)`."""
        prepare, shape = self.task.prepare(), self.task.patch
        return lambda volume: central_patch(prepare(volume, {})[0], shape, prepare.lowest)

    def examples(self, count: int) -> Iterable[Volume]:
        """Synthetic volumes."""
        bodies = Bodies(count)
        return (bodies[index][0] for index in range(count))


def constant(untrained: Task, source: DataSource) -> dict[str, Task]:
    """A baseline for recipes: the largest class but the background, which would have a Dice of 0, for every voxel."""
    counts = torch.zeros(len(source.class_names), dtype=torch.int64)
    for index in range(len(source.train)):
        _, target = source.train[index]
        counts += target["label_map"].flatten().bincount(minlength=len(counts))
    largest = 1 + int(counts[1:].argmax())
    values = torch.zeros(len(counts)).index_fill_(0, torch.tensor(largest), 1.0)
    return {"constant": type(untrained)(Constant(values), untrained.preprocessing, untrained.options, untrained.facts)}
