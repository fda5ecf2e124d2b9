"""What the numbers of a label map mean: classes, salient or not, metres. Files are read exactly, never by colour."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from res2net.images.decode import BadImage, image_header
from res2net.images.samples import UNLABELLED
from res2net.tasks.objects.formats.masks import read_ids

__all__ = ["MOST_CLASSES", "Coding", "DepthMaps", "SaliencyMasks", "SemanticMaps", "turned"]

MOST_CLASSES = UNLABELLED
"""Classes are numbered from 0, and 255 is taken."""

_UNLABELLED_DEEP = 65535
"""The same in label maps of 16 bits."""

_OUTSIDE = -1

_TURNS = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 1), 6: (False, 3), 7: (True, 3), 8: (False, 1)}
"""For each orientation of EXIF: whether to mirror left and right first, and the quarter turns to the left after it."""


class Coding(Protocol):
    """Reads the label maps of a data set."""

    def read(self, path: str) -> NDArray[Any]:
        """The labels `(H, W)` of a file, as they go into a target.

        Raises:
            BadImage: it cannot be read, or has numbers that mean nothing.
        """
        ...

    def size(self, path: str) -> tuple[int, int]:
        """Height and width of a label map, from its header.

        Raises:
            BadImage: there is no such file, or it is of no known format.
        """
        ...


class SemanticMaps:
    """Numbers of classes: a palette's index or a grey value of 8 or 16 bits; 255 (of 16 bits also 65535) is unlabelled.

    Args:
        index_of: for each number in the files the index of its class, or `UNLABELLED`; other numbers are faults.
    """

    def __init__(self, index_of: Mapping[int, int]) -> None:
        known = {UNLABELLED: UNLABELLED, **index_of}
        self.table = np.full(max(known) + 2, _OUTSIDE, dtype=np.int16)  # the last is for all numbers beyond
        for number, index in known.items():
            self.table[number] = index

    def read(self, path: str) -> NDArray[np.uint8]:
        """`(H, W)` uint8: the index of each pixel's class; see `Coding`."""
        numbers = read_ids(path, rgb=False)
        if numbers.max(initial=0) >= _UNLABELLED_DEEP:
            numbers = np.where(numbers == _UNLABELLED_DEEP, UNLABELLED, numbers)
        labels = self.table[numbers.clip(-1, len(self.table) - 1)]
        if labels.min(initial=0) == _OUTSIDE:
            wrong = np.unique(numbers[labels == _OUTSIDE]).tolist()
            known = np.flatnonzero(self.table >= 0)
            raise BadImage.at(
                path,
                f"its label {wrong[0]}{f' and {len(wrong) - 1} more' if len(wrong) > 1 else ''} is no class, of which "
                f"the numbers are {known[0]} to {known[known != UNLABELLED].max(initial=0)}, and 255 is unlabelled",
            )
        return labels.astype(np.uint8)

    def size(self, path: str) -> tuple[int, int]:
        """As of `Coding`."""
        return _raw_size(path)


class SaliencyMasks:
    """Masks in which what is salient is white: above 128 of 255 as the field's toolboxes have it.

    Masks of 0 and 1 count as they are, and so does a palette that has colours: whatever is not its first entry is
    salient.
    """

    def read(self, path: str) -> NDArray[np.bool_]:
        """`(H, W)` bool; see `Coding`."""
        try:
            with Image.open(path, formats=("PNG", "BMP", "GIF", "TIFF", "JPEG")) as image:
                values = _whiteness(image)
        except Exception as error:  # broken files make decoders raise nearly anything
            reason = (
                f"it is no mask that can be read ({error})" if Path(path).is_file() else "no such file or directory"
            )
            raise BadImage.at(path, " ".join(reason.split())) from error
        if values.dtype == np.bool_ or values.max(initial=0) <= 1:
            return values > 0
        white = 65535 if values.max() > 255 else 255
        return values > white * 128 / 255

    def size(self, path: str) -> tuple[int, int]:
        """As of `Coding`."""
        return _raw_size(path)


