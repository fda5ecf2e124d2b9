"""PASCAL VOC: an XML file with boxes per image, and lists of the images of each split.

The format: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/. A root is `VOCdevkit`, which has `VOC2007` or
`VOC2012` or both, or one of these; each has `Annotations`, `JPEGImages` and lists in `ImageSets/Main`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from res2net.files import read_bytes
from res2net.images.decode import EXTENSIONS, BadImage, image_size
from res2net.images.faults import AnnotationReport
from res2net.images.text import read_lines
from res2net.tasks.objects.formats.collect import Collector, files_below, whole_size
from res2net.tasks.objects.formats.images import Annotations

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""The classes of VOC 2007 and 2012. Data sets with other classes have those that occur, in alphabetical order."""

_IMAGES = ("JPEGImages", "images", "Images")


def has_voc(path: Path) -> bool:
    """Whether a path is a PASCAL VOC root."""
    return bool(_years(path))


def _years(path: Path) -> list[Path]:
    """The folders with annotations, sorted by name."""
    inside = [path, path / "VOCdevkit"]
    inside += [folder for base in inside if base.is_dir() for folder in sorted(base.glob("VOC[0-9]*"))]
    return [folder for folder in inside if (folder / "Annotations").is_dir() and _image_folder(folder)]


def _image_folder(year: Path) -> Path | None:
    return next((year / name for name in _IMAGES if (year / name).is_dir()), None)


def read_voc(path: Path, labels: Sequence[str] | None, report: AnnotationReport) -> list[Annotations]:
    """Read the training and validation split, or a single split if there are no lists.

    If the images of the list `test` have annotations (VOC 2007), they are used for validation, and `trainval` of all
    years for training; otherwise `val` and `train` are used.
    """
    del labels  # there are only boxes
    years = _years(path)
    tested = [
        year
        for year in years
        if any((year / "Annotations" / f"{name}.xml").is_file() for name in _list(year, "test")[:20])
    ]
    if tested:
        train = [(year, name) for year in years for name in _list(year, "trainval") or _list(year, "train")]
        splits = [train, [(year, name) for year in tested for name in _list(year, "test")]]
    else:
        splits = [[(year, name) for year in years for name in _list(year, split)] for split in ("train", "val")]
    if not all(splits):
        splits = [[(year, file.stem) for year in years for file in sorted((year / "Annotations").glob("*.xml"))]]
    parsed = [_parse(path, members, report) for members in splits]
    things = [thing for split in parsed for _, content, _ in split for thing in content.iterfind("object")]
    found = {_text(thing, "name") for thing in things} - {""}
    classes = VOC_CLASSES if found <= set(VOC_CLASSES) else tuple(sorted(found))
    return [_collect(path, split, classes, report) for split in parsed]


def _list(year: Path, split: str) -> list[str]:
    """The names in a list of images, the first word of each line; empty if there is no such list."""
    file = year / "ImageSets" / "Main" / f"{split}.txt"
    return list(dict.fromkeys(line.split()[0] for line in read_lines(file) if line)) if file.is_file() else []


Entry = tuple[Path, ET.Element, str]
"""The path of an annotation file, its content, and the path of its image."""


def _parse(path: Path, members: Iterable[tuple[Path, str]], report: AnnotationReport) -> list[Entry]:
    images: dict[Path, dict[str, str]] = {}
    found = []
    for year, name in members:
        folder = _image_folder(year)
        assert folder is not None
        if folder not in images:
            names = sorted(files_below(folder))
            images[folder] = {Path(one).stem: one for one in names if one.lower().endswith(EXTENSIONS)}
        file = year / "Annotations" / f"{name}.xml"
        try:
            content = parse_xml(read_bytes(file))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            report.add("unreadable file", file, f"it cannot be read ({reason})")
            continue
        if name not in images[folder]:
            report.add("missing image", file, f"there is no image {name!r} in {folder}")
            continue
        found.append((file, content, str(folder / images[folder][name])))
    return found


def parse_xml(content: bytes) -> ET.Element:
    """Parse an XML file; `ValueError` if it is invalid or declares a document type, which could fetch entities."""
    try:
        element: ET.Element = fromstring(content, forbid_dtd=True)
    except DefusedXmlException as error:
        raise ValueError("it declares a document type, which is not read") from error
    except (ET.ParseError, LookupError) as error:  # the latter for unknown encodings
        raise ValueError(f"it is not valid XML: {error}") from error
    return element


def _collect(path: Path, entries: Iterable[Entry], classes: Sequence[str], report: AnnotationReport) -> Annotations:
    collector = Collector(str(path), report)
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
            difficult = _text(thing, "difficult") == "1"
            collector.add(f"object {index} ({name})", label_of[name], _box(thing), difficult=difficult)
        collector.end_image()
    return collector.finish(classes)


def _text(element: ET.Element, path: str) -> str:
    """The text at a path below an element, without spaces around it; empty if there is none."""
    return (element.findtext(path) or "").strip()


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


def _box(thing: ET.Element) -> list[float]:
    """The edges of a box, which the file stores as the first and last pixel, counted from 1."""
    try:
        left, top, right, bottom = (float(_text(thing, f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax"))
    except ValueError:
        return []
    return [left - 1, top - 1, right, bottom]
