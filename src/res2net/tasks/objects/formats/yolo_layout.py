"""Where a data set with YOLO labels has the images of its splits, and what its classes are called."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from res2net.errors import InputError
from res2net.files import files_in, subfolders, walk
from res2net.images.decode import EXTENSIONS
from res2net.images.faults import AnnotationReport
from res2net.images.paths import MissingFile, PathFinder
from res2net.images.splits import WHOLE, role_of
from res2net.images.text import BadText, plain_name, read_lines, read_names, read_yaml

_NAMES = ("classes.txt", "obj.names", "labels/classes.txt", "labels/train/classes.txt", "train/labels/classes.txt")
_NO_SPLITS = ("path", "names", "nc", "download", "roboflow", "kpt_shape", "flip_idx", "backup")
_ABSENT = ("", "null", "~", "None")


@dataclass(frozen=True)
class Layout:
    """The folders and lists of images of each split, and the names of the classes.

    Args:
        root: the folder of the data set.
        splits: folders and text files that list images, by split; `WHOLE` for a data set that is not split.
        names: the names of the classes; None if they are stated nowhere.
        missing: splits that are stated and are not there, with a sentence about each.
        notes: what was assumed.
    """

    root: Path
    splits: Mapping[str, list[Path]]
    names: list[str] | None
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def images(self, split: str, report: AnnotationReport) -> list[str]:
        """The images of a split; those that are listed and not found are reported."""
        found: list[str] = []
        for path in self.splits[split]:
            if path.is_file():
                found += _listed_images(path, self.root, report)
            else:
                found += sorted(name for name in walk(path) if name.lower().endswith(EXTENSIONS))
        return list(dict.fromkeys(found))


def find_layout(path: Path) -> Layout | None:
    """The layout of a path; None if it has no YOLO labels.

    Raises:
        InputError: the YAML file of the data set cannot be used.
    """
    if files := list(_described_files(path)):
        layout = _described(files[0]) if files[0].suffix.lower() in (".yaml", ".yml") else _darknet(files[0])
        notes = [f"{files[0]} describes the data set, and {other} is not used." for other in files[1:]]
        return replace(layout, notes=[*layout.notes, *notes])
    if not path.is_dir():
        return None
    splits = _folders(path)
    return Layout(path, splits, _listed_names(path)) if splits else None


def yolo_splits(path: Path) -> list[str]:
    """The names of the splits of a data set with YOLO labels; empty if it is none. Nothing is checked."""
    if next(_described_files(path), None) is None:
        return list(_folders(path)) if path.is_dir() else []
    try:
        layout = find_layout(path)
    except InputError:
        return [WHOLE]  # reading it says what is wrong
    return [*layout.splits, *layout.missing] if layout else []


def _described_files(path: Path) -> Iterator[Path]:
    """YAML files with the keys `train` or `val`, and `names`, or Darknet's `obj.data`; the first is that to use."""
    if path.is_file():
        yield from [path] if path.suffix.lower() in (".yaml", ".yml", ".data") else []
    if not path.is_dir():
        return
    files = files_in(path, (".yaml", ".yml", ".data"))
    for file in sorted(files, key=lambda file: (file.suffix == ".data", file.stem.lower() != "data", file.name)):
        if file.suffix.lower() == ".data":
            yield file
            continue
        try:
            content = read_yaml(file)
        except BadText:
            content = dict.fromkeys(line.partition(":")[0] for line in _lines_of(file))
        keys = [str(key).lower() for key in content] if isinstance(content, dict) else []
        if "names" in keys and any(role_of(key) for key in keys):
            yield file


def _lines_of(file: Path) -> list[str]:
    try:
        return read_lines(file)
    except BadText:
        return []


def _folders(root: Path) -> dict[str, list[Path]]:
    """The folders of images of each split: `images/train` or `train/images`, or `train` with labels beside images."""
    found: dict[str, list[Path]] = {}
    inside = _inside(root)
    both = _both(root)
    if both:
        below = {name: [folder] for name, folder in _inside(both[0]).items()}
        split = any(role_of(name) and name in _inside(both[1]) for name in below)
        found |= below if split else {WHOLE: [both[0]]}
    pairs = {name: [both[0]] for name, folder in inside.items() if (both := _both(folder))}
    if any(role_of(name) for name in pairs):
        found |= pairs
    if found:
        return found
    beside = {name: [folder] for name, folder in inside.items() if role_of(name) and _labels_beside(folder)}
    return beside or ({WHOLE: [root]} if _listed_names(root) and _labels_beside(root) else {})


def _inside(folder: Path) -> dict[str, Path]:
    return {one.name: one for one in subfolders(folder)}


def _both(folder: Path) -> tuple[Path, Path] | None:
    """The folders of images and of labels in a folder, if it has both, and the labels are no other files than text."""
    inside = {name.lower(): one for name, one in _inside(folder).items()}
    if not {"images", "labels"} <= inside.keys():
        return None
    files = walk(inside["labels"])
    first = next(files, ".txt")
    is_text = any(name.lower().endswith(".txt") for name in chain([first], files))
    return (inside["images"], inside["labels"]) if is_text else None


def _labels_beside(folder: Path) -> bool:
    """Whether a folder has an image beside a text file of the same name."""
    names = {file.name.lower() for file in files_in(folder)}
    stems = [name.removesuffix(".txt") for name in names if name.endswith(".txt")]
    return any(stem + ending in names for stem in stems for ending in EXTENSIONS)


def _listed_names(root: Path) -> list[str] | None:
    """The names of the classes from a text file with one per line; None if there is no such file."""
    file = next((root / name for name in _NAMES if (root / name).is_file()), None)
    return None if file is None else read_names(file)


