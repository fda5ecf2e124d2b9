"""Decode label maps to classes, masks or depth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from res2net.errors import InputError, listed
from res2net.images.decode import BadImage, image_header, stored, stored_image
from res2net.images.faults import AnnotationReport
from res2net.images.samples import UNLABELLED, evenly_spaced
from res2net.tasks.pixels.formats.rasters import MASK_FORMATS, Raster, distinct, numbers_of, read_raster, unreadable

MAX_CLASSES = UNLABELLED
"""Maximum number of classes, as 255 means unlabelled."""

UNLABELLED_DEEP = 65535
"""The value of unlabelled pixels in 16-bit label maps."""

GREYISH = 48
"""The largest difference of the channels of a pixel that is grey but for the noise of JPEG."""
SURVEYED_MASKS = 200
"""Maximum number of masks that are read to see which values they have."""
BRIGHT = 200
"""The smallest of 255 values that is white but for the noise of JPEG."""
MAX_GREY = 0.2
"""The largest share of pixels of masks that are neither black nor white."""
FLAT = 32
"""The largest number of colours of a mask without soft edges."""

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

    def header(self, path: str) -> tuple[tuple[int, int], int]:
        """Height and width of the stored pixels, and the EXIF orientation of the file, which `read` does not apply.

        Raises:
            BadImage: there is no such file, or its format is not supported.
        """
        (height, width), orientation = image_header(path)
        return ((height, width) if orientation < 5 else (width, height)), orientation


class SemanticMaps(Coding):
    """Class maps: grey values of 8 or 16 bits, palette indices, or colours.

    255 means unlabelled, and so does 65535 in 16 bits, unless `index_of` lists them. Other values that are not listed
    are faults.

    Args:
        index_of: the index of the class, or `UNLABELLED`, for each value or palette index in the files.
        index_of_colour: the same for each colour 0xRRGGBB. It applies to files in colours, and to those with a palette
            if all colours in use are listed.
    """

    def __init__(self, index_of: Mapping[int, int], index_of_colour: Mapping[int, int] | None = None) -> None:
        self.values = _Table({UNLABELLED: UNLABELLED, UNLABELLED_DEEP: UNLABELLED, **index_of})
        self.colours = _Table(index_of_colour or {})

    def read(self, path: str) -> NDArray[np.uint8]:
        """The index of the class of each pixel, `(H, W)` uint8; see `Coding`."""
        raster = read_raster(path)
        if self.colours.keys.size and raster.colours is not None and raster.alpha is None:
            labels, unknown = self.colours.look_up(raster.colours)
            if raster.palette is None and unknown.size:
                more = f" and {unknown.size - 1} more" if unknown.size > 1 else ""
                raise BadImage.at(path, f"its colour #{unknown[0]:06x}{more} is no class of the list of colours")
            if not unknown.size:
                return labels
        labels, unknown = self.values.look_up(numbers_of(raster, path))
        if unknown.size:
            known = self.values.keys[self.values.indices != UNLABELLED]
            raise BadImage.at(
                path,
                f"its label {unknown[0]}{f' and {unknown.size - 1} more' if unknown.size > 1 else ''} is no class, of "
                f"which the numbers are {_runs(known.tolist())}, and {UNLABELLED} is unlabelled",
            )
        return labels


class _Table:
    """A sorted table from the values of pixels to indices of classes."""

    def __init__(self, index_of: Mapping[int, int]) -> None:
        self.keys = np.array(sorted(index_of), dtype=np.int64)
        self.indices = np.array([index_of[key] for key in self.keys.tolist()], dtype=np.uint8)

    def look_up(self, values: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The index of each of the values `(H, W)`, and the values that are not in the table, sorted."""
        positions = np.searchsorted(self.keys, values).clip(max=len(self.keys) - 1)
        return self.indices[positions], np.unique(values[self.keys[positions] != values])


