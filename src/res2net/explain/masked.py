"""Images with the masks of the classes in them, from objects, label maps, or classes of images alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from res2net.errors import InputError, check_choice, listed
from res2net.images.samples import UNLABELLED, Sample, Samples
from res2net.images.sources import SOURCES, DataSource, open_source, split_counts
from res2net.images.splits import DataSettings
from res2net.images.text import read_json
from res2net.registry import Registry, modules_of_tasks

BACKGROUND = ("background", "__background__", "_background_")
"""Names of classes of pixels that are no class of objects."""


@dataclass(frozen=True)
class MaskFormat:
    """A family of data sets with the pixels of classes."""

    find: Callable[[Path], Collection[str]]
    """The names of the formats of a path in this family."""
    open: Callable[[Path, DataSettings], DataSource]
    """Opens such a path; targets have `masks` `(n, H, W)` with `labels` `(n,)`, or `semantic` `(H, W)`."""


MASK_FORMATS: Registry[MaskFormat] = Registry("Masks", modules=partial(modules_of_tasks, "data_tools.py"))
"""Formats of data sets with masks, which the folders of tasks register."""


def open_masked(source: str | Path, settings: DataSettings | None = None) -> DataSource:
    """Open a data set with masks of its classes: "shapes", objects such as COCO's, or images with label maps.

    Args:
        source: a path, or "shapes", also with numbers of images, as in "shapes:400,100".
        settings: how to open it; by default to evaluate, so that its images are `DataSource.val`.

    Raises:
        InputError: there is no such data set, or it has no masks.
    """
    settings = settings or DataSettings(evaluate=True)
    if _is_named(source):
        opened = open_source(source, settings, labels=("label", "saliency"))
        if not {"label", "saliency"} <= set(opened.val[0][1]):
            raise InputError(f"{source} has no classes with masks: give shapes, or a path of objects or label maps.")
        return opened
    path = Path(source)
    if path.exists():
        for _, known in sorted(MASK_FORMATS.items()):
            if known.find(path):
                return known.open(path, settings)
        raise InputError(
            f"{path} has no masks of classes: give objects with masks (COCO, Penn-Fudan, ...) or images with label "
            "maps."
        )
    return open_source(source, settings)  # it raises what is wrong with the name


def has_masks(source: str | Path) -> bool:
    """Whether `open_masked` can open a source, as far as names of files tell."""
    return _is_named(source) or any(known.find(Path(source)) for known in MASK_FORMATS.values())


def _is_named(source: str | Path) -> bool:
    return isinstance(source, str) and split_counts(source)[0] in SOURCES


class MaskedImages(Dataset[Sample]):
    """Images with their classes, and the mask of each class where there are any.

    A target has `labels` `(k,)`, indices in `class_names`, each once; `sizes` `(k,)`, the side of a square as large as
    the class, as a share of that of the image; and with masks `masks` `(k, H, W)` bool, all pixels of each class, and
    `ignored` `(H, W)` bool, pixels of no known class. Classes called background are left out.

    Args:
        samples: with targets as of `open_masked`, or with the class or the classes of the image as `label` alone.
        class_names: the names of its classes.
    """

    def __init__(self, samples: Samples, class_names: Sequence[str]) -> None:
        self.samples, self.class_names = samples, list(class_names)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def paths(self) -> list[Any]:
        """The files of the images, or their numbers where they have none."""
        paths = getattr(self.samples, "paths", None)
        return [f"image {index}" for index in range(len(self))] if paths is None else list(paths)

    def __getitem__(self, index: int) -> Sample:
        image, target = self.samples[index]
        return image, self._by_class(target)

    def _by_class(self, target: Mapping[str, Any]) -> dict[str, Any]:
        ignored = None
        if "masks" in target:
            given = target["masks"].as_subclass(Tensor).bool()
            masks = {label: given[target["labels"] == label].any(0) for label in target["labels"].unique().tolist()}
            shape = given.shape[1:]
        elif "semantic" in target:
            semantic = target["semantic"].as_subclass(Tensor).long()
            masks = {label: semantic == label for label in semantic.unique().tolist() if label != UNLABELLED}
            ignored, shape = semantic == UNLABELLED, semantic.shape
        elif "saliency" in target:
            mask = target["saliency"].as_subclass(Tensor).bool()
            masks, shape = {int(target["label"]): mask}, mask.shape
        else:
            label = target["label"]
            labels = label.nonzero().flatten() if isinstance(label, Tensor) and label.ndim else torch.tensor([label])
            return {"labels": labels}
        masks = {label: mask for label, mask in masks.items() if self.class_names[label].lower() not in BACKGROUND}
        stacked = torch.stack(list(masks.values())) if masks else torch.zeros(0, *shape, dtype=torch.bool)
        return {
            "labels": torch.tensor(list(masks), dtype=torch.int64),
            "sizes": stacked.flatten(1).float().mean(1).sqrt(),
            "masks": tv_tensors.Mask(stacked),
            "ignored": tv_tensors.Mask(torch.zeros(shape, dtype=torch.bool) if ignored is None else ignored),
        }


def known_classes(
    class_names: Sequence[str], model_names: Sequence[str], class_map: Mapping[str, Sequence[str]] | None = None
) -> dict[int, list[int]]:
    """The classes of a network that each class of a data set stands for, by index; classes without any are left out.

    Names are the same without regard to case and underscores. `class_map` names the classes of the network for classes
    of the data that have other names, such as `{"person": ["man", "woman"]}`.

    Raises:
        InputError: a name in `class_map` does not exist, or no class is known.
    """
    index_of: dict[str, list[int]] = {}
    for index, name in enumerate(model_names):  # two classes of ImageNet are called crane
        index_of.setdefault(_plain(name), []).append(index)
    own = [_plain(name) for name in class_names]
    found = {label: index_of[name] for label, name in enumerate(own) if name in index_of}
    for name, others in (class_map or {}).items():
        check_choice("class of the data", _plain(name), own)
        for other in others:
            check_choice("class of the network", _plain(other), index_of)
        found[own.index(_plain(name))] = [index for other in others for index in index_of[_plain(other)]]
    found = {label: indices for label, indices in found.items() if own[label] not in BACKGROUND and indices}
    if not found:
        raise InputError(
            f"The network knows none of the classes of the data ({listed(list(class_names))}): give --class-map with "
            f"the names they have among its own ({listed(list(model_names))}), or --target predicted."
        )
    return found


def read_class_map(file: str | Path) -> dict[str, list[str]]:
    """Read a class map, JSON such as `{"person": ["man", "woman"]}`; raises `InputError` if it is none."""
    path = Path(file)
    if not path.is_file():
        raise InputError(f"There is no file {file}: give a JSON file with a class map.")
    content = read_json(path)
    if isinstance(content, dict):
        lists = {name: [value] if isinstance(value, str) else value for name, value in content.items()}
        if all(isinstance(value, list) and all(isinstance(one, str) for one in value) for value in lists.values()):
            return lists
    example = json.dumps({"person": ["man", "woman"]})
    raise InputError(f"{file} is no class map: write the classes of the data with those of the network, {example}.")


def _plain(name: str) -> str:
    return name.strip().replace("_", " ").casefold()
