"""The JSON files of COCO: which split and kind of annotations they have, their images and categories."""

from __future__ import annotations

import contextlib
import json
import mmap
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from res2net.files import files_in, subfolders
from res2net.images.decode import EXTENSIONS
from res2net.images.faults import AnnotationReport
from res2net.images.keypoints import Keypoints
from res2net.images.paths import MissingFile, PathFinder
from res2net.images.splits import role_of, states_role
from res2net.images.text import BadText, plain_name, read_json
from res2net.tasks.objects.formats.collect import numbers, whole_size

_KINDS = {"instances": "instances_", "keypoints": "person_keypoints_", "panoptic": "panoptic_"}
_OTHERS = ("captions_", "stuff_", "image_info_", "deviantart_")
_WHOLE = ("id", "image_id", "category_id", "height", "width")
"""The entries that are whole numbers, which some programs write as texts, or with a point."""

_EXPORTED = ("_annotations.coco.json", "annotations.json", "labels.json", "coco.json", "result.json", "instances.json")
"""Names of files within the folder of their images, or of a split."""
_MARKS = {"panoptic": b'"segments_info"', "keypoints": b'"keypoints"', "instances": b'"bbox"'}


Categories = Mapping[int, Mapping[str, Any]]
"""Categories by their ids."""


def find_files(path: Path, kind: str) -> dict[str, Path]:
    """The files of a kind ("instances", "keypoints", "panoptic") by the name of their split; "" for a given file."""
    if path.is_file():
        return {"": path} if path.suffix.lower() == ".json" and kind_of(path) == kind else {}
    found: dict[str, Path] = {}
    for file in _json_files(path):
        if kind_of(file) == kind:
            name = split_of(file)
            found[str(file.relative_to(path)) if name in found else name] = file
    # A file that is cut off or empty is of no kind, but states a split.
    beside = {file.parent for file in found.values()}
    for file in unread_files(path) if found else ():
        if file.parent in beside and states_role(split_of(file)):
            found.setdefault(split_of(file), file)
    return found


def unread_files(path: Path) -> list[Path]:
    """The JSON files where annotations usually are that are none of any kind."""
    return [] if path.is_file() else [file for file in _json_files(path) if not kind_of(file)]


def _json_files(path: Path) -> list[Path]:
    """The JSON files in a folder and its `annotations`, and those with usual names in its other folders."""
    if not path.is_dir():
        return []
    folders = [path / "annotations", path]
    files = [file for folder in folders if folder.is_dir() for file in files_in(folder, ".json")]
    files += [file for name in _EXPORTED for file in sorted(path.glob(f"*/{name}")) if file.parent not in folders]
    return [file for file in files if file.is_file()]


def kind_of(file: Path) -> str:
    """The kind of annotations in a JSON file, by its name or its content; empty if it is not a COCO file."""
    for kind, start in _KINDS.items():
        if file.name.startswith(start):
            return kind
    if file.name.startswith(_OTHERS) or not file.stat().st_size:
        return ""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(b'"annotations"') < 0 or content.find(b'"images"') < 0:
            return ""
        return next((kind for kind, mark in _MARKS.items() if content.find(mark) >= 0), "instances")


def split_of(file: Path) -> str:
    """The name of the split of a file, such as "train2017", from its own name or, for exported files, its folder's."""
    if file.name in _EXPORTED and file.parent.name != "annotations":
        return file.parent.name
    return next((file.stem.removeprefix(start) for start in _KINDS.values() if file.name.startswith(start)), file.stem)


def xyxy(box: object) -> list[float]:
    """Convert COCO's left, top, width and height to edges; an empty list if the box is invalid."""
    values = numbers(box)
    if len(values) != 4:
        return []
    left, top, width, height = values
    return [left, top, left + width, top + height]


def make_numbers_whole(entries: list[Any]) -> int:
    """Change ids and sizes such as "7" and 7.0 to whole numbers in place, and return how many there were.

    Texts such as "007" stay, since "7" may be another one.
    """
    count = 0
    for entry in entries:
        for key in _WHOLE if isinstance(entry, dict) else ():
            value = entry.get(key, 0)
            if type(value) is int:
                continue
            is_text = isinstance(value, str) and re.fullmatch(r"0|[1-9]\d{0,17}", value, flags=re.ASCII)
            if is_text or (isinstance(value, float) and value.is_integer() and abs(value) < 2**53):
                entry[key] = int(value)
                count += 1
    return count


def category_name(categories: Categories, number: int) -> str:
    """The name of the category with an id; the id if it has none."""
    name = categories[number].get("name", number)
    return plain_name(name) if isinstance(name, str) else json.dumps(name)


