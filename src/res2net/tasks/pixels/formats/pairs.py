"""Pair images with their label maps, by folders, file names and lists."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from res2net.images.decode import EXTENSIONS
from res2net.images.faults import AnnotationReport

__all__ = ["MAP_ENDINGS", "Pair", "are_paired", "files_by_stem", "listed_pairs", "pair_folders"]
__all__ += ["pair_side_by_side", "read_list"]

Pair = tuple[str, str]
"""The path of an image, and that of its label map."""

MAP_ENDINGS = (*EXTENSIONS, ".npy")
"""Extensions of files that can hold labels, in lower case."""

_ENDINGS = ("", "_mask", "-mask", "_gt", "_label", "_labels", "_depth", "_segmentation", "_seg")
_STARTS = (("rgb_", "sync_depth_"), ("rgb_", "depth_"), ("rgb", "depth"), ("image", "mask"), ("image", "depth"))


def files_by_stem(folder: Path, endings: Sequence[str] = EXTENSIONS) -> dict[str, str]:
    """The files below a folder by relative path without extension; hidden files and duplicate stems are ignored."""
    found: dict[str, str] = {}
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = PurePosixPath(Path(parent).relative_to(folder).as_posix())
        for name in sorted(names):
            if name.lower().endswith(tuple(endings)) and not name.startswith("."):
                found.setdefault(str(inside / PurePosixPath(name).stem), str(Path(parent, name)))
    return found


def are_paired(images: Path, maps: Path) -> bool:
    """Whether at least one image of the first folder has a map in the second."""
    labels = files_by_stem(maps, MAP_ENDINGS)
    return bool(labels) and any(name in labels for stem in files_by_stem(images) for name in partners(stem))


def pair_folders(image_folder: Path, maps: Path, report: AnnotationReport) -> list[Pair]:
    """Pair the images and maps of two folders by their names; files without a partner are added to the report.

    The map of an image `x` may be called `x`, `x_mask` (`_gt`, `_label`, `_depth`, ...), or `depth_x` for `rgb_x`.
    """
    images, labels = files_by_stem(image_folder), files_by_stem(maps, MAP_ENDINGS)
    pairs: list[Pair] = []
    taken: set[str] = set()
    for stem, path in images.items():
        partner = next((name for name in partners(stem) if name in labels), None)
        if partner is None:
            report.add("missing mask file", path, f"there is no {stem} in {maps}")
        else:
            pairs.append((path, labels[partner]))
            taken.add(partner)
    for stem in labels.keys() - taken:
        report.add("missing image", labels[stem], f"there is no image {stem} in {images}")
    return pairs


def partners(stem: str) -> Iterable[str]:
    """Yield the possible names of the map of an image."""
    yield from (stem + ending for ending in _ENDINGS)
    path = PurePosixPath(stem)
    for start, other in _STARTS:
        if path.name.startswith(start):
            yield str(path.with_name(other + path.name.removeprefix(start)))


def pair_side_by_side(folder: Path, report: AnnotationReport) -> list[Pair]:
    """Pair the files of a folder in which `x.png` is the mask of the photo `x.jpg`."""
    photos, masks = files_by_stem(folder, (".jpg", ".jpeg")), files_by_stem(folder, (".png", ".bmp"))
    for stem in photos.keys() - masks.keys():
        report.add("missing mask file", photos[stem], f"there is no {stem}.png beside it")
    for stem in masks.keys() - photos.keys():
        report.add("missing image", masks[stem], f"there is no {stem}.jpg beside it")
    return [(path, masks[stem]) for stem, path in photos.items() if stem in masks]


def read_list(file: Path) -> list[str]:
    """Read a list of images: the first word of each line, without folder and extension."""
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    words = (line.split()[0] for line in lines if line.strip())
    return list(dict.fromkeys(_stem(PurePosixPath(word.replace("\\", "/")).name) for word in words))


def _stem(name: str) -> str:
    """A name without the extension of an image; other dots are part of the name."""
    return name[: name.rindex(".")] if name.lower().endswith(EXTENSIONS) else name


def listed_pairs(file: Path, pairs: Sequence[Pair], report: AnnotationReport) -> list[Pair]:
    """The pairs whose images are in a list, in the order of the list."""
    by_stem = {Path(path).stem: (path, labels) for path, labels in pairs}
    found = []
    for stem in read_list(file):
        if stem in by_stem:
            found.append(by_stem[stem])
        else:
            report.add("missing image", file, f"there is no image {stem!r} with labels")
    return found
