"""Folders of images and folders of label maps, as users and common data sets lay them out.

Semantic segmentation: ADE20K (http://sceneparsing.csail.mit.edu/) has `images/training` and `annotations/training`.
Saliency: DUTS has `DUTS-TR-Image` and `DUTS-TR-Mask`, ECSSD `images` and `ground_truth_mask`, HKU-IS `imgs` and `gt`,
SOD and MSRA-B photos and masks in one folder. Depth: `rgb` and `depth`, NYUv2 `rgb_x.jpg` and `sync_depth_x.png`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from res2net.errors import InputError
from res2net.files import files_in, subfolders, walk
from res2net.images.decode import EXTENSIONS
from res2net.images.faults import AnnotationReport
from res2net.images.splits import WHOLE, role_of, stated_splits, states_role
from res2net.images.text import read_csv, read_json, read_lines
from res2net.tasks.pixels.formats.classes import CLASS_FILES, find_class_file, found_classes, read_classes, with_greys
from res2net.tasks.pixels.formats.codings import Coding, DepthMaps, SemanticMaps, Turning, masks_of
from res2net.tasks.pixels.formats.images import Pair, PixelFiles

# All in lower case.
_IMAGES = ("images", "image", "imgs", "img", "rgb", "jpegimages", "pictures", "sync_rgb")
_IMAGE_ENDINGS = ("-image", "-images", "_image")
_MAPS = {
    "semantic": (
        *("masks", "mask", "annotations", "annotation", "labels", "label", "gt", "semantic", "segmentation"),
        *("segmentationclass", "segmentationclasspng"),
    ),
    "saliency": (
        *("masks", "mask", "gt", "gts", "ground_truth_mask", "groundtruth", "ground_truth", "saliency", "annotations"),
        *("annotation", "pixelwisegt-new-png"),
    ),
    "depth": ("depth", "depths", "depth_maps", "depth_map", "depth_gt", "sync_depth"),
}
_MAP_ENDINGS = {
    "semantic": ("-mask", "-masks", "_mask"),
    "saliency": ("-mask", "-masks", "_mask"),
    "depth": ("_depth",),
}
_MAP_EXTENSIONS = (*EXTENSIONS, ".npy")
"""Extensions of files that can hold labels, in lower case."""

_PARTNER_ENDINGS = ("", "_mask", "-mask", "_gt", "_label", "_labels", "_depth", "_segmentation", "_seg")
_STARTS = (("rgb_", "sync_depth_"), ("rgb_", "depth_"), ("rgb", "depth"), ("image", "mask"), ("image", "depth"))

Reader = Callable[[AnnotationReport], list[Pair]]
"""A function that pairs the images of a split with their maps, and reports files without a partner."""


def has_folders(path: Path, label: str) -> bool:
    """Whether a root has a folder of images and a folder of maps whose names suit that label."""
    return path.is_dir() and bool(_splits(path, label))


def unpaired(root: Path, label: str) -> tuple[Path, Path] | None:
    """Folders of images and of maps with the expected names of which no map has the name of an image, for a message."""
    if not root.is_dir():
        return None
    bases = [root, *subfolders(root)]
    pairs = (pair for base in bases for pair in _candidates(base, label))
    return next(
        ((images, maps) for images, maps in pairs if files_by_stem(images) and files_by_stem(maps, _MAP_EXTENSIONS)),
        None,
    )


def _splits(root: Path, label: str, report: AnnotationReport | None = None) -> dict[str, Reader]:
    """The reader of each split by its name, or that of `WHOLE` for a data set without splits.

    A split is a folder with images and maps, or has folders of its name among the images and among the maps. Where no
    name states the role of a split, such folders are only taken for splits if there are no other images.
    """
    found: dict[str, Reader] = {}
    candidates = _candidates(root, label)
    for images, maps in candidates:
        within = _inside(maps)
        for name, folder in _inside(images).items():
            if name in within and folder.name not in found and are_paired(folder, within[name]):
                found[folder.name] = partial(pair_folders, folder, within[name])
    parts = {folder for pair in candidates for folder in pair}
    for folder in subfolders(root):
        if folder not in parts and folder.name.lower() not in _IMAGES and (reader := _reader(folder, label)):
            found[folder.name] = reader
    if any(map(role_of, found)):
        folders = [*subfolders(root), *(folder for images, _ in candidates for folder in subfolders(images))]
        return found | dict.fromkeys(stated_splits(folders, found, report), lambda _: [])
    whole = _reader(root, label)
    return {WHOLE: whole} if whole else found


def _inside(folder: Path) -> dict[str, Path]:
    return {entry.name.lower(): entry for entry in subfolders(folder)}


def _candidates(base: Path, label: str) -> list[tuple[Path, Path]]:
    """Pairs of folders of images and of maps within a folder, by their names, most likely first."""
    inside = _inside(base)
    images = [inside[name] for name in _IMAGES if name in inside]
    images += [folder for name, folder in inside.items() if name.endswith(_IMAGE_ENDINGS)]
    maps = [inside[name] for name in _MAPS[label] if name in inside]
    maps += [folder for name, folder in inside.items() if name.endswith(_MAP_ENDINGS[label])]
    return [(image_folder, map_folder) for image_folder in images for map_folder in maps if image_folder != map_folder]


def _reader(base: Path, label: str) -> Reader | None:
    """The reader of the images and maps within a folder; None if there are none."""
    for images, maps in _candidates(base, label):
        if are_paired(images, maps):
            return partial(pair_folders, images, maps)
    if label == "saliency":
        for folder in (base, *(folder for name, folder in _inside(base).items() if name in _IMAGES)):
            if _side_by_side(folder):
                return partial(pair_side_by_side, folder)
    return None


def _side_by_side(folder: Path) -> bool:
    """Whether a folder contains a photo and a mask of the same name."""
    photos = files_in(folder, (".jpg", ".jpeg"))
    return any(photo.with_suffix(".png").is_file() for photo in photos[:20])


Listed = dict[str, tuple[list[Pair], AnnotationReport]]
"""The pairs of each split, with the faults of listing them."""


def _pairs(root: Path, label: str) -> Listed:
    """The pairs of each split, from folders or from lists such as `train.txt` or `train.csv`, or of all images."""
    found: Listed = {}
    unlabelled = AnnotationReport(root)
    for name, reader in _splits(root, label, unlabelled).items():
        report = AnnotationReport(root)
        found[name] = reader(report), report
    for _, report in found.values():
        report.merge(unlabelled)
    lists = {
        file.stem: file
        for folder in (root / "ImageSets" / "Segmentation", root / "lists", root / "splits", root)
        if folder.is_dir()
        for file in files_in(folder, (".txt", ".csv"))
        if file.name not in CLASS_FILES and role_of(file.stem)
    }
    if not lists or WHOLE not in found:
        return found
    pairs, report = found[WHOLE]
    index = _index(pairs)
    for name, file in list(lists.items()):
        is_text = file.suffix.lower() == ".txt"  # a table may hold anything
        if _is_list(entries(file, index), index) or (is_text and states_role(name) and role_of(name) != "test"):
            continue
        report.remark(f"{file} names no image with labels, so that it is no split." if states_role(name) else "")
        del lists[name]
    if not any(role_of(name) == "train" for name in lists):
        names = ", ".join(str(file) for file in lists.values())
        report.unused.append(
            f"Without a list of images to train on, {names} {'is' if len(lists) == 1 else 'are'} not used."
        )
        return found
    split: Listed = {}
    listed_images: set[str] = set()
    for name, file in lists.items():
        own = AnnotationReport(root)
        split[name] = listed_pairs(file, index, own), own
        listed_images |= {image for image, _ in split[name][0]}
    left = [image for image, _ in pairs if image not in listed_images]
    if left:
        note = f"{len(left)} images with labels are in none of the lists {', '.join(lists)}, such as {left[0]}."
        next(iter(split.values()))[1].unused.append(note)
    for _, own in split.values():
        own.merge(report)
    return split


def maps_of(root: Path, label: str) -> list[str]:
    """The label maps of all images of a data set of folders, whatever is in them."""
    return [labels for pairs, _ in _pairs(root, label).values() for _, labels in pairs]


def read_semantic(root: Path) -> dict[str, PixelFiles]:
    """Images with class maps; the names of the classes come from one of `CLASS_FILES`, or are their numbers.

    In ADE20K's folders (`images/training` and `annotations/training`) without such a file, 0 is unlabelled.
    """
    splits = _pairs(root, "semantic")
    maps = [labels for pairs, _ in splits.values() for _, labels in pairs]
    file = find_class_file(root)
    if file is None:
        ade = all((root / folder / "training").is_dir() for folder in ("images", "annotations"))
        classes = found_classes(maps, zero_is_unlabelled=ade)
    else:
        classes = with_greys(read_classes(file), maps)
    for _, report in splits.values():
        report.remark(classes.note)
    return _files(root, "semantic", classes.names, splits, SemanticMaps(classes.index_of, classes.index_of_colour))


def read_saliency(root: Path) -> dict[str, PixelFiles]:
    """Images with masks of salient objects."""
    splits = _pairs(root, "saliency")
    said = AnnotationReport(root)
    masks = masks_of([labels for pairs, _ in splits.values() for _, labels in pairs], said, "salient")
    for _, report in splits.values():
        report.merge(said)
    return _files(root, "saliency", ("salient",), splits, masks)


def read_depth(root: Path) -> dict[str, PixelFiles]:
    """Images with depth maps.

    `depth.json` may contain the `scale`, the value that corresponds to one metre, and `"inverse": true` for maps of
    inverse depth.
    """
    return _files(root, "depth", ("depth",), _pairs(root, "depth"), _depth_maps(root / "depth.json"))


def _depth_maps(file: Path) -> DepthMaps:
    if not file.is_file():
        return DepthMaps()
    content = read_json(file)
    scale, inverse = (
        (content.get("scale"), content.get("inverse", False)) if isinstance(content, dict) else (None, False)
    )
    if isinstance(scale, int | float) and not isinstance(scale, bool) and math.isfinite(scale) and scale > 0:
        if not isinstance(inverse, bool):
            raise InputError(f"{file} has the inverse {inverse!r}: write true for maps of inverse depth, else false.")
        return DepthMaps(float(scale), inverse=inverse)
    raise InputError(f'{file} has no scale above 0: write {{"scale": 1000}} where 1000 in a map is a metre.')


def _files(root: Path, label: str, names: Sequence[str], splits: Listed, coding: Coding) -> dict[str, PixelFiles]:
    turning = Turning()
    return {
        name: PixelFiles(f"{root} {name}".strip(), label, names, pairs, coding, report, turning)
        for name, (pairs, report) in splits.items()
    }


def files_by_stem(folder: Path, endings: Sequence[str] = EXTENSIONS) -> dict[str, str]:
    """The files below a folder by relative path without extension; hidden files and duplicate stems are ignored."""
    found: dict[str, str] = {}
    for path in walk(folder):
        if path.lower().endswith(tuple(endings)):
            found.setdefault(Path(path).relative_to(folder).with_suffix("").as_posix(), path)
    return found


def are_paired(images: Path, maps: Path) -> bool:
    """Whether at least one image of the first folder has a map in the second."""
    labels = files_by_stem(maps, _MAP_EXTENSIONS)
    return bool(labels) and any(name in labels for stem in files_by_stem(images) for name in partners(stem))


def pair_folders(image_folder: Path, maps: Path, report: AnnotationReport) -> list[Pair]:
    """Pair the images and maps of two folders by their names; files without a partner are added to the report.

    The map of an image `x` may be called `x`, `x_mask` (`_gt`, `_label`, `_depth`, ...), or `depth_x` for `rgb_x`.
    """
    labels = files_by_stem(maps, _MAP_EXTENSIONS)
    pairs: list[Pair] = []
    taken: set[str] = set()
    for stem, path in files_by_stem(image_folder).items():
        partner = next((name for name in partners(stem) if name in labels), None)
        if partner is None:
            report.add("missing mask file", path, f"there is no {stem} in {maps}")
        else:
            pairs.append((path, labels[partner]))
            taken.add(partner)
    for stem, path in labels.items():
        if stem not in taken:
            report.add("missing image", path, f"there is no image {stem} in {image_folder}")
    for folder, endings in ((image_folder, EXTENSIONS), (maps, _MAP_EXTENSIONS)):
        there = sum(path.lower().endswith(endings) for path in walk(folder))
        if left := there - len(files_by_stem(folder, endings)):
            report.remark(f"{left} files of {folder} have the name of another but for its ending, and are not used.")
    return pairs


def partners(stem: str) -> Iterable[str]:
    """Yield the possible names of the map of an image."""
    yield from (stem + ending for ending in _PARTNER_ENDINGS)
    path = PurePosixPath(stem)
    for start, other in _STARTS:
        if path.name.startswith(start):
            yield str(path.with_name(other + path.name.removeprefix(start)))


def pair_side_by_side(folder: Path, report: AnnotationReport) -> list[Pair]:
    """Pair the files of a folder in which `x.png` is the mask of the photo `x.jpg`."""
    photos, masks = files_by_stem(folder, (".jpg", ".jpeg")), files_by_stem(folder, (".png", ".bmp"))
    for stem in sorted(photos.keys() - masks.keys()):
        report.add("missing mask file", photos[stem], f"there is no {stem}.png beside it")
    for stem in sorted(masks.keys() - photos.keys()):
        report.add("missing image", masks[stem], f"there is no {stem}.jpg beside it")
    return [(path, masks[stem]) for stem, path in photos.items() if stem in masks]


def read_list(file: Path) -> list[str]:
    """Read a list of images: the first word of each line, without folder and extension."""
    names = [PurePosixPath(line.split()[0].replace("\\", "/")).name for line in read_lines(file) if line]
    # Dots that do not begin the extension of an image are part of the name.
    return list(dict.fromkeys(name.rpartition(".")[0] if name.lower().endswith(EXTENSIONS) else name for name in names))


Index = dict[tuple[str, ...], list[Pair]]
"""Pairs by each end of the path of the image, without extension: by name, by folder and name, and so on."""


def _index(pairs: Sequence[Pair]) -> Index:
    index: Index = {}
    for pair in pairs:
        parts = Path(pair[0]).with_suffix("").parts
        for start in range(len(parts)):
            index.setdefault(parts[start:], []).append(pair)
    return index


def _look_up(line: str, index: Index) -> Pair | None:
    """The pair of a line of a list: a path of the image or only the end of it, and perhaps more words."""
    for text in (line, line.split()[0]):
        parts = tuple(part for part in text.replace("\\", "/").split("/") if part not in ("", ".", ".."))
        if not parts:
            continue
        name = parts[-1]
        # Dots that do not begin the extension of an image are part of the name.
        parts = (*parts[:-1], name.rpartition(".")[0] if name.lower().endswith(EXTENSIONS) else name)
        for start in range(len(parts)):
            if len(found := index.get(parts[start:], [])) == 1:
                return found[0]
    return None


def entries(file: Path, index: Index) -> list[str]:
    """The lines of a list; of a table (.csv), the cells of the first column that names an image, without a heading."""
    if file.suffix.lower() != ".csv":
        return read_lines(file)
    rows = read_csv(file)
    for column in range(max(map(len, rows), default=0)):
        cells = [row[column].strip() for row in rows if column < len(row)]
        if any(_look_up(cell, index) for cell in cells if cell):
            return cells if _look_up(cells[0] or " .", index) else cells[1:]
    return [cell for row in rows for cell in row[:1]]


def _is_list(lines: Sequence[str], index: Index) -> bool:
    """Whether any of the first lines names an image."""
    return any(_look_up(line, index) for line in lines[:100] if line) or not any(lines)


def listed_pairs(file: Path, index: Index, report: AnnotationReport) -> list[Pair]:
    """The pairs whose images are in a list, each once, in the order of the list."""
    found: dict[str, Pair] = {}
    for line in entries(file, index):
        if line and (pair := _look_up(line, index)):
            found[pair[0]] = pair
        elif line:
            report.add("missing image", file, f"there is no image {line!r} with labels")
    if file.suffix.lower() == ".csv":
        for image in _with_other_maps(file, index, report):
            found.pop(image, None)
    return list(found.values())


def _with_other_maps(file: Path, index: Index, report: AnnotationReport) -> Iterable[str]:
    """Yield and report the images that a table names beside the map of another one."""
    maps = {Path(labels).name for pairs in index.values() for _, labels in pairs}
    for row in read_csv(file):
        cell, pair = next(((cell, pair) for cell in row if cell and (pair := _look_up(cell, index))), ("", None))
        named = {PurePosixPath(other.replace("\\", "/")).name for other in row if other is not cell} & maps
        if pair is not None and named and Path(pair[1]).name not in named:
            what = f"it names {min(named)} for {Path(pair[0]).name}, whose map is {pair[1]} by its name"
            report.add("wrong partner", file, what)
            yield pair[0]
