"""Decode label maps to classes, saliency or depth. Class maps are read by index, never by colour."""

from __future__ import annotations

import math
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from res2net.files import LARGEST, read_bytes
from res2net.images.decode import BadImage, image_header
from res2net.images.samples import UNLABELLED
from res2net.tasks.objects.formats.masks import read_ids

MAX_CLASSES = UNLABELLED
"""Maximum number of classes, as 255 means unlabelled."""

_UNLABELLED_DEEP = 65535
"""The value of unlabelled pixels in 16-bit label maps."""

_OUTSIDE = -1

_TURNS = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 1), 6: (False, 3), 7: (True, 3), 8: (False, 1)}
"""For each EXIF orientation, whether to mirror horizontally, and then the number of quarter turns to the left."""


class Coding:
    """Reads the label maps of a data set."""

    def read(self, path: str) -> NDArray[Any]:
        """The labels `(H, W)` of a file, in the form of a target entry.

        Raises:
            BadImage: the file cannot be read, or has invalid values.
        """
        raise NotImplementedError

    def size(self, path: str) -> tuple[int, int]:
        """Height and width of the stored pixels, from the header: before rotation by the EXIF orientation.

        Raises:
            BadImage: there is no such file, or its format is not supported.
        """
        (height, width), orientation = image_header(path)
        return (height, width) if orientation < 5 else (width, height)


class SemanticMaps(Coding):
    """Class maps: palette indices, or grey values of 8 or 16 bits; 255 (in 16 bits also 65535) means unlabelled.

    Args:
        index_of: the index of the class, or `UNLABELLED`, for each value in the files; other values are faults.
    """

    def __init__(self, index_of: Mapping[int, int]) -> None:
        indices = {UNLABELLED: UNLABELLED, **index_of}
        self.table = np.full(max(indices) + 2, _OUTSIDE, dtype=np.int16)  # the last entry is for all larger values
        for number, index in indices.items():
            self.table[number] = index

    def read(self, path: str) -> NDArray[np.uint8]:
        """The index of the class of each pixel, `(H, W)` uint8; see `Coding`."""
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


class SaliencyMasks(Coding):
    """Masks in which salient pixels are white: above 128 of 255, as in the usual evaluation toolboxes.

    With values 0 and 1, pixels of 1 are salient; with a coloured palette, all pixels but those of the first entry.
    """

    def read(self, path: str) -> NDArray[np.bool_]:
        """Whether each pixel is salient, `(H, W)` bool; see `Coding`."""
        try:
            content = BytesIO(read_bytes(path, LARGEST))
            with Image.open(content, formats=("PNG", "BMP", "GIF", "TIFF", "JPEG")) as image:
                values = _whiteness(image)
        except Exception as error:  # broken files make decoders raise nearly anything
            raise _unreadable(path, " ".join(f"it is no mask that can be read ({error})".split())) from error
        if values.dtype == np.bool_ or values.max(initial=0) <= 1:
            return values > 0
        white = 65535 if values.max() > 255 else 255
        return values > white * 128 / 255


def _whiteness(image: Image.Image) -> NDArray[Any]:
    """The grey values `(H, W)` of an image, or for a coloured palette, whether a pixel is not of the first entry."""
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB"), dtype=np.int64).reshape(-1, 3)
        indices = np.asarray(image)
        used = palette[np.unique(indices).clip(max=len(palette) - 1)]
        return indices > 0 if np.ptp(used, axis=1).any() else np.asarray(image.convert("L"))
    if image.mode in ("1", "L") or image.mode.startswith("I"):
        return np.asarray(image)
    return np.asarray(image.convert("RGB").convert("L"))  # ignores transparency


class DepthMaps(Coding):
    """Depth maps: integers in a PNG or TIFF divided by a scale, or an array in a `.npy` file.

    Values that are not positive, or NaN, are unknown and become 0.

    Args:
        scale: the value in a file that corresponds to one metre; by default 1000 (millimetres) for integers and 1 for
            floating-point values. It is required for 8-bit maps.
    """

    def __init__(self, scale: float | None = None) -> None:
        self.scale = scale

    def read(self, path: str) -> NDArray[np.float32]:
        """The depth in metres, `(H, W)` float32, 0 if unknown; see `Coding`."""
        values = _array(path)[...] if path.lower().endswith(".npy") else _deep(path)
        scale = self.scale
        if scale is None:
            if values.dtype.itemsize == 1:
                raise BadImage.at(path, "its pixels have 8 bits: say how many make a metre, in depth.json")
            scale = 1.0 if np.issubdtype(values.dtype, np.floating) else 1000.0
        metres = values.astype(np.float32) / np.float32(scale)
        return np.where(np.isfinite(metres) & (metres > 0), metres, np.float32(0)).astype(np.float32)

    def size(self, path: str) -> tuple[int, int]:
        """Height and width; see `Coding`."""
        if path.lower().endswith(".npy"):
            height, width = _array(path).shape
            return int(height), int(width)
        return super().size(path)


def _array(path: str) -> NDArray[Any]:
    """Open the array `(H, W)` of a `.npy` file without reading its values; a last axis of length one is dropped."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise _unreadable(path, "it is no array of numbers") from error
    if not isinstance(found, np.ndarray) or not np.issubdtype(found.dtype, np.number) or np.iscomplexobj(found):
        raise BadImage.at(path, "it is no array of numbers")
    found = found[..., 0] if found.ndim == 3 and found.shape[-1] == 1 else found
    if found.ndim != 2 or not math.prod(found.shape):
        raise BadImage.at(path, f"its array has the shape {found.shape}, and a map is (H, W)")
    return found


def _deep(path: str) -> NDArray[Any]:
    """The values `(H, W)` of an image in a lossless format, with their original type."""
    try:
        with Image.open(BytesIO(read_bytes(path, LARGEST)), formats=("PNG", "TIFF", "PPM")) as image:
            values = np.asarray(image)
    except Exception as error:  # broken files make decoders raise nearly anything
        raise _unreadable(path, "it is not a whole PNG, TIFF or PGM") from error
    if values.ndim != 2 or values.dtype == np.bool_:
        raise BadImage.at(path, "a map of depth has one channel of 16 bits")
    return values


def _unreadable(path: str, reason: str) -> BadImage:
    return BadImage.at(path, reason if Path(path).is_file() else "no such file or directory")


def turned(labels: NDArray[Any], orientation: int, size: tuple[int, int]) -> NDArray[Any]:
    """Rotate a label map `(H, W)`, as stored in the file, like its image, by the EXIF orientation of that.

    If the image needs a quarter turn and the map already has the size (H, W) of the upright image, the map was made
    from the upright image and is returned unchanged.
    """
    upright = orientation >= 5 and labels.shape == size and size[0] != size[1]
    if upright or orientation not in _TURNS:
        return labels
    mirrored, quarters = _TURNS[orientation]
    return np.ascontiguousarray(np.rot90(labels[:, ::-1] if mirrored else labels, quarters))
