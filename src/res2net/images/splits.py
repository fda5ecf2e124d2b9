"""Splits of data sets: one choice, for every format, of the samples to train on, to validate on, and to evaluate.

A reader of a format states the names of all splits of a data set, `choose_splits` chooses those to read, and
`Choice.arrange` returns the samples.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch.utils.data import Subset

from res2net.errors import InputError, check_choice
from res2net.files import subfolders, walk
from res2net.images.decode import DECODES
from res2net.images.faults import AnnotationReport
from res2net.images.samples import BAD_IMAGES, Samples

WHOLE = ""
"""The name of the only split of a data set that is not split."""

ROLES: Mapping[str, Sequence[str]] = {
    "train": ("train", "training", "trn", "tr", "trainval"),
    "val": ("val", "valid", "validation", "dev", "eval", "evaluation", "minival", "holdout"),
    "test": ("test", "testing", "tst", "te", "ts"),
}
"""The words in the name of a split that state its purpose."""

CLASS_ORDERS = ("alphabetical", "natural")
"""The order of classes that are folders: alphabetical (1, 10, 2), or by the numbers in their names (1, 2, 10)."""


@dataclass(frozen=True)
class DataSettings:
    """How to open a source.

    Raises:
        InputError: a value is unknown.
    """

    val_fraction: float = 0.2
    """Share of the samples kept for validation if the data have no split, or one is named for both."""
    seed: int = 0
    """Seed of that split."""
    bad_images: str = "stop"
    """An image that cannot be read: "stop" raises `BadImage`, "skip" leaves it out of its batch."""
    bad_annotations: str = "stop"
    """Annotations or label maps with faults: "stop" raises `InputError`, "skip" leaves those out."""
    decode: str = "full"
    """JPEG files: "full" decodes at full resolution; "scaled" only as much detail as the transform needs, which is
    faster for large photos and changes pixels slightly."""
    train_split: str | None = None
    """Name of the split to train on; by default the one whose name says so."""
    val_split: str | None = None
    """Name of the split to validate on; by default the one whose name says so, else the test split. If it is the
    split to train on, `val_fraction` of that is held out."""
    evaluate: bool = False
    """Open the data to evaluate on: then `DataSource.val` has all samples of data without a split, and
    `DataSource.train` none."""
    split: str | None = None
    """With `evaluate`: name of the split; by default as `val_split`. For data without a split, "train" and "val" are
    the parts that a training with this fraction and seed makes."""
    class_order: str = "alphabetical"
    """The order of classes that are folders, one of `CLASS_ORDERS`."""

    def __post_init__(self) -> None:
        check_choice("bad_images", self.bad_images, BAD_IMAGES)
        check_choice("Way to decode", self.decode, DECODES)
        check_choice("Order of the classes", self.class_order, CLASS_ORDERS)
        check_fraction(self.val_fraction)


class Arranged(NamedTuple):
    """The samples of a data set to train on and to validate on."""

    train: Any
    """Samples to train on; none of them if the data are only evaluated."""
    val: Any
    """Samples to validate on, or to evaluate."""
    about: str
    """What `val` is: the name of its split, "all", or a part such as "val: 20% by hash"."""


@dataclass(frozen=True)
class Choice:
    """The splits of a data set to use, and how."""

    train: str | None
    """The split to train on; None to evaluate only."""
    val: str
    """The split to validate on or to evaluate."""
    part: Literal["", "train", "val"]
    """If not empty, `val` is divided by a hash, and this part of it is validated on or evaluated."""
    settings: DataSettings
    where: str

    @property
    def names(self) -> tuple[str, ...]:
        """The splits to read, each once."""
        return (self.val,) if self.train in (None, self.val) else (self.train, self.val)

    def arrange(
        self,
        splits: Mapping[str, Samples],
        halve: Callable[[Any], tuple[Sequence[int], Sequence[int]]],
        noun: str = "images",
    ) -> Arranged:
        """Arrange the samples of the splits.

        Args:
            splits: the samples of at least the splits in `names`.
            halve: divides the samples of a single split into the indices to train on and to validate on.
            noun: what the samples are called, in the plural.

        Raises:
            InputError: a split is empty or has a single sample to divide, or two splits have samples in common.
        """
        named = f"the split {self.val} of {self.where}" if self.val else self.where
        for name in self.names:
            if not len(splits[name]):
                place = f"the split {name} of {self.where}" if name else self.where
                raise InputError(f"There are no {noun} that can be used in {place}: add some, or name another split.")
        samples = splits[self.val]
        if self.part:
            if len(samples) < 2:
                raise InputError(
                    f"The {noun} of {named} are too few to split ({len(samples)}): add some, or give split data."
                )
            train, val = (subset_of(samples, indices) for indices in halve(samples))
            share = self.settings.val_fraction if self.part == "val" else 1 - self.settings.val_fraction
            about = f"{self.part}: {share:.0%} {f'of {self.val} ' if self.val else ''}by hash"
            if self.train is None:
                samples = val if self.part == "val" else train
                return Arranged(subset_of(samples, []), samples, about)
            return Arranged(train, val, about)
        about = self.val or "all"
        if self.train is None:
            return Arranged(subset_of(samples, []), samples, about)
        if self.train != self.val:
            self._check_apart(splits[self.train], samples, noun)
        return Arranged(splits[self.train], samples, about)

    def _check_apart(self, train: Any, val: Any, noun: str) -> None:
        both = set(map(str, getattr(train, "paths", ()))) & set(map(str, getattr(val, "paths", ())))
        if both:
            raise InputError(
                f"{len(both)} {noun} are in both the split {self.train} and the split {self.val} of {self.where}, such "
                f"as {min(both)}: remove them from one, or name other splits with --train-split and --val-split."
            )


def choose_splits(names: Iterable[str], settings: DataSettings, where: str | Path) -> Choice:
    """Choose the splits of a data set to train and validate on, or to evaluate.

    Args:
        names: the names of all splits, such as "train2017"; `WHOLE` for data that are not split.
        settings: what the user chose.
        where: the data set, for messages.

    Raises:
        InputError: a split that is asked for does not exist, or the names do not state which splits to use.
    """
    known, where = list(names), str(where)
    only = known[0] if len(known) == 1 else None
    if settings.evaluate:
        stated = settings.split
        if only is not None and stated is None:
            return Choice(None, only, "", settings, where)
        if only is not None and stated in ("train", "val") and stated not in (only, role_of(only)):
            return Choice(None, only, "val" if stated == "val" else "train", settings, where)
        (val,) = _choose(known, {"--split": (stated, ("val", "test"))}, where)
        return Choice(None, val, "", settings, where)
    if only is not None and settings.train_split in (None, only) and settings.val_split is None:
        return Choice(only, only, "val", settings, where)
    if settings.val_split is not None:  # first, since data without splits have none to train on either
        _find(known, settings.val_split, (), "--val-split", where)
    asked = {
        "--train-split": (settings.train_split, ("train",)),
        "--val-split": (settings.val_split, ("val", "test")),
    }
    train, val = _choose(known, asked, where)
    return Choice(train, val, "val" if train == val else "", settings, where)


def used_splits(names: Sequence[str], where: str | Path) -> str:
    """A sentence on which of several splits a run uses by default, and which not."""
    try:
        choice = choose_splits(names, DataSettings(), where)
    except InputError as error:
        return str(error)
    others = [name for name in names if name not in choice.names]
    left = f"; it does not use {', '.join(others)}" if others else ""
    return f"A run trains on the split {choice.train} and validates on {choice.val}{left}."


def _choose(names: Sequence[str], asked: Mapping[str, tuple[str | None, Sequence[str]]], where: str) -> list[str]:
    """The split for each option, given its stated name and roles; `InputError` names all options that stay open."""
    found = {option: _find(names, stated, roles, option, where) for option, (stated, roles) in asked.items()}
    unclear = [option for option, name in found.items() if name is None]
    if unclear:
        which, them = ("which one", "it") if len(unclear) == 1 else ("which ones", "them")
        raise InputError(
            f"The names of the splits of {where} ({', '.join(filter(None, names))}) do not state {which} to use here: "
            f"choose {them} with {' and '.join(unclear)}."
        )
    return [name for name in found.values() if name is not None]


def _find(names: Sequence[str], stated: str | None, roles: Sequence[str], option: str, where: str) -> str | None:
    """The split of a stated name, or the only one with the first of these roles that any has; None if that is open."""
    listed = ", ".join(name for name in names if name)
    if stated is not None:
        exact = [name for name in names if name and name.lower() == stated.lower()]
        found = exact or [name for name in names if name and role_of(name) == stated.lower()]
        if len(found) == 1:
            return found[0]
        if not listed:
            part = ", or give train or val, the parts that a training makes" if option == "--split" else ""
            raise InputError(f"{where} has no splits, and so no split {stated!r}: leave out {option}{part}.")
        raise InputError(
            f"There is no single split {stated!r} in {where}, whose splits are {listed}: give one of them."
        )
    for role in roles:
        found = [name for name in names if role_of(name) == role]
        # "train" goes before "trainval", and that before "train2014".
        exact = [name for word in ROLES[role] for name in found if name.lower() == word]
        found = exact[:1] or found
        if len(found) == 1:
            return found[0]
        if found:
            break
    return None


def role_of(name: str) -> str:
    """The role, "train", "val" or "test", in the name of a split such as "minival2014"; empty if it states none."""
    words = re.findall(r"[a-z]+", name.lower())
    return next((role for word in words for role, known in ROLES.items() if word in known), "")


def folders_of_splits(
    root: Path,
    parts: Sequence[str],
    fits: Callable[[Mapping[str, Path]], bool],
    report: AnnotationReport | None = None,
) -> dict[str, dict[str, Path]]:
    """The folders of each split of a data set whose samples have files in several folders.

    They are in a folder of the split (`train/images`), or have folders of the splits in them (`images/train`); else the
    data set has a single split, `WHOLE`. Splits that are stated but have no samples have no folders.

    Args:
        root: the folder of the data set.
        parts: the names of the folders, in lower case, such as "images" and "masks".
        fits: whether folders of these names, which may be some of them, hold samples.
        report: is told of folders that are no splits.
    """

    def parts_in(folder: Path) -> dict[str, Path]:
        return {inside.name.lower(): inside for inside in subfolders(folder) if inside.name.lower() in parts}

    if not root.is_dir():
        return {}
    whole = parts_in(root)
    others = [folder for folder in subfolders(root) if folder.name.lower() not in parts]
    found = {folder.name: parts_in(folder) for folder in others}
    for part, folder in whole.items():
        for split in subfolders(folder):
            found.setdefault(split.name, {})[part] = split
            others.append(split)
    splits = {name: folders for name, folders in found.items() if fits(folders)}
    if not splits:
        return {WHOLE: whole} if fits(whole) else {}
    return splits | {name: {} for name in stated_splits(others, splits, report)}


def states_role(name: str) -> bool:
    """Whether a name is that of a split and no more, such as "val"."""
    return any(name.lower() in words for words in ROLES.values())


def stated_splits(
    folders: Iterable[Path], splits: Collection[str], report: AnnotationReport | None = None
) -> list[str]:
    """The names of folders that state the purpose of a split, but are none of the splits with samples.

    A folder of images to test on that has files is left out, and mentioned in the report: many are published without
    labels.
    """
    found = {}
    for folder in folders:
        if folder.name in splits or not states_role(folder.name):
            continue
        if role_of(folder.name) != "test" or not any(walk(folder)):
            found[folder.name] = folder
        elif report is not None:
            report.remark(f"The files of {folder} have no labels, so that it is no split.")
    return list(found)


def check_fraction(val_fraction: float) -> None:
    """Raise `InputError` unless the share of the validation samples is between 0 and 1, exclusively."""
    if not 0 < val_fraction < 1:
        raise InputError(f"The validation fraction {val_fraction!r} is out of range: give a number between 0 and 1.")


def hashed_split(keys: Sequence[str], val_fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Split samples by a hash of their keys into sorted training and validation indices.

    The keys are unique, such as paths. With two or more, both parts have at least one sample.
    """
    check_fraction(val_fraction)
    hashes = [hashlib.sha256(f"{seed} {key}".encode(errors="surrogateescape")).digest() for key in keys]
    count = min(max(round(val_fraction * len(keys)), 1), len(keys) - 1)
    val = set(sorted(range(len(keys)), key=hashes.__getitem__)[:count])
    return [index for index in range(len(keys)) if index not in val], sorted(val)


def stratified_split(images: Any, keys: Sequence[str], val_fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Split classified images as `hashed_split` by their keys, the same share of each class, at least one image.

    Raises:
        InputError: a class has one image only.
    """
    by_class: dict[int, list[int]] = defaultdict(list)
    for index, label in enumerate(images.targets):
        by_class[label].append(index)
    val: set[int] = set()
    for label, indices in by_class.items():
        if len(indices) < 2:
            raise InputError(
                f"The class {images.class_names[label]!r} has one image only, and a split needs two: "
                "add images, or make folders train and val."
            )
        _, chosen = hashed_split([keys[index] for index in indices], val_fraction, seed)
        val.update(indices[position] for position in chosen)
    return [index for index in range(len(keys)) if index not in val], sorted(val)


def subset_of(samples: Samples, chosen: Sequence[int]) -> Samples:
    """The samples with these indices; a data set with a method `subset`, such as those of files, keeps its type."""
    own_subset: Callable[[Sequence[int]], Samples] | None = getattr(samples, "subset", None)
    return own_subset(chosen) if own_subset else Subset(samples, chosen)  # type: ignore[arg-type]