class CocoFile:
    """The content of a JSON file of COCO, whose faults are reported; it is empty if it cannot be read.

    Args:
        file: the file.
        root: the folder or file that was given as the data set.
        report: the report for faults and notes.
    """

    def __init__(self, file: Path, root: Path, report: AnnotationReport) -> None:
        self.file, self.report = file, report
        self.root = file.parent.parent if file.parent.name == "annotations" else file.parent if root == file else root
        lists: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": []}
        try:
            content = read_json(file)
        except BadText as error:
            self.fault("unreadable file", error.reason)
        else:
            lacking = [
                name for name in lists if not isinstance(content, dict) or not isinstance(content.get(name), list)
            ]
            if lacking:
                self.fault("unreadable file", f"it has no list of {lacking[0]}")
            else:
                lists = content
                if sum(make_numbers_whole(lists[name]) for name in ("images", "annotations", "categories")):
                    report.remark(f"Ids and sizes in {file} that are texts or have a point are read as whole numbers.")
        self.entries, self.annotations = lists["images"], lists["annotations"]
        known: dict[int, dict[str, Any]] = {}
        for entry in lists["categories"]:
            if not isinstance(entry, dict) or not isinstance(entry.get("id"), int):
                self.fault("unreadable object", f"the category {str(entry)[:60]} has no id that is a whole number")
            elif entry["id"] in known:
                self.fault("duplicate id", f"two categories have the id {entry['id']}")
            else:
                known[entry["id"]] = entry
        self.categories: Categories = dict(sorted(known.items()))
        """The categories by id. The ids have gaps, so classes are numbered in their order."""

    def fault(self, kind: str, what: str) -> None:
        """Report a fault in the file."""
        self.report.add(kind, self.file, what)

    def names(self, ids: Iterable[int]) -> list[str]:
        """The names of the categories with these ids."""
        return [category_name(self.categories, number) for number in ids]

    def keypoints(self) -> Keypoints | None:
        """The keypoints of the first category that has any."""
        for number, category in self.categories.items():
            if names := category.get("keypoints"):
                try:
                    pairs = category.get("skeleton") or []
                    return Keypoints.named(tuple(map(str, names)), tuple((int(a) - 1, int(b) - 1) for a, b in pairs))
                except (TypeError, ValueError) as error:
                    self.fault("invalid keypoints", f"the category {number} has a bad skeleton ({error})")
        return None

    def finder(self, folders: Iterable[Path]) -> PathFinder:
        """A finder of files by paths that are relative to one of some folders."""
        return PathFinder(self.root, list(folders))

    def images(self) -> list[tuple[str, tuple[int, int], int]]:
        """Path, size (H, W) and id of each image that exists and has a valid entry."""
        finder = self.finder(self._folders())
        seen: set[int] = set()
        found = []
        for image in self.entries:
            number = image.get("id") if isinstance(image, dict) else None
            if not isinstance(number, int) or abs(number) >= 2**63:
                self.fault("unreadable object", f"an image has the id {number!r}, which is not a whole number")
                continue
            size = whole_size(image.get("height"), image.get("width"))
            if number in seen:
                self.fault("duplicate id", f"two images have the id {number}")
            elif size is None:
                self.fault("wrong size", f"image {number} has no height and width in pixels")
            else:
                try:
                    found.append((finder.find(str(image.get("file_name", "")), EXTENSIONS), size, number))
                except MissingFile as error:
                    self.fault("missing image", f"the image {error}")
            seen.add(number)
        twice = [path for path, count in Counter(path for path, _, _ in found).items() if count > 1]
        if twice:
            self.report.remark(f"{self.file} has {len(twice)} images more than once, such as {twice[0]}.")
        self.report.remark(*(f"In {self.file}, {note}." for note in finder.notes()))
        return found

    def _folders(self) -> list[Path]:
        """The folders that paths of images can be relative to, those first in which there are any of the images.

        Other folders than usual ones only count if no usual one has any, and never those of another split.
        """
        folder, split, root = self.file.parent, split_of(self.file), self.root
        names = list(dict.fromkeys([split, self.file.stem, self.file.stem.rpartition("_")[2]]))
        usual = [base for name in names for base in (root / name, root / "images" / name, root / name / "images")]
        usual += [one / name for one in dict.fromkeys([folder, root]) for name in ("", "images", "data", "JPEGImages")]
        present = [self._has_any(base) for base in usual]
        if any(present):
            return [base for base, has in zip(usual, present, strict=True) if has] + usual
        below = [one for base in (root, root / "images") if base.is_dir() for one in subfolders(base)]
        return usual + [one for one in below if role_of(one.name) in ("", role_of(split)) and self._has_any(one)]

    def _has_any(self, folder: Path) -> bool:
        """Whether paths that are relative to a folder lead to one of the first images."""
        finder = self.finder([folder])
        for entry in self.entries[:20]:
            with contextlib.suppress(MissingFile):
                return bool(finder.find(str(entry.get("file_name")) if isinstance(entry, dict) else "", EXTENSIONS))
        return False

    def without_image(self, numbers: Iterable[int]) -> list[int]:
        """Those of these ids of images that no entry has, not even an invalid one."""
        stated = [image.get("id") for image in self.entries if isinstance(image, dict)]
        known = {number for number in stated if isinstance(number, int)}
        return [number for number in numbers if number not in known]