def _described(file: Path) -> Layout:
    """The layout that a YAML file describes."""
    content = read_yaml(file)
    if not isinstance(content, dict):
        raise InputError(f"{file} does not say where the images are: add `train: FOLDER` and `val: FOLDER`.")
    if "kpt_shape" in content:
        raise InputError(f"{file} has keypoints, which are not read from YOLO's files: export them as COCO.")
    content = {key.lower() if key.lower() in _NO_SPLITS else key: value for key, value in content.items()}
    base = file.parent
    stated = str(content.get("path", ""))
    roots = [tidy(base / path) for path in (stated, stated.replace("\\", "/")) if stated not in _ABSENT]
    root = next((path for path in roots if path.is_dir()), None)
    notes = [f"{file} has the path {stated!r}, which is not there: its folder is used."] if roots and not root else []
    finders = [PathFinder(one) for one in dict.fromkeys([root or base, base])]
    splits, missing = {}, {}
    for key, value in content.items():
        entries = [one for one in (value if isinstance(value, list) else [value]) if one not in _ABSENT]
        if key in _NO_SPLITS or not entries or not all(isinstance(one, str) for one in entries):
            continue
        found = [_find_images(one, finders) for one in entries]
        if all(found):
            splits[str(key)] = [path for path in found if path]
        elif role_of(str(key)):
            lacking = root_path(entries[found.index(None)], root or base)
            missing[str(key)] = f"There is no {lacking}, where {file} has images: fix `path` and `{key}` in it."
    if not splits and not missing:
        raise InputError(f"{file} does not say where the images are: add `train: FOLDER` and `val: FOLDER`.")
    notes += [f"In {file}, {note}." for finder in finders for note in finder.notes()]
    return Layout(root or base, splits, _names(content, file), missing, notes)


def root_path(name: str, root: Path) -> Path:
    """The path that a description states, with any separators."""
    return root / name.replace("\\", "/")


def tidy(path: Path) -> Path:
    """The path without `..`, if that is the same."""
    normal = Path(os.path.normpath(path))
    return normal if path.exists() and normal.exists() and normal.samefile(path) else path


def _find_images(name: str, finders: Sequence[PathFinder]) -> Path | None:
    """A folder or list of images; some programs write paths of their own machine, or with a wrong leading `../`.

    A description states where the data are, so that what it states may lie outside of its own folder.
    """
    roots = [finder.root for finder in finders]
    literal = [path for root in roots for path in (root / name, root_path(name, root)) if path.exists()]
    if literal:
        return tidy(literal[0])
    for finder in finders:
        for find in (finder.find_folder, finder.find):
            try:
                return Path(find(name))
            except MissingFile:
                continue
    return None


def _names(content: Mapping[Any, Any], file: Path) -> list[str] | None:
    """The names of the classes, as a list, a mapping from numbers, or the name of a file."""
    names = content.get("names")
    if names is None or (isinstance(names, str) and names in _ABSENT):
        return None
    if isinstance(names, str):
        try:
            return read_names(PathFinder(file.parent).find(names))
        except MissingFile as error:
            raise InputError(f"The names in {file} are not a list: write `names: [first, second]`.") from error
    if isinstance(names, Mapping):
        if sorted(names) != sorted(map(str, range(len(names)))):
            raise InputError(f"The names in {file} are not numbered 0 to {len(names) - 1}: number them so.")
        names = [names[str(index)] for index in range(len(names))]
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise InputError(f"The names in {file} have {str(wrong[0])[:60]}, which is not a name: write it in quotes.")
    count = content.get("nc", str(len(names)))
    if count != str(len(names)):
        raise InputError(f"{file} has `nc: {count}` and {len(names)} names: fix one of them.")
    if not all(plain := [plain_name(name) for name in names]):
        raise InputError(f"Name {plain.index('')} in {file} is empty: write one, in quotes where it is a sign of YAML.")
    return plain


def _darknet(file: Path) -> Layout:
    """The layout that Darknet's `obj.data` describes, as CVAT exports YOLO 1.1: lists, and labels beside images."""
    finder = PathFinder(file.parent)
    lines = [line.partition("=") for line in read_lines(file) if "=" in line and not line.startswith("#")]
    values = {key.strip(): value.strip() for key, _, value in lines}
    paths: dict[str, Path] = {}
    for key, value in values.items():
        if key not in ("classes", "backup", "eval"):
            try:
                paths[key] = Path(finder.find(_below(value)))
            except MissingFile as error:
                raise InputError(f"{file} names the file {error}: fix `{key}` in it.") from error
    names = read_names(paths.pop("names")) if "names" in paths else _listed_names(file.parent)
    if not paths:
        raise InputError(f"{file} lists no images: add `train = train.txt`.")
    return Layout(file.parent, {key: [path] for key, path in paths.items()}, names)


def _below(name: str) -> str:
    """A path of CVAT's export, which lies in the folder `data` of Darknet."""
    return name.replace("\\", "/").removeprefix("data/")


def _listed_images(file: Path, root: Path, report: AnnotationReport) -> Iterator[str]:
    """Yield the images in a text file; those that are not found are reported."""
    inside = file.resolve().is_relative_to(root.resolve())
    finder = PathFinder(root, [file.parent, root]) if inside else PathFinder(file.parent)
    for line in read_lines(file):
        try:
            if line:
                yield _find(finder, line)
        except MissingFile as error:
            report.add("missing image", file, f"the image {error}")
    report.remark(*(f"In {file}, {note}." for note in finder.notes()))


def _find(finder: PathFinder, line: str) -> str:
    try:
        return finder.find(line)
    except MissingFile:
        if _below(line) == line:
            raise
    return finder.find(_below(line))
