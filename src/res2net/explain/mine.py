"""Regions mined from activation maps as label maps: weak labels of pixels from labels of whole images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from res2net.errors import InputError, check_choice
from res2net.explain.explained import ActivationMap, classifier_of, explained
from res2net.explain.masked import MaskedImages, known_classes
from res2net.explain.options import THRESHOLD, Keep, Method, Target, Truth
from res2net.images.decode import EXTENSIONS, image_header
from res2net.images.samples import UNLABELLED, Skipped
from res2net.images.sources import DataSource
from res2net.report import Column, Table
from res2net.report.images import as_image

BACKGROUND = "background"


@dataclass(frozen=True)
class Mined:
    """Label maps that were mined."""

    folder: Path
    class_names: Sequence[str]
    """The classes of pixels, the background first."""
    counts: Mapping[str, int]
    """The number of images of each split."""
    confusion: Mapping[str, NDArray[np.int64]]
    """For each split with true masks the number of pixels by true class (rows) and mined class (columns)."""
    labelled: Mapping[str, float]
    """The share of pixels that were labelled in each split that was mined."""
    validates_on: Truth
    left_out: Sequence[str] = field(default=())
    """Images that could not be read, or have no known class."""

    def iou(self, split: str) -> NDArray[np.float64]:
        """The IoU of each class in a split with true masks, over labelled pixels; NaN for a class without pixels."""
        pixels = self.confusion[split].astype(np.float64)
        union = pixels.sum(0) + pixels.sum(1) - pixels.diagonal()
        found: NDArray[np.float64] = np.divide(
            pixels.diagonal(), union, out=np.full(len(union), np.nan), where=union > 0
        )
        return found

    def table(self) -> Table:
        """The IoU of each class of the mined labels, and their mean, in percent."""
        splits = list(self.confusion)
        ious = {split: 100 * self.iou(split) for split in splits}
        rows: list[tuple[str | float, ...]] = [("mean (mIoU)", *(float(np.nanmean(ious[split])) for split in splits))]
        rows += [(name, *(float(ious[one][row]) for one in splits)) for row, name in enumerate(self.class_names)]
        return Table(
            "IoU of the mined labels with the true ones",
            (Column("class"), *(Column(split, "%", digits=1) for split in splits)),
            rows,
        )


def regions(
    heat: Tensor, thresholds: Sequence[float] = (THRESHOLD,), keep: Keep = "all", min_area: float = 0.0
) -> Tensor:
    """Find the region of an object in an activation map, uint8 `(H, W)`: 1 object, 0 background, 255 unlabelled.

    Args:
        heat: the map `(H, W)`, 0..1.
        thresholds: one: the object from it on, background below. Two: the object from the higher on, background below
            the lower, and unlabelled between.
        keep: which connected parts of the object are kept (neighbours touch at sides or corners); what is not becomes
            background, or unlabelled with two thresholds.
        min_area: smallest part that is kept, as a share of the image.

    Raises:
        InputError: there are no or too many thresholds, or they are not ascending between 0 and 1.
    """
    from scipy.ndimage import label as connected_parts

    check_choice("--keep", keep, Keep)
    limits = list(thresholds)
    if not 1 <= len(limits) <= 2 or sorted(set(limits)) != limits or not all(0 < limit <= 1 for limit in limits):
        raise InputError(f"Thresholds {limits} do not fit: give one, or two in ascending order, above 0 and at most 1.")
    hot = (heat >= limits[-1]).cpu().numpy()
    rest = UNLABELLED if len(limits) == 2 else 0
    found = np.where((heat >= limits[0]).cpu().numpy(), rest, 0).astype(np.uint8)
    parts, count = connected_parts(hot, np.ones((3, 3)))
    areas = np.bincount(parts.ravel(), minlength=count + 1)
    kept = np.flatnonzero(areas >= max(1, min_area * hot.size))
    kept = kept[kept > 0]
    if keep == "largest" and len(kept):
        kept = kept[[areas[kept].argmax()]]
    elif keep == "peak":
        kept = kept[kept == parts.ravel()[int(heat.argmax())]]
    found[np.isin(parts, kept)] = 1
    return torch.from_numpy(found)


def mine_regions(
    model: Any,
    source: DataSource,
    out: str | Path,
    *,
    method: Method = "gradcam",
    layer: str | None = None,
    target: Target = "true",
    thresholds: Sequence[float] = (THRESHOLD,),
    keep: Keep = "all",
    min_area: float = 0.0,
    validate_on: Truth = "true",
    class_map: Mapping[str, Sequence[str]] | None = None,
    accelerator: str = "auto",
    progress: Callable[[], Any] = lambda: None,
) -> Mined:
    """Write label maps that are mined from the activation maps of a classifier, as a data set for `segment`.

    The network sees whole images. Every class of an image has a map and a region in it; where regions overlap, the
    class with the higher map counts, and where no region is, the background. The folder has `images/` and `masks/`
    with `train/` and `val/`, and `classes.json`.

    Args:
        model: a trained classifier: what `res2net.load` returned, or its task.
        source: images to train and to validate on, with the classes of images, as of `Task.open`, or with masks, as of
            `open_masked`, of which only the classes are used, and the masks to compare.
        out: the folder to write, which must not exist.
        method: see `score_maps`; so are `layer`, `class_map`, `accelerator` and `progress`.
        layer: see there.
        target: "true" mines the classes that the data state, "predicted" the likeliest class.
        thresholds: see `regions`.
        keep: see there.
        min_area: see there.
        validate_on: "true" writes the true label maps of the validation images, where there are any.
        class_map: see `score_maps`.
        accelerator: see there.
        progress: see there.

    Raises:
        InputError: the folder exists, the network knows none of the classes, or no image of a split has a known one.
    """
    task = classifier_of(model)
    check_choice("target", target, Target)
    check_choice("validate_on", validate_on, Truth)
    regions(torch.zeros(1, 1), thresholds, keep, min_area)  # raises what is wrong with these before anything is done
    folder = Path(out)
    if folder.exists():
        raise InputError(f"{folder} exists: choose another name.")
    if not folder.absolute().parent.is_dir():
        raise InputError(f"There is no folder {folder.absolute().parent} for {folder.name}: create it.")
    known = known_classes(source.class_names, task.class_names, class_map)
    of_model = {index: label for label, indices in known.items() for index in indices}
    number = {label: position for position, label in enumerate(known, start=1)}
    names = [BACKGROUND, *(source.class_names[label] for label in known)]

    def choose(logits: Tensor, targets: Sequence[Mapping[str, Any]]) -> list[list[int]]:
        if target == "predicted":
            return [[index] if (index := int(one.argmax())) in of_model else [] for one in logits]
        found = []
        for scores, entry in zip(logits, targets, strict=True):
            lists = [known[label] for label in entry["labels"].tolist() if label in known]
            found.append([max(indices, key=lambda index: float(scores[index])) for indices in lists])
        return found

    counts: dict[str, int] = {}
    confusion: dict[str, NDArray[np.int64]] = {}
    labelled: dict[str, float] = {}
    left_out: list[str] = []
    with TemporaryDirectory(dir=folder.absolute().parent, prefix=f".{folder.name}-") as beside:
        made = Path(beside, "set")
        for split, samples in (("train", source.train), ("val", source.val)):
            images = MaskedImages(samples, source.class_names)
            writer = _Writer(made, split, images.paths)
            pixels, known_pixels, all_pixels = np.zeros((len(names),) * 2, dtype=np.int64), 0, 0
            maps_of = explained(
                task,
                images,
                choose,
                method=method,
                layer=layer,
                view="whole",
                bad_images=source.bad_images,
                accelerator=accelerator,
            )
            for index, (maps, _) in enumerate(maps_of):
                progress()
                if isinstance(maps, Skipped):
                    left_out.append(f"{maps.path} ({maps.reason})")
                    continue
                if not maps:
                    left_out.append(f"{writer.paths[index]} (no known class)")
                    continue
                image, entry = images[index]
                size = as_image(image).size[::-1]
                labels = [number[of_model[one.index]] for one in maps]
                mined = label_map(maps, labels, size, thresholds, keep, min_area)
                truth = _true_map(entry, number)
                if truth is not None:
                    counted = (mined != UNLABELLED) & (truth != UNLABELLED)
                    cells = truth[counted].astype(np.int64) * len(names) + mined[counted]
                    pixels += np.bincount(cells, minlength=pixels.size).reshape(pixels.shape)
                known_pixels, all_pixels = known_pixels + int((mined != UNLABELLED).sum()), all_pixels + mined.size
                use_truth = split == "val" and validate_on == "true" and truth is not None
                writer.write(index, image, truth if use_truth and truth is not None else mined)
            if not writer.count:
                raise InputError(f"No image of {split} has a class that the network knows: {left_out[0]}.")
            counts[split] = writer.count
            labelled[split] = known_pixels / all_pixels
            if pixels.any():
                confusion[split] = pixels
        (made / "classes.json").write_text(json.dumps(names, indent=1) + "\n", encoding="utf-8")
        made.rename(folder)
    validates_on: Truth = "true" if validate_on == "true" and "val" in confusion else "mined"
    return Mined(folder, names, counts, confusion, labelled, validates_on, left_out)


def label_map(
    maps: Sequence[ActivationMap],
    labels: Sequence[int],
    size: tuple[int, int],
    thresholds: Sequence[float],
    keep: Keep = "all",
    min_area: float = 0.0,
) -> NDArray[np.uint8]:
    """Join the regions of the maps of one image to a label map `(H, W)` of a size; 255 is unlabelled."""
    heats = F.interpolate(torch.stack([one.heat for one in maps])[None].float(), size, mode="bilinear")[0]
    found = torch.stack([regions(heat, thresholds, keep, min_area) for heat in heats])
    best = torch.where(found == 1, heats, -1.0).argmax(0)
    joined = torch.tensor(labels, dtype=torch.uint8)[best]
    joined[~(found == 1).any(0)] = 0
    joined[~(found == 1).any(0) & (found == UNLABELLED).any(0)] = UNLABELLED
    return joined.numpy()


def _true_map(entry: Mapping[str, Any], number: Mapping[int, int]) -> NDArray[np.uint8] | None:
    """The true label map `(H, W)`, in which smaller classes cover larger ones; None if it is not known."""
    if "masks" not in entry:
        return None
    masks, labels = entry["masks"].as_subclass(Tensor), entry["labels"].tolist()
    found = torch.zeros(masks.shape[1:], dtype=torch.uint8)
    for row in masks.flatten(1).sum(1).argsort(descending=True).tolist():
        found[masks[row]] = number.get(labels[row], UNLABELLED)
    found[entry["ignored"].as_subclass(Tensor)] = UNLABELLED
    return found.numpy()


class _Writer:
    """Writes the images and label maps of a split."""

    def __init__(self, root: Path, split: str, paths: Sequence[Any]) -> None:
        self.images, self.masks, self.paths, self.count = root / "images" / split, root / "masks" / split, paths, 0
        self._taken: set[str] = set()
        for folder in (self.images, self.masks):
            folder.mkdir(parents=True)

    def write(self, index: int, image: Any, labels: NDArray[np.uint8]) -> None:
        """Write an image, as its file is if that is upright, and its map."""
        path = Path(str(self.paths[index]))
        is_file = path.suffix.lower() in EXTENSIONS and path.is_file()
        stem = path.stem if is_file else f"{index:06d}"
        stem = f"{stem}_{index}" if stem in self._taken else stem
        self._taken.add(stem)
        if is_file and image_header(str(path))[1] == 1:
            shutil.copyfile(path, self.images / f"{stem}{path.suffix}")
        else:
            as_image(image).save(self.images / f"{stem}.png")
        Image.fromarray(labels).save(self.masks / f"{stem}.png")
        self.count += 1
