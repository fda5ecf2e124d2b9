"""What is wrong with the image files of a data set: broken ones, and the same or nearly the same image twice."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from res2net.errors import listed
from res2net.files import check_regular, walk
from res2net.images.decode import EXTENSIONS, BadImage, Jpeg, open_image, read_image
from res2net.images.faults import EXAMPLES, AnnotationReport
from res2net.images.samples import evenly_spaced

T = TypeVar("T")
Track = Callable[[str, Sequence[T]], Iterable[T]]
"""A function that iterates over items while it shows how many are done."""

SAMPLE = 200
"""Images that are decoded to see whether they are complete."""
QUICK_BYTES = 10**9
"""Bytes of the images of a data set up to which near-duplicates are looked for without `full`."""
SIDE = 16
"""A difference hash has this many bits in each of as many rows."""
NEAR = 10
"""Bits of 256 by which the hashes of near-duplicates differ at most."""
FLAT = 4.0
"""Standard deviation of the grey values of a small image below which it is too plain to be compared."""
IMBALANCE = {"images": 20, "objects": 20, "pixels": 500, "voxels": 5000}
"""Ratio of the largest to the smallest class that is worth a note, by what is counted."""


@dataclass(frozen=True)
class ImageFile:
    """An image file of a data set."""

    path: str
    split: str
    class_name: str | None = None
    """Its class, if images have one each."""


def inspect_images(files: Sequence[ImageFile], report: AnnotationReport, track: Track[str], *, full: bool) -> None:
    """Add broken and repeated images to a report.

    Args:
        files: the images; files with other endings are not looked at.
        report: what the faults and remarks are added to.
        track: shows the progress.
        full: decode all images instead of a sample, and look for near-duplicates in data sets of any size.
    """
    by_path = {one.path: one for one in files if one.path.lower().endswith(EXTENSIONS)}
    sizes: dict[str, int] = {}
    for path in by_path:
        with contextlib.suppress(OSError):  # it is reported when it is read
            sizes[path] = check_regular(path)
    several = len({one.split for one in by_path.values()}) > 1
    compared = several and (full or sum(sizes.values()) <= QUICK_BYTES)
    paths = list(sizes)
    known = {fault.file for fault in report.examples.get("unreadable image", ())}
    complete = full or compared or len(paths) <= SAMPLE
    chosen = paths if complete else [paths[index] for index in evenly_spaced(len(paths), SAMPLE)]
    hashes: dict[str, NDArray[np.uint8]] = {}
    for path, found in zip(chosen, _in_threads(difference_hash if compared else _decoded, chosen, track), strict=True):
        if isinstance(found, BadImage):
            if path not in known:
                report.add("unreadable image", path, found.reason)
        elif found is not None:
            hashes[path] = found
    if not complete and paths:
        report.remark(f"{len(chosen):,} of {len(paths):,} images were decoded: --full decodes all.")
    same = list(_same_content(sizes))
    _report_same(same, by_path, report)
    if compared:
        first = {path for group in same for path in group[1:]}
        _report_near({path: bits for path, bits in hashes.items() if path not in first}, by_path, report)
    elif several:
        report.remark("The data set is large: --full looks for near-duplicates in several splits as well.")


def _decoded(path: str) -> None:
    read_image(path)


def difference_hash(path: str) -> NDArray[np.uint8] | None:
    """The signs of the differences of neighbouring grey values of a small copy of an image, 32 bytes.

    The hashes of an image that is resized, recompressed or slightly brighter differ in a few bits (the method dHash).
    None for an image that is too plain.

    Raises:
        BadImage: the image cannot be read.
    """
    size = (SIDE + 1, SIDE)
    image = open_image(path)
    if isinstance(image, Jpeg):
        image = image.cut((0, 0, *image.size), (4 * size[0], 4 * size[1]), Image.Resampling.BOX)
    grey = np.asarray(image.convert("L").resize(size, Image.Resampling.BOX), dtype=np.int16)
    return None if grey.std() < FLAT else np.packbits(grey[:, 1:] > grey[:, :-1])


def _in_threads(
    read: Callable[[str], NDArray[np.uint8] | None], paths: Sequence[str], track: Track[str]
) -> Iterator[NDArray[np.uint8] | BadImage | None]:
    """What a function returns for each file, or its `BadImage`; decoding releases Python's lock."""

    def attempt(path: str) -> NDArray[np.uint8] | BadImage | None:
        try:
            return read(path)
        except BadImage as error:
            return error

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = pool.map(attempt, paths)
        for _ in track("decoding", paths):
            yield next(results)


