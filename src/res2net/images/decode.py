"""Read an image file of any mode and orientation as an upright RGB or RGBA image, or raise `BadImage`."""

from __future__ import annotations

import contextlib
import importlib
import math
import warnings
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError, features
from PIL.TiffImagePlugin import TiffImageFile

from res2net.errors import InputError
from res2net.files import check_regular, read_bytes, reason_of

DECODES = ("full", "scaled")
"""Ways to decode: at full resolution, or JPEG files only as finely as needed."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom edge of a rectangle, in pixels."""

LARGEST_FILE = 2**30
"""Bytes of an image file at most."""
LONGEST_SIDE = 2**16
"""Pixels along each side of an image at most."""
MOST_PIXELS = 2 * 89_478_485
"""Pixels of an image at most: twice `PIL.Image.MAX_IMAGE_PIXELS`, where Pillow suspects a decompression bomb."""

_TURN_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How to turn an upright image to what is stored for each EXIF orientation."""

DETAIL = 2
"""Minimum ratio of decoded to resized pixels along each axis.

With 2, resized photos match fully decoded ones with a PSNR of at least 42 dB, compared with 35 dB for recompressing
them as JPEG of quality 95; with 1 it is 30 dB, a visible difference.
"""

# Listed explicitly, since Pillow would otherwise also try formats that start other programs (EPS) or hold no photos.
_FORMATS = {
    "AVIF": (".avif",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "HEIF": (".heic", ".heif"),
    "JPEG": (".jpg", ".jpeg", ".jfif"),
    "JPEG2000": (".jp2",),
    "PNG": (".png",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}

_PLUGINS = {"AVIF": "pillow-avif-plugin", "HEIF": "pillow-heif"}
"""Formats that Pillow reads itself or with a plug-in, by the package of the plug-in."""

EXTENSIONS = tuple(extension for extensions in _FORMATS.values() for extension in extensions)
"""File extensions of images, in lower case."""


class BadImage(InputError):  # noqa: N818 - users say `except BadImage`, not of an error of theirs
    """An image that cannot be read. `path` and `reason` are empty if the error was raised in a DataLoader worker."""

    def __init__(self, message: str, path: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.reason = reason

    @classmethod
    def at(cls, path: str | Path, reason: str) -> BadImage:
        """The exception for the image at `path`."""
        return cls(f"Cannot read the image {path}: {reason}.", str(path), reason)


def read_image(path: str | Path, *, upright: bool = True, alpha: bool = False) -> Image.Image:
    """Read an image file and decode it with `decode_image`.

    Raises:
        BadImage: there is no such file, or it is not a complete image in a supported format.
    """
    return decode_image(_content(path), path, upright=upright, alpha=alpha)


def read_turned(path: str | Path) -> tuple[Image.Image, int]:
    """The image as `read_image` returns it, with the same errors, and its EXIF orientation from 1 (upright) to 8."""
    with _opened(_content(path), path) as image:
        before = _orientation(image)
        image.load()  # some formats store their metadata after the pixels, and Pillow turns TIFF
        return _upright_rgb(image), max(before, _orientation(image))


def open_image(path: str | Path, *, upright: bool = True, alpha: bool = False) -> Image.Image | Jpeg:
    """Open an image file: a JPEG, which is opaque, as an undecoded `Jpeg`, any other format decoded by `decode_image`.

    Raises:
        BadImage: there is no such file, or it is not an image in a supported format.
    """
    data = _content(path)
    is_jpeg = data.startswith(b"\xff\xd8\xff")
    return Jpeg(data, path, upright=upright) if is_jpeg else decode_image(data, path, upright=upright, alpha=alpha)


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of the upright image in a file, from its header; the errors are those of `open_image`."""
    return image_header(path)[0]


