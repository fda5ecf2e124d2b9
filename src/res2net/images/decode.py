"""Reading one image: any mode and orientation becomes an upright RGB image, anything else one sentence."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from res2net.errors import InputError

__all__ = ["DECODES", "EXTENSIONS", "BadImage", "Box", "Jpeg", "decode_image", "image_header", "image_size"]
__all__ += ["open_image", "read_image", "read_turned"]

DECODES = ("full", "scaled")
"""Ways to decode: all of an image, or of a JPEG only the detail that is needed."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom edge of a rectangle, pixels."""

DETAIL = 2
"""Least number of decoded pixels along each side of a pixel that is made of them.

With 2, photos differ from fully decoded ones by 42 dB (PSNR) or more, where saving them once more as JPEG of quality 95
costs 35 dB; with 1 they differ by 30 dB, which can be seen.
"""

# Named, since Pillow would otherwise also try formats that start other programs (EPS) or hold no images of a camera.
_FORMATS = {
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "JPEG": (".jpg", ".jpeg", ".jfif"),
    "JPEG2000": (".jp2",),
    "PNG": (".png",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}

EXTENSIONS = tuple(extension for extensions in _FORMATS.values() for extension in extensions)
"""Endings of files that count as images, in lower case."""


class BadImage(InputError):  # noqa: N818 - users say `except BadImage`, not of an error of theirs
    """An image that cannot be read. `path` and `reason` say which and why, but not after a DataLoader's worker."""

    def __init__(self, message: str, path: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.reason = reason

    @classmethod
    def at(cls, path: str | Path, reason: str) -> BadImage:
        """The exception for the image at `path`."""
        return cls(f"Cannot read the image {path}: {reason}.", str(path), reason)


def read_image(path: str | Path) -> Image.Image:
    """The image in a file, as `decode_image` decodes it.

    Raises:
        BadImage: there is no such file, or it is not a complete image in a known format.
    """
    return decode_image(_content(path), path)


def read_turned(path: str | Path) -> tuple[Image.Image, int]:
    """The image as `read_image` reads it, and how it was turned for that: 1 (not at all) to 8 as in EXIF.

    Raises:
        BadImage: as of `read_image`.
    """
    data = _content(path)
    if not data:
        raise BadImage.at(path, "the file is empty")
    with _opened(data, path) as image:
        image.load()  # some formats have their metadata behind the pixels
        orientation = _orientation(image)
        return _upright_rgb(image), orientation


def open_image(path: str | Path) -> Image.Image | Jpeg:
    """The image in a file: a JPEG not decoded yet, any other as `decode_image` decodes it.

    Raises:
        BadImage: there is no such file, or it is not an image in a known format.
    """
    data = _content(path)
    return Jpeg(data, path) if data.startswith(b"\xff\xd8\xff") else decode_image(data, path)


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of the image in a file as `read_image` turns it, from its header: no pixel is decoded.

    Raises:
        BadImage: there is no such file, or it is not an image in a known format.
    """
    return image_header(path)[0]


def image_header(path: str | Path) -> tuple[tuple[int, int], int]:
    """As `image_size`, and how `read_image` turns the image: 1 (not at all) to 8 as in EXIF.

    Raises:
        BadImage: there is no such file, or it is not an image in a known format.
    """
    try:
        with Path(path).open("rb") as file, _opened(file, path) as image:
            orientation = _orientation(image)
            width, height = image.size if orientation < 5 else image.size[::-1]
            return (height, width), orientation
    except OSError as error:
        raise BadImage.at(path, (error.strerror or str(error)).lower()) from error


def decode_image(data: bytes, path: str | Path) -> Image.Image:
    """The image in the bytes of a file; `path` is only the name that an error tells.

    The result has mode RGB and is turned as its EXIF orientation says. Transparent pixels are laid on white, the paper
    of drawings and documents. 16-bit grey is scaled to 8 bits. Of several frames the first is taken.

    Raises:
        BadImage: the bytes are not a complete image in a known format, or it has more than twice
            `PIL.Image.MAX_IMAGE_PIXELS` pixels (179 million), where Pillow suspects a decompression bomb.
    """
    if not data:
        raise BadImage.at(path, "the file is empty")
    with _opened(data, path) as image:
        return _upright_rgb(image)


class Jpeg:
    """A JPEG of which only the header is read, so that no more of its detail is decoded than its use needs.

    The Huffman code has to be read in full, but libjpeg then computes the image at a half, a quarter or an eighth of
    its size. `size` is the upright `(width, height)` in full detail.

    Args:
        data: the bytes of the file.
        path: the name that an error tells.

    Raises:
        BadImage: as of `decode_image`, but that pixels are missing is only seen when they are decoded.
    """

    def __init__(self, data: bytes, path: str | Path) -> None:
        self.data, self.path = data, path
        with _opened(data, path) as image:
            self.orientation = _orientation(image)
            self.size = image.size if self.orientation < 5 else image.size[::-1]

    def cut(self, box: Box, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
        """The rectangle `box` of the upright image, resized to `size` (width, height).

        Where `box` has whole numbers and all detail is needed: exactly `read_image(path).crop(box).resize(size)`.

        Raises:
            BadImage: the pixels cannot be decoded.
        """
        with _opened(self.data, self.path) as image:
            needed = min((box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1]) / DETAIL
            scale = next((scale for scale in (8, 4, 2) if scale <= needed), 1)
            if scale > 1:
                image.draft(None, (image.width // scale, image.height // scale))
            upright = _upright_rgb(image)
        # Of a side that `scale` does not divide, libjpeg adds the rest as a pixel at its end, which may be turned.
        add_left = math.ceil(self.size[0] / scale) - self.size[0] / scale if self.orientation in (2, 3, 6, 7) else 0.0
        add_top = math.ceil(self.size[1] / scale) - self.size[1] / scale if self.orientation in (3, 4, 7, 8) else 0.0
        edges = [edge / scale + add for edge, add in zip(box, (add_left, add_top) * 2, strict=True)]
        left, top = math.floor(edges[0]), math.floor(edges[1])
        part = upright.crop((left, top, math.ceil(edges[2]), math.ceil(edges[3])))
        inside = (edges[0] - left, edges[1] - top, edges[2] - left, edges[3] - top)
        return part.resize(size, resample, box=inside)


@contextlib.contextmanager
def _opened(data: bytes | BinaryIO, path: str | Path) -> Iterator[Image.Image]:
    """The image in `data`, bytes or an open file, before its pixels are decoded.

    Whatever goes wrong within is told as `BadImage`.
    """
    # Pillow warns of large images and odd metadata, on which nobody can act. Only its own warnings are silenced:
    # threads share the filters, and one could leave its filter behind.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        try:
            with Image.open(BytesIO(data) if isinstance(data, bytes) else data, formats=list(_FORMATS)) as image:
                yield image
        except UnidentifiedImageError as error:
            raise BadImage.at(path, f"it is not an image of a known format ({', '.join(_FORMATS)})") from error
        except Exception as error:  # broken files make decoders raise nearly anything, SyntaxError included
            raise BadImage.at(path, str(error).rstrip(".") or type(error).__name__) from error


def _content(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadImage.at(path, (error.strerror or str(error)).lower()) from error


def _orientation(image: Image.Image) -> int:
    """How the image has to be turned, 1 to 8 as in EXIF; 1, not at all, also where the metadata cannot be read."""
    with contextlib.suppress(Exception):
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        return orientation if orientation in range(1, 9) else 1
    return 1


def _upright_rgb(image: Image.Image) -> Image.Image:
    image.load()
    # Metadata that cannot be rewritten must not cost the image: in place, the pixels are turned before that.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I") or image.mode == "F":
        return _grey_from_deep(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    # Pillow would copy one that is RGB already, which for a large photo may take as long as to decode it.
    return image if image.mode == "RGB" else image.convert("RGB")


def _grey_from_deep(image: Image.Image) -> Image.Image:
    """Grey of 16 bits, which Pillow would clip, to 8 bits. Pillow reads some of it as 32-bit integers (mode I)."""
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise ValueError(f"its pixels (mode {image.mode}) have no agreed white: save it with 8 or 16 bits")
    return Image.fromarray(np.rint(values / 257).astype(np.uint8))
