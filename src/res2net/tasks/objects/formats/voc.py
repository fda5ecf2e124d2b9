"""PASCAL VOC: an XML file with boxes per image, and lists of the images of each split.

The format: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/. A root is `VOCdevkit`, which has `VOC2007` or
`VOC2012` or both, or one of these; each has `Annotations`, `JPEGImages` and lists in `ImageSets/Main`. Programs also
write the XML files beside the images, in one folder or one for each split.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from res2net.errors import listed
from res2net.files import decode_text, files_in, read_bytes, subfolders
from res2net.images.decode import EXTENSIONS, BadImage, image_size
from res2net.images.faults import AnnotationReport
from res2net.images.paths import MissingFile, PathFinder
from res2net.images.splits import WHOLE, role_of
from res2net.images.text import plain_name, read_lines, read_names
from res2net.tasks.objects.formats.collect import Collector, whole_size
from res2net.tasks.objects.formats.images import Annotations

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""The classes of VOC 2007 and 2012, in alphabetical order."""

_IMAGES = ("jpegimages", "images")
"""Names of folders of images, in lower case."""
_NAMES = ("labelmap.txt", "classes.txt", "labels.txt")
"""Files that list the classes, one a line; the first is that of CVAT, with colours after the names."""


@dataclass(frozen=True)
class _Folder:
    """A folder of XML files, that of their images, and lists of images by split."""

    files: Path
    images: Path
    lists: Mapping[str, Path]

    def names(self, split: str) -> list[str]:
        """The names of the images of a split, without folder and ending; all files if there are no lists."""
        if not self.lists:
            return [file.stem for file in files_in(self.files, ".xml")]
        lines = read_lines(self.lists[split]) if split in self.lists else []
        names = [re.split(r"[\\/]", line)[-1] for line in lines if line]
        return list(dict.fromkeys(name[: -len(end)] if (end := _ending(name)) else name for name in names))

    def is_annotated(self, split: str) -> bool:
        """Whether any of the first images of a list has annotations; an empty list is not without."""
        names = self.names(split)[:20]
        return not names or any((self.files / f"{name}.xml").is_file() for name in names)


def voc_splits(path: Path) -> list[str]:
    """The names of the splits of a PASCAL VOC root; empty if it is none.

    A list of images of which the first have no annotations, such as `test` of VOC 2012, is no split.
    """
    return list(dict.fromkeys(split for split, _ in _members(path)))


def default_splits(names: Sequence[str]) -> list[str]:
    """The splits to choose from where none is named: `trainval` and `test`, as VOC is used, where there are both."""
    usual = [name for name in names if name in ("trainval", "test")]
    return usual if len(usual) == 2 else list(names)


def _members(path: Path) -> list[tuple[str, _Folder]]:
    """The folders of each split."""
    if not path.is_dir():
        return []
    years = [folder for base in (path, path / "VOCdevkit") for folder in (base, *sorted(base.glob("VOC[0-9]*")))]
    found = [folder for year in years if (folder := _year(year))]
    if found:
        splits = dict.fromkeys(split for folder in found for split in folder.lists)
        listed = [
            (split, folder)
            for split in splits
            for folder in found
            if split in folder.lists and folder.is_annotated(split)
        ]
        return listed or [(WHOLE, _Folder(folder.files, folder.images, {})) for folder in found]
    beside = {folder.name: folder for folder in subfolders(path) if _has_pairs(folder)}
    if any(role_of(name) for name in beside):
        return [(name, _Folder(folder, folder, {})) for name, folder in beside.items()]
    return [(WHOLE, _Folder(folder, folder, {})) for folder in (path, *beside.values()) if _has_pairs(folder)]


def _year(year: Path) -> _Folder | None:
    if not year.is_dir():
        return None
    inside = {folder.name.lower(): folder for folder in subfolders(year)}
    files, images = inside.get("annotations"), next((inside[name] for name in _IMAGES if name in inside), None)
    if files is None or images is None or not files_in(files, ".xml"):
        return None
    lists = year / "ImageSets" / "Main"
    found = [file for file in files_in(lists, ".txt") if not _is_of_a_class(file)] if lists.is_dir() else []
    return _Folder(files, images, {file.stem: file for file in found})


def _is_of_a_class(file: Path) -> bool:
    """Whether a list says of each image if it has a class, as `dog_train.txt`, instead of listing those of a split."""
    lines = [line.split() for line in read_lines(file)[:20] if line]
    return bool(lines) and all(len(words) == 2 and words[1] in ("-1", "0", "1") for words in lines)


def _has_pairs(folder: Path) -> bool:
    """Whether a folder has an image beside its XML file."""
    names = {file.name.lower() for file in files_in(folder)}
    stems = [name.removesuffix(".xml") for name in names if name.endswith(".xml")]
    return any(stem + ending in names for stem in stems for ending in EXTENSIONS)


def _ending(name: str) -> str:
    return next((ending for ending in (*EXTENSIONS, ".xml") if name.lower().endswith(ending)), "")


