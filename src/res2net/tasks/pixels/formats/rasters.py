"""The pixels of label maps as they are in their files: numbers, indices of a palette, or colours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from res2net.images.decode import BadImage, stored, stored_image

LOSSLESS = ("PNG", "TIFF", "BMP", "GIF", "PPM")
MASK_FORMATS = (*LOSSLESS, "JPEG", "WEBP", "JPEG2000")
FEW = 5
"""Maps with no more values than this are never taken to have soft edges."""
FEW_OF_CHANNEL = 3
"""The same for a channel of colours, of which several can have one value."""
SOFT = 0.15
"""The share of pixels on edges whose value lies between those of their neighbours, above which edges are soft."""


@dataclass(frozen=True)
class Raster:
    """The pixels of a file: one value each, or three of its colour."""

    pixels: NDArray[Any]
    """`(H, W)`, or `(H, W, 3)`."""
    palette: NDArray[np.int64] | None = None
    """`(n, 3)`, the colours of the values of a file with a palette."""
    alpha: NDArray[np.uint8] | None = None
    """`(H, W)`, 255 for opaque pixels; None if all are."""

    @cached_property
    def numbers(self) -> NDArray[np.int64] | None:
        """The values `(H, W)`, or the grey of colours that are all grey; None for other colours."""
        if self.pixels.ndim == 2:
            return self.pixels.astype(np.int64)
        red, green, blue = np.moveaxis(self.pixels, -1, 0)
        return red.astype(np.int64) if (red == green).all() and (green == blue).all() else None

    @cached_property
    def colours(self) -> NDArray[np.int64] | None:
        """The colours `(H, W)` as numbers 0xRRGGBB; None for a file of grey values."""
        if self.palette is not None:
            return packed(self.palette)[self.pixels.clip(max=len(self.palette) - 1)]
        return packed(self.pixels) if self.pixels.ndim == 3 else None


def distinct(values: NDArray[Any]) -> list[int]:
    """The whole numbers that occur in an array, sorted."""
    if values.dtype in (np.uint8, np.uint16):  # much faster than sorting
        return np.flatnonzero(np.bincount(values.ravel())).tolist()
    found: list[int] = np.unique(values).astype(np.int64).tolist()
    return found


def packed(colours: NDArray[Any]) -> NDArray[np.int64]:
    """Colours `(..., 3)` of 8 bits as numbers 0xRRGGBB."""
    found: NDArray[np.int64] = colours.astype(np.int64) @ np.array([256**2, 256, 1])
    return found


def read_raster(path: str, formats: tuple[str, ...] = LOSSLESS) -> Raster:
    """Read a label map of any mode.

    Raises:
        BadImage: there is no such file, or it is not a whole image in one of Pillow's `formats`.
    """
    try:
        with stored_image(path, formats) as file:
            image = stored(file)
            if image.mode in ("1", "L", "F") or image.mode.startswith("I"):
                return Raster(np.asarray(image))
            if image.mode == "P":
                palette = np.array(image.getpalette("RGB"), dtype=np.int64).reshape(-1, 3)
                return Raster(np.asarray(image), palette)
            alpha = np.asarray(image.convert("RGBA"))[..., 3] if image.has_transparency_data else None
            opaque = alpha is None or (alpha == 255).all()
            return Raster(np.asarray(image.convert("RGB")), alpha=None if opaque else alpha)
    except Exception as error:  # broken files make decoders raise nearly anything
        reason = f"it is not a whole image in a format without loss ({', '.join(LOSSLESS)})"
        if formats != LOSSLESS:
            reason = " ".join(f"it is no mask that can be read ({error})".split())
        raise unreadable(path, reason) from error


def read_numbers(path: str) -> NDArray[np.int64]:
    """The numbers `(H, W)` of a label map without colours.

    Raises:
        BadImage: it cannot be read, or its pixels are colours or transparent.
    """
    return numbers_of(read_raster(path), path)


def numbers_of(raster: Raster, path: str) -> NDArray[np.int64]:
    """The numbers `(H, W)` of a label map; the errors are those of `read_numbers`."""
    if raster.alpha is not None:
        raise BadImage.at(path, "some of its pixels are transparent: save it without transparency")
    if raster.pixels.dtype.kind == "f":
        rounded = np.rint(raster.pixels)
        if not (rounded == raster.pixels).all():
            raise BadImage.at(path, "its labels are no whole numbers")
        return rounded.astype(np.int64)
    if raster.numbers is None:
        raise BadImage.at(
            path, "its pixels are colours: list these with the names of their classes in labelmap.txt or class_dict.csv"
        )
    return raster.numbers


def unreadable(path: str, reason: str) -> BadImage:
    """The exception for a file that is not there, or else for the given reason."""
    return BadImage.at(path, reason if Path(path).is_file() else "no such file or directory")


def has_soft_edges(values: NDArray[Any], few: int = FEW) -> bool:
    """Whether values `(H, W)`, more than a `few`, change gradually from region to region.

    They do after smoothing, resizing or JPEG.
    """
    if len(distinct(values)) <= few:
        return False
    between = edges = 0
    for ordered in (values, values.T):
        before, here, after = ordered[:-2], ordered[1:-1], ordered[2:]
        low, high = np.minimum(before, after), np.maximum(before, after)
        between += int(((low < here) & (here < high)).sum())
        edges += int((before != after).sum())
    return between > SOFT * edges


def is_smoothed(raster: Raster) -> bool:
    """Whether a class map has soft edges, in any of its channels; an index of a palette never has."""
    if raster.palette is not None:
        return False
    if raster.pixels.ndim == 2:
        return has_soft_edges(raster.pixels)
    return any(has_soft_edges(channel, FEW_OF_CHANNEL) for channel in np.moveaxis(raster.pixels, -1, 0))