def image_header(path: str | Path) -> tuple[tuple[int, int], int]:
    """The size as `image_size` returns it, with the same errors, and the EXIF orientation from 1 (upright) to 8."""
    try:
        check_regular(path, LARGEST_FILE)
        with Path(path).open("rb") as file, _opened(file, path) as image:
            orientation = _orientation(image)
            size = image.size
            if isinstance(image, TiffImageFile):  # whose size may be upright already
                size = image.tag_v2[ExifTags.Base.ImageWidth], image.tag_v2[ExifTags.Base.ImageLength]
            width, height = size if orientation < 5 else size[::-1]
            return (height, width), orientation
    except OSError as error:
        raise BadImage.at(path, reason_of(error)) from error


def decode_image(data: bytes, path: str | Path, *, upright: bool = True, alpha: bool = False) -> Image.Image:
    """Decode an image from the bytes of a file; `path` is only used in error messages.

    The result has mode RGB, or with `alpha` RGBA, and is rotated upright by its EXIF orientation, unless `upright` is
    false. Without `alpha`, transparent images are composited on white, as documents and drawings expect. 16-bit grey
    images are scaled to 8 bits. The first of several frames is used.

    Raises:
        BadImage: the bytes are not a complete image in a supported format, a side is longer than `LONGEST_SIDE`, or
            there are more than `MOST_PIXELS`.
    """
    with _opened(data, path) as image:
        return _upright_rgb(image, alpha) if upright else to_rgb(stored(image), alpha)


