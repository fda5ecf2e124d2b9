"""Folder layouts of classification data sets: one folder per split, class folders only, and ImageNet as downloaded."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from res2net.errors import InputError, listed
from res2net.files import readable_name, subfolders
from res2net.images.folder import ImageFiles, ImageFolder, class_folders, list_images, natural_key
from res2net.images.splits import WHOLE, Arranged, DataSettings, choose_splits, role_of, states_role, stratified_split
from res2net.images.text import read_lines

_KAGGLE = Path("ILSVRC", "Data", "CLS-LOC")

# Lists of the classes of a flat validation folder: lines that start with a file name and a class folder of train.
_VAL_LISTS = ("LOC_val_solution.csv", "val_annotations.txt")

_FOLD = re.compile(r"(k|cv)?[-_ ]?(fold|cv|split|subset|part)[-_ ]?\d+")
"""Names of the folds of a cross-validation, in lower case."""

# Names of the WordNet ids: lines of an id and its names, separated by commas.
_WORDS = ("LOC_synset_mapping.txt", "synset_words.txt", "words.txt")


def open_folder(root: str | Path, settings: DataSettings | None = None) -> Arranged:
    """Open the training and validation images, or those to evaluate, of a folder in one of these layouts.

    - A folder for each split, such as `train`, `val` and `test`, with the same class folders. Splits other than the
      training may lack some of the classes.
    - Class folders only, or those of a single split: divided by `stratified_split` for a training.
    - ImageNet as downloaded: `ILSVRC/Data/CLS-LOC/{train,val}`, or any `train` with class folders and `val` without,
      where `LOC_val_solution.csv` (ImageNet) or `val_annotations.txt` (Tiny ImageNet) names the classes of `val`.

    If there is a mapping such as `LOC_synset_mapping.txt`, classes get readable names instead of WordNet ids.

    Args:
        root: the folder.
        settings: which splits to open, and how.

    Raises:
        InputError: the folder is in none of the layouts, or has a class that `train` lacks.
    """
    root, settings = Path(root), settings or DataSettings()
    base = data_folder(root)
    root = base.absolute().parents[2] if base.absolute().parts[-3:] == _KAGGLE.parts else base
    folders = split_folders(base)
    choice = choose_splits(folders, settings, root)
    # The classes are those of the training images, even if only others are read.
    train = folders.get(choice.train or next((name for name in folders if role_of(name) == "train"), choice.val), base)
    names = [folder.name for folder in class_folders(train)]
    if len(names) == 1 and not settings.evaluate:
        only = train / names[0]
        advice = f"did you mean {only}?" if len(subfolders(only)) > 1 else "add a folder for each other class."
        raise InputError(f"The folder {train} has one class folder only, {names[0]!r}: {advice}")
    if settings.class_order == "natural":
        names.sort(key=natural_key)
    splits: dict[str, ImageFiles] = {}
    for name in choice.names:
        folder = folders[name]
        if folder == train:
            splits[name] = ImageFolder(folder, names, complete=not settings.evaluate)
        else:
            splits[name] = _open_val(folder, names, (root, base, folder))
    readable = _readable_names(names, (root, base, root.parent))

    def halve(images: ImageFiles) -> tuple[list[int], list[int]]:
        keys = [Path(path).relative_to(folders[choice.val]).as_posix() for path in images.paths]
        return stratified_split(images, keys, settings.val_fraction, settings.seed)

    return choice.arrange({name: images.renamed(readable) for name, images in splits.items()}, halve)


def data_folder(root: Path) -> Path:
    """The folder in which a data set has its splits or classes: `root`, or for ImageNet one far below."""
    return root / _KAGGLE if (root / _KAGGLE).is_dir() else root


def split_folders(base: Path) -> dict[str, Path]:
    """The folders of the splits of a data set by their names; `base` itself as `WHOLE` if it has class folders.

    A folder is a split if its name and those of all others state a purpose and any has class folders, or if a folder
    `train` beside it has class folders of the same names. The folds of a cross-validation (`fold1`, `fold2`, ...) with
    the same class folders are splits, too.

    Raises:
        InputError: all folders are named as splits, one of them for validation, and none has class folders.
    """
    inside = subfolders(base) if base.is_dir() else []
    below = {folder: {entry.name for entry in subfolders(folder)} for folder in inside}
    purposes = [folder for folder in inside if role_of(folder.name)]
    folds = len(inside) > 1 and all(_FOLD.fullmatch(folder.name.lower()) for folder in inside)
    if (purposes == inside or (folds and len(set.intersection(*below.values())) > 1)) and any(below.values()):
        return {folder.name: folder for folder in inside}
    # Trains are vehicles, and tests may be a class, too.
    if all(states_role(folder.name) for folder in inside) and "val" in map(role_of, (one.name for one in inside)):
        raise InputError(
            f"The folders {listed([folder.name for folder in inside])} of {base} are splits by their names, and have "
            "no class folders: put the images of each class into a folder of their own in them, or name the task "
            "that reads them."
        )
    train = next((folder for folder in purposes if role_of(folder.name) == "train" and below[folder]), None)
    if train is None:  # folders of such names may also be classes
        return {WHOLE: base}
    return {folder.name: folder for folder in inside if folder in purposes or below[folder] & below[train]}


def nested_classes(base: Path) -> str:
    """A sentence on class folders that are called like splits, or have folders that may be the classes; else empty."""
    if list(split_folders(base)) != [WHOLE]:
        return ""
    folders = subfolders(base)
    if all(states_role(folder.name) for folder in folders):
        return f"The folders {listed([folder.name for folder in folders])} are taken for classes, and not for splits."
    inner = [sorted(entry.name for entry in subfolders(folder)) for folder in folders]
    if len(folders) < 2 or len(inner[0]) < 2 or any(names != inner[0] for names in inner):
        return ""
    return (
        f"Each of the classes {listed([folder.name for folder in folders])} has the folders {listed(inner[0])}: if "
        "those are the classes, name the folders around them as splits, such as fold1 or train."
    )


def _open_val(folder: Path, classes: Sequence[str], folders: Sequence[Path]) -> ImageFiles:
    """The images of a split with these classes, from class folders or a list."""
    found = {entry.name for entry in subfolders(folder)}
    truth = None if found & set(classes) else _first_file(_VAL_LISTS, folders)
    if truth is None:
        if not found:
            raise InputError(
                f"The folder {folder} has no class folders and no list of its classes: put each image into the folder "
                f"of its class, or add {' or '.join(_VAL_LISTS)}."
            )
        return ImageFolder(folder, classes, complete=False)
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
    labels = {name: index for index, name in enumerate(classes)}
    if others := sorted({class_of[file.stem] for file in files} - set(classes)):
        raise InputError(f"The list {truth} has the classes {listed(others)}, which the training images do not have.")
    return ImageFiles([str(file) for file in files], [labels[class_of[file.stem]] for file in files], list(classes))


def _readable_names(classes: Sequence[str], folders: Sequence[Path]) -> dict[str, str]:
    """Names of classes that are not those of their folders, but what their author sees.

    That is the first name of each WordNet id in a mapping, followed by the id if several classes share the name, and
    the name of a folder that is not UTF-8.
    """
    mapping = _first_file(_WORDS, folders)
    if mapping is None:
        return {name: readable_name(name) for name in classes}
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
