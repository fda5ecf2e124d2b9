"""Folders of volumes: as of the Medical Segmentation Decathlon, and a folder of scans beside one of labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from res2net.errors import InputError
from res2net.files import read_json
from res2net.images.samples import FileSamples, Sample
from res2net.images.sources import DataSource
from res2net.images.splits import WHOLE, DataSettings, choose_splits, hashed_split
from res2net.tasks.volumes.nifti import (
    ENDINGS,
    bad_volume,
    lies_elsewhere,
    list_volumes,
    read_label_map,
    read_volume,
    volume_name,
)
from res2net.weights import Preprocessing

PAIRS = (("imagesTr", "labelsTr"), ("images", "labels"), ("images", "masks"))
"""Folders of scans and of their labels, by the names of the files, which are the same but for `_0000`."""


class VolumeFiles(FileSamples):
    """Scans with the classes of their voxels: `(Volume, {"label_map": (D, H, W) uint8})`; a bad one raises `BadImage`.

    A pair is the path of a scan, and that of its labels. The background is the first class.
    """

    def __init__(self, pairs: Sequence[tuple[Path, Path]], class_names: Sequence[str]) -> None:
        super().__init__(pairs)
        self.class_names = list(class_names)

    def __getitem__(self, index: int) -> Sample:
        scan, labels = self.files[index]
        volume, label_map = read_volume(scan), read_label_map(labels, len(self.class_names))
        if tuple(label_map.shape) != volume.shape:
            raise bad_volume(
                scan,
                f"it has {_sizes(volume.shape)} voxels (slices x height x width), and its labels {labels} have "
                f"{_sizes(tuple(label_map.shape))}",
            )
        if lies_elsewhere(labels, volume):
            raise bad_volume(
                scan, f"its axes run other ways than those of its labels {labels}: give both the affine that is true"
            )
        return volume, {"label_map": label_map}


def read_volumes(path: Path, labels: tuple[str, ...], settings: DataSettings) -> DataSource:
    """Read a folder of volumes and split it by their names and the seed.

    The folder is as of the Medical Segmentation Decathlon (`imagesTr`, `labelsTr`, and `dataset.json`, which names the
    classes), or has `images` and `labels` (or `masks`) whose files have the same names.
    """
    if not path.is_dir():
        raise InputError(f"{path} is no folder: give one of volumes, with imagesTr and labelsTr, or images and labels.")
    description = _read_description(path / "dataset.json")
    pairs = _listed(path, description) or _by_name(path)
    every = VolumeFiles(pairs, _class_names(path, description) or _numbered(pairs))
    train, val, about = choose_splits([WHOLE], settings, path).arrange(
        {WHOLE: every},
        lambda files: hashed_split([scan.name for scan in files.paths], settings.val_fraction, settings.seed),
        "volumes",
    )
    preprocessing = Preprocessing(size=96, crop=1.0, mean=(0.5,), std=(0.25,))
    return DataSource(path.absolute().name, train, val, every.class_names, preprocessing, val_about=about)


def _read_description(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        description = read_json(file)
    except (OSError, ValueError) as error:
        raise InputError(f"{file} is not valid JSON ({error}): fix it, or remove it.") from error
    if not isinstance(description, dict):
        raise InputError(f"{file} holds no description of a data set: fix it, or remove it.")
    return description


def _listed(root: Path, description: dict[str, Any]) -> list[tuple[Path, Path]]:
    """The pairs that the description lists."""
    entries = description.get("training", [])
    try:
        pairs = [(root / entry["image"], root / entry["label"]) for entry in entries]
    except (TypeError, KeyError) as error:
        raise InputError(
            f"{root / 'dataset.json'} lists training volumes without image or label: fix it, or leave out training."
        ) from error
    for file in (file for pair in pairs for file in pair):
        if not file.resolve().is_relative_to(root.resolve()):
            raise InputError(f"{root / 'dataset.json'} names {file}, which is outside of its folder: fix it.")
        if not file.is_file():
            raise InputError(f"{root / 'dataset.json'} names {file}, which is not there: add it, or fix the list.")
    return pairs


def _by_name(root: Path) -> list[tuple[Path, Path]]:
    """The pairs of two folders."""
    for scans, labels in PAIRS:
        if (root / scans).is_dir() and (root / labels).is_dir():
            files, by_name = list_volumes(root / scans), {volume_name(one): one for one in list_volumes(root / labels)}
            pairs = []
            for file in files:
                name = volume_name(file).removesuffix("_0000")
                if name not in by_name:
                    raise InputError(f"The volume {file} has no labels in {root / labels}: add {name}{ENDINGS[0]}.")
                pairs.append((file, by_name[name]))
            return pairs
    known = ", or ".join(f"{scans} and {labels}" for scans, labels in PAIRS)
    raise InputError(f"The folder {root} has no volumes with labels: it needs the folders {known}.")


def _class_names(root: Path, description: dict[str, Any]) -> list[str]:
    """The classes in order, from `{"0": "background", ...}` or, as nnU-Net has it, `{"background": 0, ...}`."""
    labels = description.get("labels")
    if not labels:
        return []
    try:
        by_number = {int(number): str(name) for number, name in labels.items()}
    except (ValueError, AttributeError):
        by_number = {}
    if not by_number and isinstance(labels, dict) and all(type(number) is int for number in labels.values()):
        by_number = {number: name for name, number in labels.items()}
    names = [by_number.get(number, "") for number in range(len(labels))]
    if not all(names) or len(names) < 2:
        raise InputError(
            f'{root / "dataset.json"} does not name its labels by the numbers from 0: write {{"0": "background", "1": '
            '"tumour"}.'
        )
    return names


def _numbered(pairs: Sequence[tuple[Path, Path]]) -> list[str]:
    """Names of unnamed classes by their numbers; all labels are read for it."""
    most = max(int(read_label_map(labels).max()) for _, labels in pairs)
    if not most:
        raise InputError(f"The labels in {pairs[0][1].parent} are background alone: give some with a class.")
    return ["background", *(f"class {number}" for number in range(1, most + 1))]


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