def _whiteness(image: Image.Image) -> NDArray[Any]:
    """One number for each pixel `(H, W)`."""
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB"), dtype=np.int64).reshape(-1, 3)
        indices = np.asarray(image)
        used = palette[np.unique(indices).clip(max=len(palette) - 1)]
        return indices > 0 if np.ptp(used, axis=1).any() else np.asarray(image.convert("L"))
    if image.mode in ("1", "L") or image.mode.startswith("I"):
        return np.asarray(image)
    return np.asarray(image.convert("RGB").convert("L"))  # without transparency, which lies over the colour


class DepthMaps:
    """Distances: whole numbers of a PNG or TIFF divided by a scale, or an array in a `.npy` file.

    What is not above 0, or no number, is unknown and becomes 0.

    Args:
        scale: numbers of a file for each metre; None for the usual: 1000 (millimetres) where pixels have 16 bits or an
            array has whole numbers, 1 where numbers have decimals. Maps of 8 bits need one.
    """

    def __init__(self, scale: float | None = None) -> None:
        self.scale = scale

    def read(self, path: str) -> NDArray[np.float32]:
        """`(H, W)` float32 in metres, 0 where it is unknown; see `Coding`."""
        values = _array(path)[...] if path.lower().endswith(".npy") else _deep(path)
        scale = self.scale
        if scale is None:
            if values.dtype.itemsize == 1:
                raise BadImage.at(path, "its pixels have 8 bits: say how many make a metre, in depth.json")
            scale = 1.0 if np.issubdtype(values.dtype, np.floating) else 1000.0
        metres = values.astype(np.float32) / np.float32(scale)
        return np.where(np.isfinite(metres) & (metres > 0), metres, np.float32(0)).astype(np.float32)

    def size(self, path: str) -> tuple[int, int]:
        """As of `Coding`."""
        if path.lower().endswith(".npy"):
            height, width = _array(path).shape
            return int(height), int(width)
        return _raw_size(path)


def _array(path: str) -> NDArray[Any]:
    """The numbers `(H, W)` of a `.npy` file, not read yet; a last axis of one is dropped."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        reason = "it is no array of numbers" if Path(path).is_file() else "no such file or directory"
        raise BadImage.at(path, reason) from error
    if not isinstance(found, np.ndarray) or not np.issubdtype(found.dtype, np.number) or np.iscomplexobj(found):
        raise BadImage.at(path, "it is no array of numbers")
    found = found[..., 0] if found.ndim == 3 and found.shape[-1] == 1 else found
    if found.ndim != 2 or not math.prod(found.shape):
        raise BadImage.at(path, f"its array has the shape {found.shape}, and a map is (H, W)")
    return found


def _deep(path: str) -> NDArray[Any]:
    """The numbers `(H, W)` of an image without loss, of as many bits as they have there."""
    try:
        with Image.open(path, formats=("PNG", "TIFF", "PPM")) as image:
            values = np.asarray(image)
    except Exception as error:  # broken files make decoders raise nearly anything
        reason = "it is not a whole PNG, TIFF or PGM" if Path(path).is_file() else "no such file or directory"
        raise BadImage.at(path, reason) from error
    if values.ndim != 2 or values.dtype == np.bool_:
        raise BadImage.at(path, "a map of depth has one channel of 16 bits")
    return values


def _raw_size(path: str) -> tuple[int, int]:
    """Height and width of an image's pixels as they lie in the file."""
    (height, width), orientation = image_header(path)
    return (height, width) if orientation < 5 else (width, height)


def turned(labels: NDArray[Any], orientation: int, size: tuple[int, int]) -> NDArray[Any]:
    """A label map `(H, W)` turned as its image was, which has `size` (H, W) since.

    Where a quarter turn is needed and the map has the turned size already, it was made from the turned image.

    Args:
        labels: as they lie in the file.
        orientation: of the image, 1 to 8 as in EXIF.
        size: of the upright image.
    """
    if orientation >= 5 and labels.shape == size and size[0] != size[1]:
        return labels
    if orientation not in _TURNS:
        return labels
    mirrored, quarters = _TURNS[orientation]
    return np.ascontiguousarray(np.rot90(labels[:, ::-1] if mirrored else labels, quarters))
