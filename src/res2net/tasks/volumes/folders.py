"""Folders of volumes: as of the Medical Segmentation Decathlon, and a folder of scans beside one of labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from res2net.errors import InputError, listed
from res2net.files import subfolders
from res2net.images.decode import BadImage
from res2net.images.faults import AnnotationReport
from res2net.images.folder import files_below
from res2net.images.paths import MissingFile, PathFinder
from res2net.images.samples import FileSamples, Sample, evenly_spaced
from res2net.images.sources import DataSource
from res2net.images.splits import WHOLE, DataSettings, choose_splits, folders_of_splits, hashed_split
from res2net.images.text import read_json
from res2net.tasks.volumes.nifti import (
    ENDINGS,
    affine_of_labels,
    bad_volume,
    list_volumes,
    read_grid,
    read_label_map,
    read_volume,
    volume_name,
    whole_labels,
)
from res2net.weights import Preprocessing

PAIRS = (("imagestr", "labelstr"), ("images", "labels"), ("images", "masks"))
"""Folders of scans and of their labels, by the names of the files, which are the same but for `_0000`."""
DECATHLON = {"train": "tr", "val": "va", "test": "ts"}
"""Endings of the folders of each split, as in `imagesTr`."""
LISTS = {"training": "train", "validation": "val", "test": "test"}
"""The splits of the lists of `dataset.json`."""
MAX_CLASSES = 255

Pair = tuple[Path, Path]
"""The file of a scan, and that of its labels."""


class VolumeFiles(FileSamples):
    """Scans with the classes of their voxels: `(Volume, {"label_map": (D, H, W) uint8})`; a bad one raises `BadImage`.

    The background is the first class.

    Args:
        pairs: the files of each sample.
        class_names: the names of the classes.
        numbers: the label of each class in the files, in rising order; by default those from 0 on.
    """

    def __init__(self, pairs: Sequence[Pair], class_names: Sequence[str], numbers: Sequence[int] | None = None) -> None:
        super().__init__(pairs)
        self.class_names = list(class_names)
        self.numbers = list(range(len(class_names)) if numbers is None else numbers)

    def __getitem__(self, index: int) -> Sample:
        scan, labels = self.files[index]
        volume = read_volume(scan)
        try:
            affine = affine_of_labels(read_grid(scan), read_grid(labels))
        except BadImage:
            raise
        except InputError as error:
            raise bad_volume(labels, f"{str(error).rstrip('.')} ({scan})") from error
        return volume, {"label_map": read_label_map(labels, self.numbers, affine)}


def read_volumes(path: Path, labels: tuple[str, ...], settings: DataSettings) -> DataSource:
    """Read a folder of volumes; the headers of all are compared, and label maps are read up to the first with a class.

    The folder is as of the Medical Segmentation Decathlon (`imagesTr`, `labelsTr`, and `dataset.json`, which names the
    classes), or has `images` and `labels` (or `masks`) whose files have the same names. Without splits, the volumes are
    split by their names and the seed.

    Raises:
        InputError: it is no such folder, the files of a pair do not belong together, or there is nothing to learn.
    """
    if not path.is_dir():
        raise InputError(f"{path} is no folder: give one of volumes, with imagesTr and labelsTr, or images and labels.")
    report = AnnotationReport(path)
    pairs = find_volume_splits(path, report)
    names, numbers = classes_of(path, pairs, report)
    choice = choose_splits(pairs, settings, path)
    splits = {}
    for name in choice.names:
        good = checked_pairs(pairs[name], report, keep_unreadable=settings.bad_images == "skip")
        splits[name] = VolumeFiles(good, names, numbers)
    report.enforce(settings.bad_annotations)
    train, val, about = choice.arrange(
        splits,
        lambda files: hashed_split([scan.name for scan in files.paths], settings.val_fraction, settings.seed),
        "volumes",
    )
    if len(train) and not has_foreground(train):
        raise InputError(
            f"The {len(train)} label maps to train on in {path} are background alone: give some with a class."
        )
    preprocessing = Preprocessing(size=96, crop=1.0, mean=(0.5,), std=(0.25,))
    return DataSource(path.absolute().name, train, val, names, preprocessing, val_about=about, notes=report.remarks)


def has_foreground(files: VolumeFiles) -> bool:
    """Whether any label map has more than background; they are read up to the first that has."""
    order = dict.fromkeys([*evenly_spaced(len(files), 8), *range(len(files))])
    for index in order:
        try:
            if whole_labels(files.files[index][1]).any():
                return True
        except BadImage:
            continue
    return False


def checked_pairs(pairs: Sequence[Pair], report: AnnotationReport, *, keep_unreadable: bool = False) -> list[Pair]:
    """The pairs whose headers agree; faults, and label maps without a position, are added to the report.

    Scans that cannot be read are faults, or are kept if `keep_unreadable`, and reported when they are used.
    """
    good, bare = [], []
    for scan, labels in pairs:
        try:
            grid = read_grid(scan)
        except BadImage as error:
            if report.keeps(error, keep_unreadable):
                good.append((scan, labels))
            continue
        try:
            own = read_grid(labels)
            if not np.array_equal(affine_of_labels(grid, own), own.affine):
                bare.append(labels)
        except BadImage as error:
            report.add("unreadable file", labels, error.reason)
        except InputError as error:
            report.add("label map elsewhere", labels, str(error).rstrip("."))
        else:
            good.append((scan, labels))
    if bare:
        report.remark(
            f"The headers of {len(bare)} label maps, such as {bare[0]}, state no position: their voxels are taken to "
            "be those of their scans in the same order."
        )
    return good


def _read_description(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    description = read_json(file)
    if not isinstance(description, dict):
        raise InputError(f"{file} holds no description of a data set: fix it, or remove it.")
    return description


def find_volume_splits(root: Path, report: AnnotationReport) -> dict[str, list[Pair]]:
    """The pairs of each split, or of `WHOLE`; files that are not used are added to the report.

    Raises:
        InputError: there are none, or a list names files that are not there.
    """
    found = _listed(root, report)
    if not found:
        for scans, labels in PAIRS:
            splits = folders_of_splits(root, (scans, labels), lambda folders: len(folders) == 2, report)
            if scans == "imagestr" and splits:
                splits = _decathlon(root)
            found = {
                name: _by_name(folders[scans], folders[labels], report) if folders else []
                for name, folders in splits.items()
            }
            if found:
                break
    if not any(found.values()):
        raise InputError(
            f"The folder {root} has no volumes with labels: it needs the folders imagesTr and labelsTr, or images and "
            "labels, or images and masks."
        )
    return found


def _decathlon(root: Path) -> dict[str, dict[str, Path]]:
    """The folders `imagesTr` and `labelsTr`, and those of other splits that have labels."""
    inside = {folder.name.lower(): folder for folder in subfolders(root)}
    found = {
        split: {"imagestr": inside[f"images{ending}"], "labelstr": inside[f"labels{ending}"]}
        for split, ending in DECATHLON.items()
        if f"images{ending}" in inside and f"labels{ending}" in inside
    }
    if "imagesva" in inside:
        found.setdefault("val", {})
    return found if len(found) > 1 else {WHOLE: found["train"]}


def _listed(root: Path, report: AnnotationReport) -> dict[str, list[Pair]]:
    """The pairs that `dataset.json` lists."""
    file = root / "dataset.json"
    description = _read_description(file)
    finder = PathFinder(root)
    found: dict[str, list[Pair]] = {}
    for key, split in LISTS.items():
        entries = description.get(key) or []
        if split != "train" and not all(isinstance(entry, dict) and "label" in entry for entry in entries):
            report.remark(f"{len(entries)} volumes of the list {key!r} of {file} have no labels, and are not used.")
            continue
        try:
            pairs = [(str(entry["image"]), str(entry["label"])) for entry in entries]
        except (TypeError, KeyError) as error:
            raise InputError(
                f"{file} lists {key} volumes without image or label: fix it, or leave out {key}."
            ) from error
        try:
            found[split] = [(_scan(finder, scan), Path(finder.find(labels))) for scan, labels in pairs]
        except MissingFile as error:
            raise InputError(f"{file} names {str(error).rstrip('.')}: add it, or fix the list.") from error
    found = {split: pairs for split, pairs in found.items() if pairs}
    for note in finder.notes():
        report.remark(f"{note}.")
    for folder in {scan.parent for pairs in found.values() for scan, _ in pairs}:
        unlisted = set(list_volumes(folder)) - {scan for pairs in found.values() for scan, _ in pairs}
        if unlisted:
            names = listed(sorted(path.name for path in unlisted))
            report.remark(f"{len(unlisted)} volumes of {folder} are not in the lists of {file}, and not used: {names}.")
    return {WHOLE: found["train"]} if list(found) == ["train"] else found


def _scan(finder: PathFinder, written: str) -> Path:
    """The file of a scan that is listed, also if its name has nnU-Net's number of the channel and the list has none."""
    try:
        return Path(finder.find(written))
    except MissingFile:
        name = re.sub(r"(\.nii(\.gz)?)$", r"_0000\1", written, flags=re.IGNORECASE)
        try:
            return Path(finder.find(name))
        except MissingFile:
            return Path(finder.find(written))  # the first message