def _same_content(sizes: dict[str, int]) -> Iterator[list[str]]:
    """Groups of two or more files of equal content, found by their sizes first."""
    by_size: dict[int, list[str]] = defaultdict(list)
    for path, size in sizes.items():
        by_size[size].append(path)
    for group in by_size.values():
        by_content: dict[bytes, list[str]] = defaultdict(list)
        for path in group if len(group) > 1 else ():
            with contextlib.suppress(OSError), Path(path).open("rb") as file:
                by_content[hashlib.file_digest(file, "sha256").digest()].append(path)
        yield from (paths for paths in by_content.values() if len(paths) > 1)


def _report_same(groups: Sequence[Sequence[str]], by_path: dict[str, ImageFile], report: AnnotationReport) -> None:
    copies = 0
    for group in groups:
        first, *others = (by_path[path] for path in group)
        split = next((one for one in others if one.split != first.split), None)
        label = next((one for one in others if one.class_name != first.class_name), None)
        if split is not None:
            report.add("same image in two splits", first.path, f"it is {split.path} of {split.split} as well")
        if label is not None:
            what = f"it is of {first.class_name!r}, and as {label.path} of {label.class_name!r}"
            report.add("same image in two classes", first.path, what)
        if split is None and label is None:
            copies += len(others)
    if copies:
        report.remark(f"{copies:,} {'image is a copy' if copies == 1 else 'images are copies'} of others of its split.")


def _report_near(hashes: dict[str, NDArray[np.uint8]], by_path: dict[str, ImageFile], report: AnnotationReport) -> None:
    """Add a remark on images of different splits whose hashes are nearly equal."""
    splits: dict[str, list[str]] = defaultdict(list)
    for path in hashes:
        splits[by_path[path].split].append(path)
    pairs = [pair for one, other in combinations(splits.values(), 2) for pair in near(one, other, hashes)]
    if pairs:
        examples = listed([f"{one} and {other}" for one, other in pairs[:EXAMPLES]])
        count = f"{len(pairs):,} pairs of images" if len(pairs) > 1 else "1 pair of images"
        report.remark(f"{count} of different splits look nearly the same, such as {examples}.")


def near(one: Sequence[str], other: Sequence[str], hashes: dict[str, NDArray[np.uint8]]) -> list[tuple[str, str]]:
    """The pairs of images of two lists whose hashes differ in at most `NEAR` bits."""
    found = []
    theirs = np.unpackbits(np.stack([hashes[path] for path in other]), axis=1).astype(np.float32) * 2 - 1
    for start in range(0, len(one), 1024):
        part = one[start : start + 1024]
        ours = np.unpackbits(np.stack([hashes[path] for path in part]), axis=1).astype(np.float32) * 2 - 1
        rows, columns = np.nonzero(ours @ theirs.T >= SIDE * SIDE - 2 * NEAR)
        found += [(part[row], other[column]) for row, column in zip(rows.tolist(), columns.tolist(), strict=True)]
    return found


def unread_files(folder: Path, endings: Sequence[str] = EXTENSIONS) -> str:
    """A sentence on the files of a folder that are not read, by ending; empty if all have the given endings."""
    found: Counter[str] = Counter()
    if folder.is_dir():
        others = (path for path in walk(folder) if not path.lower().endswith(tuple(endings)))
        found.update(Path(path).suffix.lower() or "no ending" for path in others)
        found.update("pipe, device or link to nothing" for _ in walk(folder, special=True))
    what = " as images" if tuple(endings) == EXTENSIONS else ""
    shown = [f"{count:,} x {ending}" for ending, count in found.most_common()]
    return f"Not read{what}: {listed(shown)}." if shown else ""


def imbalance(counts: Counter[str], noun: str = "images") -> str:
    """A sentence on classes of very different sizes; empty if they are similar.

    Args:
        counts: the number of samples of each class that has any.
        noun: what is counted, one of `IMBALANCE`.
    """
    if not counts:
        return ""
    (most, large), (least, small) = counts.most_common(1)[0], counts.most_common()[-1]
    if large < IMBALANCE[noun] * max(small, 1):
        return ""
    return f"The class {most!r} has {large:,} {noun} and {least!r} {small:,}: rare classes are hard to learn."