class Jpeg:
    """A JPEG whose pixels are decoded later, only at the scale that is needed.

    The Huffman code has to be read in full, but libjpeg can then reconstruct the image at a half, a quarter or an
    eighth of its size. `size` is the full upright size, `(width, height)`.

    Args:
        data: the bytes of the file.
        path: the name for error messages.
        upright: whether to rotate the image by its EXIF orientation.

    Raises:
        BadImage: as in `decode_image`, except that missing pixels are only noticed when they are decoded.
    """

    def __init__(self, data: bytes, path: str | Path, *, upright: bool = True) -> None:
        self.data, self.path = data, path
        with _opened(data, path) as image:
            self.orientation = _orientation(image) if upright else 1
            self.size = image.size if self.orientation < 5 else image.size[::-1]

    def cut(self, box: Box, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
        """Crop the rectangle `box` from the upright image and resize it to `size` (width, height).

        For an integer `box` at full scale, the result equals `read_image(path).crop(box).resize(size)`.

        Raises:
            BadImage: the pixels cannot be decoded.
        """
        with _opened(self.data, self.path) as image:
            needed = min((box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1]) / DETAIL
            scale = next((scale for scale in (8, 4, 2) if scale <= needed), 1)
            if scale > 1:
                image.draft(None, (image.width // scale, image.height // scale))
            upright = to_rgb(image) if self.orientation == 1 else _upright_rgb(image)
        # If `scale` does not divide a side, libjpeg rounds it up at its end, which the rotation may move to its start.
        add_left = math.ceil(self.size[0] / scale) - self.size[0] / scale if self.orientation in (2, 3, 6, 7) else 0.0
        add_top = math.ceil(self.size[1] / scale) - self.size[1] / scale if self.orientation in (3, 4, 7, 8) else 0.0
        edges = [edge / scale + add for edge, add in zip(box, (add_left, add_top) * 2, strict=True)]
        left, top = math.floor(edges[0]), math.floor(edges[1])
        part = upright.crop((left, top, math.ceil(edges[2]), math.ceil(edges[3])))
        inside = (edges[0] - left, edges[1] - top, edges[2] - left, edges[3] - top)
        return part.resize(size, resample, box=inside)


@contextlib.contextmanager
def stored_image(path: str | Path, formats: Sequence[str]) -> Iterator[Image.Image]:
    """Open an image file in one of the formats of Pillow, such as "PNG", to read its pixels as they are stored.

    Any error within the `with` block is raised as `BadImage`.
    """
    with _opened(_content(path), path, formats) as image:
        yield image


@contextlib.contextmanager
def _opened(
    data: bytes | BinaryIO, path: str | Path, formats: Sequence[str] = tuple(_FORMATS)
) -> Iterator[Image.Image]:
    """Open the image in `data`, bytes or an open file, without decoding its pixels.

    Any error within the `with` block is raised as `BadImage`.
    """
    if data == b"":
        raise BadImage.at(path, "the file is empty")
    # Pillow warns of large images and odd metadata, on which users cannot act. Only Pillow's warnings are silenced:
    # threads share the filters, so one thread could leave its filter in place.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        try:
            file = BytesIO(data) if isinstance(data, bytes) else data
            with Image.open(file, formats=_readable(file, formats)) as image:
                if max(image.size) > LONGEST_SIDE:
                    width, height = image.size
                    raise ValueError(f"it has {width:,} x {height:,} pixels, and a side has at most {LONGEST_SIDE:,}")
                yield image
        except UnidentifiedImageError as error:
            raise BadImage.at(path, f"it is not an image of a known format ({', '.join(formats)})") from error
        except Exception as error:  # broken files make decoders raise nearly anything, SyntaxError included
            raise BadImage.at(path, str(error).rstrip(".") or type(error).__name__) from error


def _readable(file: BinaryIO, formats: Sequence[str]) -> list[str]:
    """The formats without those that need a plug-in, or that one if the file has it and the plug-in is there."""
    head = file.read(32)
    file.seek(0)
    if head[4:8] != b"ftyp":
        return [one for one in formats if one not in _PLUGINS]
    found = "AVIF" if b"avif" in head or b"avis" in head else "HEIF"
    with contextlib.suppress(ImportError):
        if found == "HEIF":
            importlib.import_module("pillow_heif").register_heif_opener()
        elif not features.check("avif"):
            importlib.import_module("pillow_avif")
    Image.init()
    if found in formats and found not in Image.OPEN:
        raise ValueError(f"it is {found}, which needs the package {_PLUGINS[found]}: run pip install {_PLUGINS[found]}")
    return [found] if found in formats else list(set(formats) - set(_PLUGINS))


def _content(path: str | Path) -> bytes:
    try:
        return read_bytes(path, LARGEST_FILE)
    except OSError as error:
        raise BadImage.at(path, reason_of(error)) from error


def stored(image: Image.Image) -> Image.Image:
    """Decode an opened image as it is stored; Pillow turns TIFF upright as it decodes it, which is undone."""
    before = _orientation(image)
    image.load()
    return image.transpose(_TURN_BACK[before]) if before != 1 and _orientation(image) == 1 else image


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) if the metadata cannot be read."""
    with contextlib.suppress(Exception):
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        return orientation if orientation in range(1, 9) else 1
    return 1


def _upright_rgb(image: Image.Image, alpha: bool = False) -> Image.Image:
    image.load()
    # If rewriting the metadata fails, the image is still usable: in place, Pillow rotates the pixels first.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)
    return to_rgb(image, alpha)


def to_rgb(image: Image.Image, alpha: bool = False) -> Image.Image:
    """An image of any mode in RGB, or with `alpha` in RGBA, as `decode_image` describes it.

    Raises:
        ValueError: its pixels have no agreed white.
    """
    image.load()
    if alpha:
        return image.convert("RGBA") if image.has_transparency_data else to_rgb(image).convert("RGBA")
    if image.mode.startswith("I") or image.mode == "F":
        # Pillow would clip 16-bit grey to 8 bits, and reads some of it as 32-bit integers (mode I).
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise ValueError(f"its pixels (mode {image.mode}) have no agreed white: save it with 8 or 16 bits")
        eight_bits = values.astype(np.uint32)
        eight_bits += 128  # rounds: white is 65535, which is 255 * 257
        eight_bits //= 257
        return Image.fromarray(eight_bits.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        return over_white(image)
    # Skip the conversion of RGB images: Pillow would copy them, which can take as long as decoding a large photo.
    return image if image.mode == "RGB" else image.convert("RGB")


def over_white(image: Image.Image) -> Image.Image:
    """An image with transparency as it looks on white paper, in mode RGB."""
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image)
    return white