def _by_name(scans: Path, labels: Path, report: AnnotationReport) -> list[Pair]:
    """The pairs of two folders; scans without labels are faults, others are mentioned."""
    files = {volume_name(file): file for file in files_below(scans, ENDINGS)}
    maps = {volume_name(file): file for file in files_below(labels, ENDINGS)}
    pairs = []
    others = []
    for name, file in files.items():
        base = name.removesuffix("_0000")
        if base in maps:
            pairs.append((file, maps.pop(base)))
        elif re.search(r"_0{0,3}[1-9]\d{0,3}$", name) and f"{name[:-5]}_0000" in files:
            others.append(file)
        else:
            report.add("missing partner", file, f"there is no {base}{ENDINGS[0]} in {labels}")
    if others:
        report.remark(f"{len(others)} files of further channels are not used, such as {others[0]}: volumes have one.")
    unused = [file.name for file in maps.values()]
    report.remark(f"{len(unused)} label maps of {labels} have no scan: {listed(unused)}." if unused else "")
    return pairs


def classes_of(
    root: Path, splits: Mapping[str, Sequence[Pair]], report: AnnotationReport
) -> tuple[list[str], list[int]]:
    """The names of the classes, and the label of each in the files, in rising order.

    They come from `dataset.json`, `{"0": "background", ...}` or, as nnU-Net has it, `{"background": 0, ...}`; else all
    labels are read. The labels from 0 up to the highest one are then classes if half of them occur; else those that do.

    Raises:
        InputError: the classes have no such labels, or the labels are background alone.
    """
    labels = _read_description(root / "dataset.json").get("labels")
    named = _named(root / "dataset.json", labels) if labels else {}
    if not named:
        numbers = _labels_in([labels for pairs in splits.values() for _, labels in pairs])
        highest = numbers[-1]
        if len(numbers) > MAX_CLASSES or numbers[0] < 0:
            raise InputError(
                f"The label maps in {root} have {len(numbers):,} labels from {numbers[0]} to {highest}, too many or "
                f"too low for classes: name at most {MAX_CLASSES} from 0 on in dataset.json."
            )
        if highest < MAX_CLASSES and 2 * len(numbers) > highest:
            missing = [str(number) for number in range(highest) if number not in numbers]
            note = f"No voxel has the label {', '.join(missing)}, up to {highest} all are classes."
            report.remark(note if missing else "")
            numbers = list(range(highest + 1))
        named = {number: f"class {number}" if number else "background" for number in numbers}
    if list(named) != list(range(len(named))):
        table = ", ".join(f"{number} is {index}" for index, number in enumerate(named))
        report.remark(f"The labels {', '.join(map(str, named))} are classes from 0 on, also in predictions: {table}.")
    return list(named.values()), list(named)


def _named(file: Path, labels: Any) -> dict[int, str]:
    """The name of each label in rising order."""
    try:
        named = {int(number): str(name) for number, name in labels.items()}
    except (ValueError, AttributeError):
        named = {}
    if not named and isinstance(labels, dict) and all(type(number) is int for number in labels.values()):
        named = {number: name for name, number in labels.items()}
        named = named if len(named) == len(labels) else {}
    named = dict(sorted(named.items()))
    if len(named) < 2 or min(named) != 0 or not all(named.values()):
        raise InputError(
            f'{file} does not name its labels by the numbers from 0: write {{"0": "background", "1": "tumour"}}.'
        )
    return named


def _labels_in(maps: Sequence[Path]) -> list[int]:
    """The labels that occur in files, all of which are read, and 0, sorted; `InputError` if there are no others."""
    numbers = {0}
    unread = None
    for file in maps:
        try:
            numbers |= set(np.unique(whole_labels(file)).tolist())
        except BadImage as error:  # reported when it is used
            unread = unread or error
    if len(numbers) == 1 and unread:
        raise unread
    if len(numbers) == 1:
        raise InputError(
            f"The label maps in {maps[0].parent if maps else 'it'} are background alone: give some with a class."
        )
    return sorted(numbers)
