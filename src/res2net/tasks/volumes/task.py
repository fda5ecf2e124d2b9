"""Segmentation of volumes: the class of each voxel of a scan, by a network of three dimensions or by slices (2.5-D)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchmetrics import Metric

from res2net.backbones.base import Backbone
from res2net.images.samples import Transformed
from res2net.images.sources import DataSource
from res2net.images.transforms import Transform
from res2net.report import Column, Report, Table
from res2net.report.tables import Cell
from res2net.task.base import Evaluation, register_task
from res2net.task.headed import HeadedTask
from res2net.tasks.volumes.data import Patches, PrepareVolume, Volume, list_volumes, read_volume, write_label_map
from res2net.tasks.volumes.data.nifti import ENDINGS, needs_volumes
from res2net.tasks.volumes.data.patches import PatchAugment, central_patch
from res2net.tasks.volumes.data.prepare import resampled, usual_intensities, usual_spacing
from res2net.tasks.volumes.drawing import crossing, draw_volume
from res2net.tasks.volumes.drawn.bodies import Bodies
from res2net.tasks.volumes.metric import VolumeScores, volume_dice
from res2net.tasks.volumes.network import VolumeNetwork
from res2net.tasks.volumes.options import VolumesOptions

__all__ = ["Volumes", "VolumesOptions"]

WINDOWS = 4
"""Windows of a volume that the network sees at a time."""
SHOWN = 4
"""Volumes in a report."""


@register_task
class Volumes(HeadedTask):
    """A U-Net on patches in training and in overlapping windows in use; Dice and Hausdorff distance.

    Volumes are resampled to one spacing for the network, and what it finds is brought back to their own voxels.
    """

    name = "volumes"
    Options = VolumesOptions
    labels = ("label_map",)
    monitor = "dice"
    headline = ("dice",)
    source_name = "volumes"
    sample_name = "samples"  # patches to train on, and whole volumes to validate on
    example_file = "PATH/TO/VOLUME.nii.gz"
    dims = (2, 3)
    outputs = ("logits",)
    adjustable = ("overlap",)
    result_name = "classes"
    columns = (Column("class"), Column("volume", "ml", digits=1), Column("voxels"))

    model: VolumeNetwork
    known_facts = ("class_names", "spacing", "window")

    @classmethod
    def facts(cls, source: DataSource) -> dict[str, Any]:
        """The classes, and the spacing and the intensities that the training volumes have."""
        low, high = usual_intensities(source.train)
        return {
            "class_names": list(source.class_names),
            "spacing": list(usual_spacing(source.train)),
            "window": [low, high],
        }

    @classmethod
    def backbone_options(cls, options: Any) -> dict[str, Any]:
        """As many input channels as slices are seen together."""
        return {"in_channels": options.slices}

    @classmethod
    def network(cls, backbone: Backbone, options: Any, facts: Mapping[str, Any]) -> VolumeNetwork:
        """The backbone with a decoder."""
        return VolumeNetwork(backbone, len(facts["class_names"]), channels=options.channels)

    @classmethod
    def alone(cls) -> str:
        """What a backbone cannot do."""
        return "knows no voxels"

    @cached_property
    def patch(self) -> tuple[int, ...]:
        """Slices, height and width of a patch."""
        side = self.preprocessing.size
        return (self.options.depth or side, side, side)

    @property
    def spacing(self) -> Sequence[float]:
        """Distance of the voxels that the network sees, mm."""
        return self.options.spacing or self.known["spacing"]

    @property
    def window(self) -> tuple[float, float]:
        """The intensities that matter."""
        low, high = self.options.window or self.known["window"]
        return float(low), float(high)

    @property
    def by_slice(self) -> bool:
        """Whether the network sees slice by slice; one that was exported takes patches of one shape alone."""
        return isinstance(self.model, VolumeNetwork) and self.backbone.dims == 2

    def forward(self, volumes: Tensor) -> Tensor:
        """`(N, 1, D, H, W)` to logits `(N, classes, D, H, W)`."""
        return self.model(volumes)

    @cached_property
    def criterion(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Soft Dice of all classes over the batch, plus cross entropy (Isensee et al., 2021)."""
        with needs_volumes():
            from monai.losses.dice import DiceCELoss
        return DiceCELoss(to_onehot_y=True, softmax=True, batch=True)

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """Dice loss plus cross entropy."""
        return {"loss": self.criterion(self(images).float(), targets["label_map"][:, None])}

    def metric(self) -> Metric:
        """Dice, and the 95 % Hausdorff distance."""
        return VolumeScores(self.class_names)

    def unit(self, metric: str) -> str:
        """Distances are in mm."""
        return "mm" if metric.startswith("hd95") else "%"

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """For each volume its `dice`, the mean over its classes."""
        dice = []
        for found, truth, volume in zip(
            self.label_maps(images, targets), targets["truth"], targets["volume"], strict=True
        ):
            metric.update(found, truth.cpu(), volume.spacing)
            dice.append(volume_dice(found, truth, len(self.class_names)).nanmean().nan_to_num(1.0))
        return {"dice": torch.stack(dice)}

    def label_maps(self, images: Tensor, targets: Mapping[str, Any]) -> list[Tensor]:
        """For each volume the classes of the voxels of its file, `(D, H, W)` uint8, on the processor."""
        with needs_volumes():
            from monai.inferers.utils import sliding_window_inference
        found = []
        for image, now, before in zip(images, targets["size_now"], targets["original_size"], strict=True):
            depth, height, width = now
            logits = sliding_window_inference(
                image[None, :, :depth, :height, :width],
                # Slices that are seen one by one need no window along them.
                (depth, *self.patch[1:]) if self.by_slice else self.patch,
                WINDOWS,
                self,
                overlap=self.options.overlap,
                mode="gaussian",
                cval=self.prepare().lowest,
            )
            found.append(resampled(logits[0].float(), before).argmax(0).to("cpu", torch.uint8))
        return found

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """For each volume its `label_map` `(D, H, W)`, where it lies (`volume`), and how much each class takes up."""
        assert targets is not None
        results = []
        for label_map, volume in zip(self.label_maps(images, targets), targets["volume"], strict=True):
            counts = label_map.flatten().bincount(minlength=len(self.class_names)).tolist()
            millilitres = float(torch.tensor(volume.spacing, dtype=torch.float64).prod()) / 1000
            classes = [
                {"class": name, "voxels": count, "millilitres": count * millilitres}
                for name, count in zip(self.class_names, counts, strict=True)
            ]
            results.append({"label_map": label_map, "volume": volume, "classes": classes[1:]})
        return results

    def described(self, result: Any) -> Any:
        """How much there is of each class."""
        return result["classes"]

    def save(self, result: Any, stem: Path) -> list[Path]:
        """The classes of the voxels, in a NIfTI file with the affine of the scan's."""
        path = stem.with_name(stem.name + ENDINGS[0])
        write_label_map(path, result["label_map"], result["volume"])
        return [path]

    def prepare(self, *, truth: bool = False) -> PrepareVolume:
        """One spacing and one range of intensities."""
        mean, std = self.preprocessing.mean[0], self.preprocessing.std[0]
        return PrepareVolume(self.spacing, self.window, mean=mean, std=std, truth=truth)

    def transform(self, train: bool) -> Transform:
        """The whole volume; patches are cut out by `datasets`."""
        return self.prepare(truth=not train)

    def datasets(self, source: DataSource) -> tuple[Any, Any]:
        """Random patches to train on, and whole volumes to validate on."""
        volumes, val = source.transformed(self.transform(True), self.transform(False))
        options = self.options
        patches = Patches(
            volumes,
            self.patch,
            per_volume=options.patches,
            foreground=options.foreground,
            lowest=self.prepare().lowest,
            augment=PatchAugment(options.flip, options.jitter, options.noise),
        )
        return patches, Transformed(val.dataset, val.transform, val.bad_images)

    def fit(self, size: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Take patches of that (slices,) height and width; by default those of the training. Gives all three."""
        if size is not None:
            depth = () if len(size) == 3 else (self.options.depth or size[0],)
            self.patch = (*depth, *size)
        return self.patch

    def fitted(self) -> Callable[[Volume], Tensor]:
        """From a volume to the patch in its middle, `(1, *patch)`."""
        return partial(middle, prepare=self.prepare(), shape=self.patch)

    @classmethod
    def list_files(cls, path: str | Path) -> list[Path]:
        """A NIfTI file, or all below a folder."""
        return list_volumes(path)

    @classmethod
    def read_file(cls, path: str | Path) -> Volume:
        """The scan in a NIfTI file."""
        return read_volume(path)

    @classmethod
    def drawn(cls, count: int) -> Iterable[Volume]:
        """Drawn volumes."""
        bodies = Bodies(count)
        return (bodies[index][0] for index in range(count))

    def tabulate(self, result: Any) -> Sequence[Sequence[Cell]]:
        """How much there is of each class."""
        return [(one["class"], one["millilitres"], one["voxels"]) for one in result["classes"]]

    def draw(self, image: Volume, result: Any) -> Image.Image:
        """Three slices at right angles, and below them the same with what was found."""
        return self.slices_of(image, result["label_map"])

    def slices_of(self, volume: Volume, label_map: Tensor, place: Sequence[int] | None = None) -> Image.Image:
        """Three slices, and below them the same with classes; they cross in a place, or where most of a class is."""
        return draw_volume(volume.voxels, volume.spacing, label_map, self.class_names, self.window, place)

    def draw_alone(self, image: Any, target: Mapping[str, Any]) -> Image.Image:
        """The slices without any class."""
        return self.slices_of(image, torch.zeros(image.voxels.shape, dtype=torch.uint8), shown_place(image, target))

    def draw_beside(self, image: Any, result: Any, target: Mapping[str, Any]) -> Image.Image:
        """The slices in which most is there, or those in the middle, whatever was found."""
        return self.slices_of(image, result["label_map"], shown_place(image, target))

    def draw_truth(self, image: Any, target: Mapping[str, Any]) -> Image.Image:
        """The same of what is true."""
        return self.draw_beside(image, target, target)

    def write_report(self, report: Report, evaluation: Evaluation, source: DataSource) -> None:
        """Dice and distance of each class, and volumes with what is true and what was found."""
        metrics = evaluation.metrics
        columns = (Column("class"), Column("Dice", "%", digits=1), Column("95 % Hausdorff distance", "mm", digits=1))
        rows = [(name, metrics[f"dice_{name}"], metrics[f"hd95_{name}"]) for name in self.class_names[1:]]
        report.add_table(Table("Classes, means over volumes", columns, rows))
        report.add_section("Volumes")
        images, captions = [], []
        for index in range(min(SHOWN, len(source.val))):
            volume, target = source.val[index]
            result = self.found_in(volume, target)
            images += [self.draw_truth(volume, target), self.draw_beside(volume, result, target)]
            captions += [f"volume {index}: true", f"volume {index}: found"]
        told = "Slices through the last class that is there, from above, front, side."
        report.add_images(images, captions, told, 2)


def middle(volume: Volume, prepare: PrepareVolume, shape: Sequence[int]) -> Tensor:
    """The patch in the middle of a volume as a network sees it."""
    return central_patch(prepare(volume, {})[0], shape, prepare.lowest)


def shown_place(volume: Volume, target: Mapping[str, Any]) -> tuple[int, int, int]:
    """Where the slices cross that are shown of a volume, by what is true; the middle where nothing is known."""
    return crossing(target.get("label_map", torch.zeros(volume.voxels.shape, dtype=torch.uint8)))
