"""Data sets with a label for each pixel: semantic segmentation, salient objects and depth."""

from res2net.tasks.pixels.formats.codings import DepthMaps, SaliencyMasks, SemanticMaps
from res2net.tasks.pixels.formats.images import LABELS, PixelFiles, PixelImages
from res2net.tasks.pixels.formats.open import (
    PIXEL_FORMATS,
    PixelFormat,
    find_pixel_formats,
    open_pixels,
    read_pixel_splits,
    read_pixels,
)

__all__ = [
    "LABELS",
    "PIXEL_FORMATS",
    "DepthMaps",
    "PixelFiles",
    "PixelFormat",
    "PixelImages",
    "SaliencyMasks",
    "SemanticMaps",
    "find_pixel_formats",
    "open_pixels",
    "read_pixel_splits",
    "read_pixels",
]
