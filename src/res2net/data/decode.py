"""Reading one picture: any mode and orientation becomes an upright RGB picture, anything else one sentence."""

from __future__ import annotations

import contextlib
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from res2net.errors import InputError

__all__ = ["EXTENSIONS", "BadImage", "decode_image", "read_image"]

# Named, since Pillow would otherwise also try formats that start other programs (EPS) or hold no pictures of a camera.
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
"""Endings of files that count as pictures, in lower case."""


class BadImage(InputError):  # noqa: N818 - users say `except BadImage`, not of an error of theirs
    """A picture that cannot be read. `path` and `reason` say which and why, but not after a DataLoader's worker."""

    def __init__(self, message: str, path: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.reason = reason

    @classmethod
    def at(cls, path: str | Path, reason: str) -> BadImage:
        """The exception for the picture at `path`."""
        return cls(f"Cannot read the picture {path}: {reason}.", str(path), reason)


def read_image(path: str | Path) -> Image.Image:
    """The picture in a file, as `decode_image` decodes it.

    Raises:
        BadImage: there is no such file, or it is not a complete picture in a known format.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise BadImage.at(path, (error.strerror or str(error)).lower()) from error
    return decode_image(data, path)


def decode_image(data: bytes, path: str | Path) -> Image.Image:
    """The picture in the bytes of a file; `path` is only the name that an error tells.

    The result has mode RGB and is turned as its EXIF orientation says. Transparent pixels are laid on white, the paper
    of drawings and documents. 16-bit grey is scaled to 8 bits. Of several frames the first is taken.

    Raises:
        BadImage: the bytes are not a complete picture in a known format, or it has more than twice
            `PIL.Image.MAX_IMAGE_PIXELS` pixels (179 million), where Pillow suspects a decompression bomb.
    """
    if not data:
        raise BadImage.at(path, "the file is empty")
    # Pillow warns of large pictures and odd metadata, on which nobody can act. Only its own warnings are silenced:
    # threads share the filters, and one could leave its filter behind.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        try:
            with Image.open(BytesIO(data), formats=list(_FORMATS)) as image:
                return _upright_rgb(image)
        except UnidentifiedImageError as error:
            raise BadImage.at(path, f"it is not a picture of a known format ({', '.join(_FORMATS)})") from error
        except Exception as error:  # broken files make decoders raise nearly anything, SyntaxError included
            raise BadImage.at(path, str(error).rstrip(".") or type(error).__name__) from error


def _upright_rgb(image: Image.Image) -> Image.Image:
    image.load()
    # Metadata that cannot be rewritten must not cost the picture: in place, the pixels are turned before that.
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