def read_voc(
    path: Path, labels: Sequence[str] | None, report: AnnotationReport, splits: Sequence[str] | None = None
) -> dict[str, Annotations]:
    """Read splits, by default all; classes are those that are listed or occur in any split, in alphabetical order."""
    del labels  # there are only boxes
    members = _members(path)
    parsed: dict[str, list[Entry]] = {split: [] for split, _ in members}
    wanted = set(parsed) if splits is None else set(splits)
    for split, folder in members:
        # Files of other splits are read for their classes.
        parsed[split] += _parse(path, folder, split, report if split in wanted else AnnotationReport(path))
    for lists in {folder.files: folder.lists for _, folder in members if folder.lists}.values():
        if bare := [str(file) for split, file in lists.items() if split not in parsed]:
            report.remark(f"The images of {listed(bare)} have no annotations, so that these are no splits.")
    entries = [entry for split in parsed.values() for entry in split]
    occurring = {_text(thing, "name") for _, content, _ in entries for thing in content.iterfind("object")} - {""}
    classes = _listed(path, occurring, report) or sorted(occurring)
    edges = [edge for _, content, _ in entries for thing in content.iterfind("object") for edge in _edges(thing)[:2]]
    first = int(not any(0 <= edge < 1 for edge in edges))
    if not first:
        report.remark(f"The boxes of {path} are taken for edges that count from 0, since one begins there, not from 1.")
    return {
        split: _collect(f"{path} {split}".strip(), found, classes, first, report)
        for split, found in parsed.items()
        if split in wanted
    }


def _listed(path: Path, occurring: set[str], report: AnnotationReport) -> list[str]:
    """The classes in a file, if there is one that has all that occur."""
    file = next((path / name for name in _NAMES if (path / name).is_file()), None)
    if file is None:
        return []
    lines = [line for line in read_lines(file) if not line.startswith("#")] if file.name == _NAMES[0] else []
    names = [plain_name(line.partition(":")[0]) for line in lines if line] or read_names(file)
    names = [name for name in names if name != "background" or name in occurring]
    if lacking := sorted(occurring - set(names)):
        report.remark(f"{file} does not list {', '.join(lacking)}, and is not used: the classes are those that occur.")
        return []
    return names


Entry = tuple[Path, ET.Element, str]
"""The path of an annotation file, its content, and the path of its image."""


def _parse(path: Path, folder: _Folder, split: str, report: AnnotationReport) -> list[Entry]:
    finder = PathFinder(path, [folder.images, folder.files, path])
    files = PathFinder(folder.files)
    found = []
    for name in folder.names(split):
        try:
            file = Path(files.find(name, (".xml",)))
            content = parse_xml(read_bytes(file), file)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            report.add("unreadable file", folder.files / f"{name}.xml", f"it cannot be read ({reason})")
            continue
        try:
            found.append((file, content, _image(finder, name, _text(content, "filename"))))
        except MissingFile:
            report.add("missing image", file, f"there is no image {name!r} in {folder.images}")
    report.remark(*(f"In {folder.files}, {note}." for note in finder.notes()))
    return found


def _image(finder: PathFinder, name: str, stated: str) -> str:
    """The image of an annotation file: that of its own name, or else that which it names."""
    try:
        return finder.find(name, EXTENSIONS)
    except MissingFile:
        return finder.find(stated, EXTENSIONS)


def parse_xml(content: bytes, file: str | Path = "") -> ET.Element:
    """Parse an XML file; `ValueError` if it is invalid or declares a document type, which could fetch entities."""
    try:
        try:
            element: ET.Element = fromstring(content, forbid_dtd=True)
        except (ET.ParseError, LookupError):  # of another encoding than it says
            element = fromstring(decode_text(content, file).lstrip(), forbid_dtd=True)
    except DefusedXmlException as error:
        raise ValueError("it declares a document type, which is not read") from error
    except (ET.ParseError, ValueError) as error:
        raise ValueError(f"it is not valid XML: {error}") from error
    return element


def _collect(
    name: str, entries: Iterable[Entry], classes: Sequence[str], first: int, report: AnnotationReport
) -> Annotations:
    collector = Collector(name, report)
    label_of = {name: index for index, name in enumerate(classes)}
    for file, content, image in entries:
        size = _size(content, image, file, report)
        if size is None:
            continue
        collector.start_image(image, size, file=file)
        for index, thing in enumerate(content.iterfind("object")):
            name = _text(thing, "name")
            if not name:
                collector.fault("unknown class", f"object {index} has no name")
                continue
            left, top, right, bottom = _edges(thing) or (0.0, 0.0, 0.0, 0.0)
            box = [left - first, top - first, right, bottom] if _edges(thing) else []
            difficult = _text(thing, "difficult") == "1"
            collector.add(f"object {index} ({name})", label_of[name], box, difficult=difficult)
        collector.end_image()
    return collector.finish(classes)


def _text(element: ET.Element, path: str) -> str:
    """The text at a path below an element, without spaces around it; empty if there is none."""
    return plain_name(element.findtext(path) or "")


def _size(content: ET.Element, image: str, file: Path, report: AnnotationReport) -> tuple[int, int] | None:
    """The size in the annotation file, or if it has none (some programs write 0), that of the image."""
    texts = [_text(content, f"size/{side}") for side in ("height", "width")]
    size = whole_size(*(int(text) if re.fullmatch(r"\d{1,6}", text) else 0 for text in texts))
    if size is not None:
        return size
    try:
        return image_size(image)
    except BadImage as error:
        report.add("unreadable image", file, f"{image}: {error.reason}")
        return None


def _edges(thing: ET.Element) -> list[float]:
    """The edges of a box as in the file, which are its first and last pixel, counted from 1; empty if it has none."""
    try:
        return [float(_text(thing, f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax")]
    except ValueError:
        return []
