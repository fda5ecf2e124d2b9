"""Masks of objects, stored compactly and decoded on demand."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from faster_coco_eval.core import mask as rle
from numpy.typing import NDArray

from res2net.images.decode import BadImage, stored_image
from res2net.images.samples import UNLABELLED

_LOSSLESS = ("PNG", "TIFF", "BMP", "GIF")


class PackedMasks:
    """COCO's polygons and run lengths of all objects of a data set, in a few long arrays.

    Unlike lists, such arrays are shared with forked processes. Coordinates with two decimals, as in COCO, take four
    bytes and are restored bit-exactly; others take eight.
    """

    def __init__(self) -> None:
        self._growing = array("d")
        self._ring_ends = array("q", [0])  # indices of the coordinates
        self._object_ends = array("q", [0])  # indices of the rings
        self._runs: dict[int, bytes] = {}
        self._coordinates: NDArray[Any] = np.empty(0)

    def __len__(self) -> int:
        return len(self._object_ends) - 1

    def add(self, mask: Sequence[Sequence[float]] | bytes) -> None:
        """Add the mask of the next object: polygons, each a flat list of x and y, or run lengths from `pack_rle`."""
        if isinstance(mask, bytes):
            self._runs[len(self)] = mask
        else:
            for ring in mask:
                self._growing.extend(ring)
                self._ring_ends.append(len(self._growing))
        self._object_ends.append(len(self._ring_ends) - 1)

    def finish(self) -> PackedMasks:
        """Pack the masks; nothing can be added after that."""
        exact = np.frombuffer(self._growing, dtype=np.float64) if self._growing else np.empty(0)
        hundredths = np.rint(exact * 100)
        fits = np.abs(hundredths).max(initial=0) < 2**31 and bool(np.all(hundredths / 100 == exact))
        self._coordinates = hundredths.astype(np.int32) if fits else exact.copy()
        self._growing = array("d")
        return self

    def encoded(self, row: int, size: tuple[int, int]) -> dict[str, Any]:
        """COCO's run lengths of one object in an image of `size` (H, W)."""
        height, width = size
        if row in self._runs:
            return {"size": [height, width], "counts": self._runs[row]}
        rings = range(self._object_ends[row], self._object_ends[row + 1])
        flat = [self._coordinates[self._ring_ends[ring] : self._ring_ends[ring + 1]] for ring in rings]
        scaled = [ring / 100 if ring.dtype == np.int32 else ring for ring in flat]
        return rle.merge(rle.frPyObjects([ring.tolist() for ring in scaled], height, width))

    def masks(self, image: int, rows: range, size: tuple[int, int]) -> NDArray[np.bool_]:
        """The masks `(n, H, W)` of an image, rasterised as in COCO; `rows` are the indices of its objects."""
        if not rows:
            return np.zeros((0, *size), dtype=np.bool_)
        decoded = rle.decode([self.encoded(row, size) for row in rows])
        return np.ascontiguousarray(decoded.transpose(2, 0, 1)).astype(np.bool_)


class MaskFiles:
    """Mask files, one per image, in which the pixels of each object have a number of their own.

    Args:
        paths: the mask file of each image.
        numbers: the number of each object of the data set.
        rgb: whether the number of a pixel is R + 256 G + 256^2 B (COCO panoptic), or its grey value or index.
    """

    def __init__(self, paths: Sequence[str], numbers: Sequence[int], *, rgb: bool) -> None:
        self.paths = list(paths)
        self.numbers = np.asarray(numbers, dtype=np.int64)
        self.rgb = rgb

    def ids(self, image: int, size: tuple[int, int]) -> NDArray[np.int64]:
        """The numbers of the pixels of an image, `(H, W)`; `BadImage` if the file is unreadable or of another size."""
        found = read_ids(self.paths[image], rgb=self.rgb)
        if found.shape != size:
            raise BadImage.at(
                self.paths[image],
                f"it has {found.shape[1]} x {found.shape[0]} pixels, and its image has {size[1]} x {size[0]}",
            )
        return found

    def masks(self, image: int, rows: range, size: tuple[int, int]) -> NDArray[np.bool_]:
        """The masks `(n, H, W)` of an image; `rows` are the indices of its objects in the data set."""
        return self.ids(image, size) == self.numbers[rows.start : rows.stop, None, None]