def _runs(numbers: Sequence[int]) -> str:
    """Sorted numbers as text, such as "0 to 2, 7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return listed([" to ".join(map(str, run)) for run in runs])


class SaliencyMasks(Coding):
    """Masks of two values, such as of salient objects or of roads, which are white: above 128 of 255.

    That threshold is the one of the usual evaluation toolboxes. With values 0 and 1, the mask is 1. In colours or with
    a coloured palette it is everything but black, or the first entry of a palette without black; where transparency
    makes the mask, it is what is not transparent.

    Args:
        white: the value of the mask in files of grey values; by default 255, and 65535 in files of 16 bits.
    """

    def __init__(self, white: int | None = None) -> None:
        self.white = white

    def read(self, path: str) -> NDArray[np.bool_]:
        """Whether each pixel is in the mask, `(H, W)` bool; see `Coding`."""
        levels, white = mask_levels(path)
        return levels > (self.white or white) * 128 / 255


def masks_of(paths: Sequence[str], report: AnnotationReport, what: str) -> SaliencyMasks:
    """The coding of masks of two values, from up to `SURVEYED_MASKS` of them; what is assumed goes to the report.

    Args:
        paths: the files; those that cannot be read are ignored here.
        report: takes sentences on values that are neither black nor white.
        what: an adjective or noun for what is in the masks, such as "salient".

    Raises:
        InputError: no mask has a white pixel, and there are several other values.
    """
    values: set[int] = set()
    between = surveyed = 0
    grey = 0.0
    for index in evenly_spaced(len(paths), SURVEYED_MASKS):
        try:
            levels, white = mask_levels(paths[index])
        except BadImage:
            continue
        surveyed += 1
        if white > 1:
            found = distinct(levels)
            values.update(found)
            between += any(0 < value < white for value in found)
            grey += float(((levels > white / 4) & (levels < 3 * white / 4)).mean())
    highest = max(values, default=0)
    if highest <= 1:
        return SaliencyMasks()
    if highest > (BRIGHT if highest <= 255 else 257 * BRIGHT):
        if grey > MAX_GREY * surveyed:
            raise InputError(
                f"The masks in {Path(paths[0]).parent} are neither black nor white in {grey / surveyed:.0%} of their "
                f"pixels: give masks in which what is {what} is white."
            )
        soft = f"{between} of {surveyed} masks have values between black and white, as soft edges and JPEG make them"
        report.remark(f"{soft}: pixels above half of white are {what}." if between else "")
        return SaliencyMasks()
    shown = listed([str(value) for value in sorted(values)])
    if len(values - {0}) > 1:
        raise InputError(
            f"The masks in {Path(paths[0]).parent} have the values {shown}, of which none is white: save them as 0 and "
            f"255 (or 0 and 1), where white is {what}."
        )
    report.remark(f"The masks have the values {shown}: pixels of {highest} are {what}.")
    return SaliencyMasks(highest)


def mask_levels(path: str) -> tuple[NDArray[Any], int]:
    """The values `(H, W)` of a mask, 0 outside of it, and what white is: 1 if no value is larger, 255 or 65535.

    Raises:
        BadImage: it cannot be read, or its colours and its transparency tell different things.
    """
    raster = read_raster(path, MASK_FORMATS)
    levels = _levels(raster)
    if raster.alpha is not None:
        if np.ptp(levels) == 0:
            levels = raster.alpha
        elif ((raster.alpha > 128) != (levels > 128)).mean() > 0.01:
            raise BadImage.at(
                path, "its colours and its transparency are different masks: save the right one without transparency"
            )
    highest = levels.max(initial=0)
    return levels, 1 if highest <= 1 else 255 if highest <= 255 else 65535


def _levels(raster: Raster) -> NDArray[Any]:
    """The grey values of a mask; for colours their brightest channel, or 255 where a few flat ones are not black."""
    if raster.palette is not None:
        used = np.unique(raster.pixels)
        colours = raster.palette[used.clip(max=len(raster.palette) - 1)]
        if np.ptp(colours, axis=1).any():
            black = used[~colours.any(axis=1)]
            return np.where(np.isin(raster.pixels, black if black.size else [0]), 0, 255)
        return raster.palette[raster.pixels.clip(max=len(raster.palette) - 1), 0]
    if raster.pixels.ndim == 2:
        return raster.pixels.astype(np.uint8) if raster.pixels.dtype == np.bool_ else raster.pixels
    brightest = raster.pixels.max(-1)
    if np.ptp(raster.pixels, axis=-1).max(initial=0) <= GREYISH:  # JPEG tints grey a little
        return brightest
    assert raster.colours is not None
    if len(np.unique(raster.colours)) <= FLAT:
        return np.where(raster.colours > 0, 255, 0)
    return brightest


class DepthMaps(Coding):
    """Depth maps: integers in a PNG or TIFF divided by a scale, or an array in a `.npy` file.

    Values that are not positive, or NaN, are unknown and become 0.

    Args:
        scale: the value in a file that corresponds to one metre; by default 1000 (millimetres) for integers and 1 for
            floating-point values. It is required for 8-bit maps.
        inverse: the values are inverse depth, so that metres are the scale divided by the value.
    """

    def __init__(self, scale: float | None = None, *, inverse: bool = False) -> None:
        self.scale, self.inverse = scale, inverse

    def read(self, path: str) -> NDArray[np.float32]:
        """The depth in metres, `(H, W)` float32, 0 if unknown; see `Coding`."""
        values = _array(path)[...] if path.lower().endswith(".npy") else _deep(path)
        scale = self.scale
        if scale is None:
            if values.dtype.itemsize == 1:
                raise BadImage.at(path, "its pixels have 8 bits: say how many make a metre, in depth.json")
            scale = 1.0 if np.issubdtype(values.dtype, np.floating) else 1000.0
        with np.errstate(divide="ignore", invalid="ignore"):
            metres = values.astype(np.float32) / np.float32(scale)
            metres = 1 / metres if self.inverse else metres
        return np.where(np.isfinite(metres) & (metres > 0), metres, np.float32(0)).astype(np.float32)

    def header(self, path: str) -> tuple[tuple[int, int], int]:
        """Height and width, and the orientation; see `Coding`."""
        if path.lower().endswith(".npy"):
            height, width = _array(path).shape
            return (int(height), int(width)), 1
        return super().header(path)


def _array(path: str) -> NDArray[Any]:
    """Open the array `(H, W)` of a `.npy` file without reading its values; a last axis of length one is dropped."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise unreadable(path, "it is no array of numbers") from error
    if not isinstance(found, np.ndarray) or not np.issubdtype(found.dtype, np.number) or np.iscomplexobj(found):
        raise BadImage.at(path, "it is no array of numbers")
    found = found[..., 0] if found.ndim == 3 and found.shape[-1] == 1 else found
    if found.ndim != 2 or not math.prod(found.shape):
        raise BadImage.at(path, f"its array has the shape {found.shape}, and a map is (H, W)")
    return found


