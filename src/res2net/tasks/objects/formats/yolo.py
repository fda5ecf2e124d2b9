"""YOLO's text files: one line per object with its class and its box or polygon, relative to the size of the image.

The format: https://docs.ultralytics.com/datasets/detect/. The labels of `.../images/x.jpg` are in `.../labels/x.txt`.
A root has `images/train` and `labels/train`, or `train/images` and `train/labels` (and the same for `val` or `valid`),
or just `images` and `labels`; or a `data.yaml` with the folders of images and the names of the classes. Without it, the
names come from `classes.txt`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from res2net.errors import InputError
from res2net.files import read_text, read_yaml, walk
from res2net.images.decode import EXTENSIONS, BadImage, image_size
from res2net.images.faults import AnnotationReport
from res2net.images.folder import list_images
from res2net.images.text import read_lines
from res2net.tasks.objects.formats.collect import Collector
from res2net.tasks.objects.formats.images import Annotations

_SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation", "test")}
_NAMES = ("classes.txt", "obj.names", "labels/classes.txt", "labels/train/classes.txt", "train/labels/classes.txt")


def has_yolo(path: Path) -> bool:
    """Whether a path is the root or the YAML file of a data set with YOLO labels."""
    if path.is_file():
        return path.suffix.lower() in (".yaml", ".yml")
    return _yaml_file(path) is not None or bool(_folders(path))


def _yaml_file(root: Path) -> Path | None:
    """The file `data.yaml`, or another YAML file with the keys `train` and `names`."""
    files = [file for file in root.glob("*.y*ml") if file.is_file()]
    for file in sorted(files, key=lambda file: (file.stem != "data", file.name)):
        lines = read_text(file).splitlines()
        if {"train", "names"} <= {line.partition(":")[0].strip() for line in lines if not line.startswith(" ")}:
            return file
    return None


def _folders(root: Path) -> dict[str, list[Path]]:
    """The folders of images of each split, or of "" for a data set without splits."""
    found: dict[str, list[Path]] = {}
    for split, names in _SPLITS.items():
        for name in names:
            pairs = [(root / "images" / name, root / "labels" / name), (root / name / "images", root / name / "labels")]
            existing = [images for images, labels in pairs if images.is_dir() and labels.is_dir()]
            if existing:
                found.setdefault(split, existing)
    if not found and (root / "images").is_dir() and (root / "labels").is_dir():
        found[""] = [root / "images"]
    return found


def read_yolo(path: Path, labels: Sequence[str] | None, report: AnnotationReport) -> list[Annotations]:
    """Read the training and validation split, or a single split; there are masks if every object has a polygon."""
    file = path if path.is_file() else _yaml_file(path)
    names: list[str] | None
    if file is not None:
        splits, names = _described(file)
    else:
        splits, names = {split: list(_images(folders)) for split, folders in _folders(path).items()}, _listed(path)
    files = [splits["train"], splits["val"]] if len(splits) > 1 else list(splits.values())
    parsed = [[(image, _label_file(image)) for image in images] for images in files]
    lines = [[(image, label, _lines(label, report)) for image, label in split] for split in parsed]
    objects = [numbers for split in lines for _, _, found in split for _, numbers in found]
    if names is None:
        names = [str(label) for label in range(int(max((numbers[0] for numbers in objects), default=-1)) + 1)]
    has_polygons = bool(objects) and all(len(numbers) > 5 for numbers in objects)
    with_masks = has_polygons and (labels is None or "masks" in labels)
    return [_collect(path, split, names, with_masks, report) for split in lines]


def _described(file: Path) -> tuple[dict[str, list[str]], list[str] | None]:
    """The images of each split, and the names of the classes, from a YAML file."""
    try:
        content = read_yaml(file)
    except (OSError, ValueError) as error:
        raise InputError(f"{file} is not valid YAML ({' '.join(str(error).split())}): fix it.") from error
    if not isinstance(content, dict) or not content.get("train"):
        raise InputError(f"{file} does not say where the images are: add `train: FOLDER` and `val: FOLDER`.")
    if "kpt_shape" in content:
        raise InputError(f"{file} has keypoints, which are not read from YOLO's files: export them as COCO.")
    base = file.parent
    root = base / str(content.get("path") or "")
    splits = {}
    for split, keys in {"train": ("train",), "val": ("val", "valid", "test")}.items():
        value = next((content[key] for key in keys if content.get(key)), None)
        entries = value if isinstance(value, list) else [value] if value else []
        found = [image for entry in entries for image in _images([_find_images(str(entry), root, base, file)])]
        if found:
            splits[split] = found
    if not splits:
        raise InputError(f"There are no images where {file} says: fix `path`, `train` and `val` in it.")
    return splits, _names(content.get("names"), file)


def _names(names: object, file: Path) -> list[str] | None:
    if names is None:
        return None
    if isinstance(names, Mapping):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise InputError(f"The names in {file} are not numbered 0 to {len(names) - 1}: number them so.")
        return [str(names[index]) for index in range(len(names))]
    if isinstance(names, list):
        return [str(name) for name in names]
    raise InputError(f"The names in {file} are not a list: write `names: [first, second]`.")


def _find_images(name: str, root: Path, base: Path, file: Path) -> Path:
    """A folder or list of images; some programs write paths of their own machine, or with a wrong leading `../`."""
    plain = name.removeprefix("../")
    candidates = [root / name, base / name, base / plain, base / Path(name).name]
    found = next((path for path in candidates if path.exists()), None)
    if found is None:
        raise InputError(f"There is no {candidates[0]}, where {file} has images: fix `path` and {name!r} in it.")
    return found


def _images(paths: Sequence[Path]) -> Iterator[str]:
    """Yield the images in folders, and those listed in text files."""
    for path in paths:
        if path.is_file():
            yield from (str(path.parent / line) for line in read_lines(path) if line)
        elif path.is_dir() and any(name.lower().endswith(EXTENSIONS) for name in walk(path)):
            yield from map(str, list_images(path))


def _listed(root: Path) -> list[str] | None:
    """The names of the classes from a text file with one per line; None if there is no such file."""
    file = next((root / name for name in _NAMES if (root / name).is_file()), None)
    return None if file is None else [line for line in read_lines(file) if line]


def _label_file(image: str) -> Path:
    """The file `.../labels/x.txt` for `.../images/x.jpg`; only the last folder `images` is replaced."""
    path = Path(image).with_suffix(".txt")
    parts = list(path.parts)
    indices = [index for index, part in enumerate(parts[:-1]) if part == "images"]
    if indices:
        parts[indices[-1]] = "labels"
    return Path(*parts)


Line = tuple[int, list[float]]
"""The index of a line, from 1, and its numbers: class, centre x, centre y, width, height; or class, x, y, x, y, ..."""


def _lines(file: Path, report: AnnotationReport) -> list[Line]:
    """The objects of a label file; an image without objects does not need one."""
    if not file.is_file():
        return []
    found = []
    for number, line in enumerate(read_lines(file), start=1):
        if not line:
            continue
        try:
            numbers = [float(word) for word in line.split()]
        except ValueError:
            numbers = []
        whole = bool(numbers) and numbers[0].is_integer() and 0 <= numbers[0] < 2**31
        if not whole or not (len(numbers) == 5 or (len(numbers) >= 7 and len(numbers) % 2)):
            report.add(
                "unreadable object", file, f"line {number} is not a class with a box or a polygon: {line[:60]!r}"
            )
        elif not all(abs(value) <= 2 for value in numbers[1:]):
            report.add("box outside", file, f"line {number} has numbers that are not shares of an image: {line[:60]!r}")
        else:
            found.append((number, numbers))
    return found


def _collect(
    path: Path,
    split: Sequence[tuple[str, Path, list[Line]]],
    names: Sequence[str],
    with_masks: bool,
    report: AnnotationReport,
) -> Annotations:
    collector = Collector(str(path), report, with_masks=with_masks)
    for image, file, lines in split:
        try:
            size = image_size(image)
        except BadImage as error:
            kind = "unreadable image" if Path(image).exists() else "missing image"
            report.add(kind, image, error.reason)
            continue
        collector.start_image(image, size, file=file)
        seen: set[tuple[float, ...]] = set()
        for number, numbers in lines:
            if tuple(numbers) in seen:
                collector.fault("duplicate id", f"line {number} is the same as one before")
            elif numbers[0] >= len(names):
                collector.fault("unknown class", f"line {number} has the class {numbers[0]:g} of {len(names)}")
            else:
                box, ring = _pixels(numbers[1:], size)
                collector.add(f"line {number}", int(numbers[0]), box, mask=[ring])
            seen.add(tuple(numbers))
        collector.end_image()
    return collector.finish(names)


def _pixels(shares: Sequence[float], size: tuple[int, int]) -> tuple[list[float], list[float]]:
    """The box in pixels, XYXY, and the polygon as a flat list, empty if the object has only a box."""
    height, width = size
    if len(shares) == 4:
        x, y, dx, dy = shares[0], shares[1], shares[2] / 2, shares[3] / 2
        return [(x - dx) * width, (y - dy) * height, (x + dx) * width, (y + dy) * height], []
    scaled: list[Any] = [share * (height if index % 2 else width) for index, share in enumerate(shares)]
    return [min(scaled[::2]), min(scaled[1::2]), max(scaled[::2]), max(scaled[1::2])], scaled