class StuffFiles:
    """The stuff segments in the files of `MaskFiles`, with the class of each segment.

    Args:
        files: the mask files of the images.
        starts: offsets `(N + 1,)`; image i has the segments from `starts[i]` up to `starts[i + 1]`.
        numbers: the id of each segment.
        labels: the class index of each segment.
    """

    def __init__(self, files: MaskFiles, starts: Sequence[int], numbers: Sequence[int], labels: Sequence[int]) -> None:
        self.files = files
        self.starts, self.numbers = np.asarray(starts, dtype=np.int64), np.asarray(numbers, dtype=np.int64)
        self.labels = np.asarray(labels, dtype=np.int64)

    def semantic(self, image: int, size: tuple[int, int]) -> NDArray[np.int64]:
        """The index of the stuff class of each pixel, `(H, W)`; 255 for other pixels."""
        ids = self.files.ids(image, size)
        part = slice(self.starts[image], self.starts[image + 1])
        order = np.argsort(self.numbers[part])
        numbers, labels = self.numbers[part][order], self.labels[part][order]
        if not len(numbers):
            return np.full(size, UNLABELLED, dtype=np.int64)
        nearest = np.searchsorted(numbers, ids).clip(max=len(numbers) - 1)
        return np.where(numbers[nearest] == ids, labels[nearest], UNLABELLED)


def read_ids(path: str | Path, *, rgb: bool) -> NDArray[np.int64]:
    """Read the numbers of the pixels of a mask file, `(H, W)`; `rgb` as in `MaskFiles`.

    Raises:
        BadImage: there is no such file, its format is not lossless, or it has several channels without `rgb`.
    """
    try:
        with stored_image(path, _LOSSLESS) as image:
            pixels = np.asarray(image.convert("RGB") if rgb else image).astype(np.int64)
    except Exception as error:  # broken files make decoders raise nearly anything
        reason = f"it is not a whole image in a format without loss ({', '.join(_LOSSLESS)})"
        raise BadImage.at(path, reason if Path(path).is_file() else "no such file or directory") from error
    if rgb:
        return pixels @ np.array([1, 256, 256**2])
    if pixels.ndim != 2:
        raise BadImage.at(path, "a mask has one channel, and this has several")
    return pixels


def pack_rle(found: object, size: tuple[int, int]) -> bytes | None:
    """Convert COCO's run lengths, compressed or a list, to compressed bytes; None if they do not fit `size`.

    They have to be checked here, since invalid run lengths would make the decoder write out of bounds.
    """
    if not isinstance(found, dict) or found.get("size") != list(size):
        return None
    counts = found.get("counts")
    if isinstance(counts, list):
        whole = all(isinstance(count, int) and count >= 0 for count in counts)
        if not whole or sum(counts) != size[0] * size[1]:
            return None
        return bytes(rle.frPyObjects({"size": list(size), "counts": counts}, *size)["counts"])
    if not isinstance(counts, str | bytes) or not counts or not _runs_fit(counts, size[0] * size[1]):
        return None
    return counts.encode() if isinstance(counts, str) else counts


def _runs_fit(counts: str | bytes, pixels: int) -> bool:
    """Whether compressed run lengths are well formed and cover all pixels.

    A number consists of groups of five bits, lowest first, each encoded as a character from "0" on. The sixth bit of a
    group means that another group follows; the fifth bit of the last group is the sign. From the fourth number on,
    numbers are differences to the number two positions before.
    """
    try:
        raw = counts.encode("ascii") if isinstance(counts, str) else counts
    except UnicodeEncodeError:
        return False
    groups = np.frombuffer(raw, dtype=np.uint8).astype(np.int64) - 48
    if groups.min() < 0 or groups.max() > 63 or groups[-1] & 32:
        return False
    last = np.flatnonzero(groups & 32 == 0)
    first = np.concatenate(([0], last[:-1] + 1))
    if (last - first).max() > 6:
        return False
    digit = np.arange(len(groups)) - np.repeat(first, last - first + 1)
    numbers = np.add.reduceat((groups & 31) << (5 * digit), first)
    numbers -= np.where(groups[last] & 16 != 0, 1 << (5 * (last - first + 1)), 0)
    runs = numbers.copy()
    runs[1::2] = np.cumsum(numbers[1::2])
    runs[2::2] = np.cumsum(numbers[2::2])
    return bool(runs.min() >= 0 and runs.max() <= pixels and runs.sum() == pixels)


def polygon_fault(rings: object, size: tuple[int, int]) -> str:
    """A description of what is wrong with the polygons of an object in an image of `size` (H, W); empty if valid."""
    if not isinstance(rings, list) or not rings:
        return "has no polygons"
    reach = 0.0
    for ring in rings:
        if not isinstance(ring, list) or len(ring) < 6 or len(ring) % 2:
            return "has a polygon of less than three points"
        try:
            farthest = np.abs(np.frombuffer(array("d", ring))).reshape(-1, 2).max(axis=0)
        except (TypeError, OverflowError):
            return "has a polygon of what is no number"
        # A generous bound, since the time to rasterise a polygon grows with the length of its lines.
        if not (farthest[0] <= 2 * size[1] and farthest[1] <= 2 * size[0]):
            return "has a polygon far outside of its image"
        reach = max(reach, *farthest)
    return "has its polygons in the first pixel, so that they seem to be shares of the image" if reach <= 1 else ""