def _deep(path: str) -> NDArray[Any]:
    """The values `(H, W)` of an image in a lossless format, with their original type."""
    try:
        with stored_image(path, ("PNG", "TIFF", "PPM")) as image:
            values = np.asarray(stored(image))
    except Exception as error:  # broken files make decoders raise nearly anything
        raise unreadable(path, "it is not a whole PNG, TIFF or PGM") from error
    if values.ndim != 2 or values.dtype == np.bool_:
        raise BadImage.at(path, "a map of depth has one channel of 16 bits")
    return values


def turned(labels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Rotate stored pixels `(H, W)` upright by an EXIF orientation, as Pillow rotates an image."""
    if orientation not in _TURNS:
        return labels
    mirrored, quarters = _TURNS[orientation]
    return np.ascontiguousarray(np.rot90(labels[:, ::-1] if mirrored else labels, quarters))


@dataclass
class Turning:
    """How the maps of images that EXIF turns are to be turned, from the sizes of all pairs of a data set.

    A map with an orientation of its own is turned by that. The map of an image that makes a quarter turn is turned
    along with it unless it has the size of the upright image. Where both sizes are the same, the map fits both ways; it
    is then taken as most of the maps whose size decides, and without any as stored like its image.
    """

    stored: int = 0
    """Number of maps that have the size of the stored image alone."""
    upright: int = 0
    """Number of maps that have the size of the upright image alone."""
    unclear: int = 0
    """Number of maps that fit both ways."""
    default_upright: bool = False
    """Take what fits both ways as upright where nothing else tells."""

    @property
    def in_doubt_upright(self) -> bool:
        """Whether maps that fit both ways are taken as upright."""
        return self.upright > self.stored if self.upright or self.stored else self.default_upright

    def add(self, size: tuple[int, int], orientation: int, header: tuple[tuple[int, int], int]) -> bool:
        """Count a pair, and return whether the sizes fit.

        Args:
            size: height and width of the upright image.
            orientation: the EXIF orientation of the image.
            header: the size and the orientation of the map, as `Coding.header` returns them.
        """
        found, own = header
        if own != 1:
            return (found if own < 5 else found[::-1]) == size
        stored = size if orientation < 5 else size[::-1]
        if orientation != 1:
            self.unclear += found == size == stored
            self.upright += found == size != stored
            self.stored += found == stored != size
        return found in (size, stored)

    def apply(self, labels: NDArray[Any], own: int, orientation: int, size: tuple[int, int]) -> NDArray[Any]:
        """Turn stored pixels `(H, W)` or `(H, W, C)` of their own orientation `own`; the others are as for `add`."""
        if own != 1:
            return turned(labels, own)
        stored = size if orientation < 5 else size[::-1]
        upright = labels.shape[:2] == size and (size != stored or self.in_doubt_upright)
        return labels if upright else turned(labels, orientation)

    def note(self, what: str) -> str:
        """A sentence on what was assumed; empty if nothing was."""
        if not self.unclear:
            return ""
        if self.upright or self.stored:
            how = f"{'taken as upright' if self.in_doubt_upright else 'turned along'}, as those are whose size tells"
        elif self.default_upright:
            how = "taken as upright; where they are not, save the images upright, without that orientation"
        else:
            how = "turned along; where they are upright already, save the images upright, without that orientation"
        count = f"{self.unclear} images are" if self.unclear > 1 else "1 image is"
        return f"{count} turned by the EXIF orientation, and {what} would fit turned or not: they are {how}."
