"""Folder layouts of classification data sets: train and val, class folders only, and ImageNet as downloaded."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from res2net.errors import InputError
from res2net.files import subfolders
from res2net.images.folder import ImageFiles, ImageFolder, list_images, stratified_split
from res2net.images.text import read_lines

_KAGGLE = Path("ILSVRC", "Data", "CLS-LOC")

# Lists of the classes of a flat validation folder: lines that start with a file name and a class folder of train.
_VAL_LISTS = ("LOC_val_solution.csv", "val_annotations.txt")

# Names of the WordNet ids: lines of an id and its names, separated by commas.
_WORDS = ("LOC_synset_mapping.txt", "synset_words.txt", "words.txt")


def open_folder(root: str | Path, *, val_fraction: float = 0.2, seed: int = 0) -> tuple[ImageFiles, ImageFiles]:
    """Open the training and validation images of a folder in one of these layouts.

    - `train` and `val` (or `valid`, `validation`, `test`) with the same class folders.
    - Class folders only, or `train` only: split by `stratified_split`.
    - ImageNet as downloaded: `ILSVRC/Data/CLS-LOC/{train,val}`, or any `train` with class folders and `val` without,
      where `LOC_val_solution.csv` (ImageNet) or `val_annotations.txt` (Tiny ImageNet) names the classes of `val`.

    If there is a mapping such as `LOC_synset_mapping.txt`, classes get readable names instead of WordNet ids.

    Args:
        root: the folder.
        val_fraction: share of the validation images if the folder has no split.
        seed: seed of that split.

    Raises:
        InputError: the folder is in none of the layouts, or the classes of `train` and `val` differ.
    """
    root = Path(root)
    if root.absolute().parts[-3:] == _KAGGLE.parts:
        root = root.absolute().parents[2]
    base = root / _KAGGLE if (root / _KAGGLE).is_dir() else root
    inside = {folder.name.lower(): folder for folder in subfolders(base)} if base.is_dir() else {}
    train_folder, val_folder = (
        next((inside[name] for name in names if name in inside), None)
        for names in (("train", "training"), ("val", "valid", "validation", "test", "testing"))
    )

    everything = ImageFolder(train_folder or base)
    if len(everything.class_names) == 1:
        only = everything.root / everything.class_names[0]
        advice = f"did you mean {only}?" if len(subfolders(only)) > 1 else "add a folder for each other class."
        raise InputError(f"The folder {everything.root} has one class folder only, {only.name!r}: {advice}")
    if train_folder and val_folder:
        train: ImageFiles = everything
        val = _open_val(val_folder, everything, (root, base, val_folder))
    else:
        train, val = stratified_split(everything, val_fraction, seed)
    names = _readable_names(everything.class_names, (root, base))
    return train.renamed(names), val.renamed(names)


def _open_val(folder: Path, train: ImageFolder, folders: Sequence[Path]) -> ImageFiles:
    class_folders = {entry.name for entry in subfolders(folder)}
    truth = None if class_folders & set(train.class_names) else _first_file(_VAL_LISTS, folders)
    if truth is None:
        if not class_folders:
            raise InputError(
                f"The folder {folder} has no class folders and no list of its classes: put each image into the folder "
                f"of its class, or add {' or '.join(_VAL_LISTS)}."
            )
        val = ImageFolder(folder)
        _check_same(train, folder, val.class_names)
        return val
    class_of: dict[str, str] = {}
    for line in read_lines(truth):
        name, class_name, *_ = [*re.split(r"[,\s]+", line), ""]
        class_of[Path(name).stem] = class_name
    files = list_images(folder)
    unlisted = [file.name for file in files if file.stem not in class_of]
    if unlisted:
        raise InputError(
            f"The list {truth} has no class for {len(unlisted)} images of {folder}, such as {unlisted[0]}."
        )
    classes = [class_of[file.stem] for file in files]
    _check_same(train, folder, classes)
    label = {name: index for index, name in enumerate(train.class_names)}
    return ImageFiles([str(file) for file in files], [label[name] for name in classes], train.class_names)


def _check_same(train: ImageFolder, folder: Path, val_classes: Sequence[str]) -> None:
    """Raise `InputError` unless training and validation have the same classes, and so the same labels."""
    only_train = sorted(set(train.class_names) - set(val_classes))
    only_val = sorted(set(val_classes) - set(train.class_names))
    if not only_train and not only_val:
        return
    parts = []
    for names, where in ((only_train, train.root), (only_val, folder)):
        if names:
            listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            parts.append(f"only {where} has {listed}")
    raise InputError(f"The classes of training and validation differ: {'; '.join(parts)}. Give both the same classes.")


def _readable_names(classes: Sequence[str], folders: Sequence[Path]) -> dict[str, str]:
    """The first name of each WordNet id in a mapping, followed by the id if several classes share the name."""
    mapping = _first_file(_WORDS, folders)
    if mapping is None:
        return {}
    wanted = {name for name in classes if re.fullmatch(r"n\d{8}", name)}
    names = {}
    for line in read_lines(mapping):
        words = line.split(maxsplit=1)
        if len(words) == 2 and words[0] in wanted:
            names[words[0]] = words[1].split(",")[0].strip()
    uses = Counter(names.values())
    return {key: f"{name} ({key})" if uses[name] > 1 else name for key, name in names.items()}


def _first_file(names: Sequence[str], folders: Sequence[Path]) -> Path | None:
    candidates = (folder / name for name in names for folder in folders)
    return next((file for file in candidates if file.is_file()), None)
