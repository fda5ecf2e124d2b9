"""The kinds of samples that a task takes: images, or another kind of file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from res2net.errors import InputError
from res2net.images.decode import read_image, to_rgb
from res2net.images.folder import list_images
from res2net.report.images import as_image


@dataclass(frozen=True)
class Inputs:
    """Images, from files of the formats that Pillow reads."""

    name: str = "images"
    """What they are called in the plural."""
    dims: Sequence[int] = (2,)
    """Dimensions of the backbones that accept them."""
    example_file: str = "PATH/TO/IMAGE.jpg"
    """A file name for examples of commands."""
    batch_size: int = 1
    """Default batch size of predictions: 1 where images keep their own sizes."""
    resized: bool = False
    """Whether images are resized to the size of the preprocessing, small ones too."""
    alpha: bool = False
    """Whether images are RGBA for networks of 4 channels; else transparent ones are composited on white."""

    def list_files(self, path: str | Path) -> list[Path]:
        """The file itself, whatever its ending, or all files below a folder that can be read.

        Raises:
            InputError: nothing is there.
        """
        return list_images(path)

    def read(self, path: str | Path) -> Any:
        """Read a file into what `Task.transform` and `Result.draw` take.

        Raises:
            BadImage: the file cannot be read.
        """
        return read_image(path, alpha=self.alpha)

    def from_memory(self, value: Any) -> Any:
        """Take an image that is in memory: a Pillow image, an array or a tensor, as `Model.predict` describes them.

        Floating-point values are rounded to 8 bits, as those of files are.

        Raises:
            InputError: it is not an image.
        """
        if isinstance(value, Image.Image):
            plain = value.mode in ("L", "RGB") or (self.alpha and value.mode == "RGBA")
            try:
                return value if plain and not value.has_transparency_data else to_rgb(value, self.alpha)
            except ValueError as error:
                raise InputError(f"An image in memory does not fit: {error}.") from error
        if not isinstance(value, np.ndarray | Tensor):
            what = "None" if value is None else f"An object of the type {type(value).__name__}"
            raise InputError(
                f"{what} is not an image: give a path, a Pillow image, an array (H, W, 3) or a tensor (3, H, W)."
            )
        if isinstance(value, Tensor):
            pixels = value.detach().cpu()
        elif value.dtype == np.uint8 or np.issubdtype(value.dtype, np.floating):
            # A copy, since arrays may be read-only or run backwards.
            pixels = torch.from_numpy(np.array(value, np.uint8 if value.dtype == np.uint8 else np.float64))
            pixels = pixels.permute(2, 0, 1) if pixels.ndim == 3 else pixels
        else:
            pixels = torch.empty(0)
        if pixels.ndim == 2:
            pixels = pixels[None]
        if pixels.is_floating_point() and pixels.numel() and pixels.min() >= 0 and pixels.max() <= 1:
            pixels = (pixels * 255).round().to(torch.uint8)
        if self.alpha and pixels.dtype == torch.uint8 and pixels.ndim == 3 and pixels.shape[0] == 4:
            return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy(), "RGBA")
        if pixels.ndim != 3 or pixels.shape[0] not in (1, 3) or pixels.dtype != torch.uint8:
            raise InputError(
                f"An array of shape {tuple(value.shape)} and type {value.dtype} is not an image: give (H, W, 3) as an "
                "array or (3, H, W) as a tensor, of uint8 or of floating-point numbers from 0 to 1."
            )
        return as_image(pixels)

    def show(self, image: Any, truth: Any = None) -> Image.Image:
        """Draw an input without a result, for side-by-side views; `truth` may influence which part is shown."""
        return as_image(image)


IMAGES = Inputs()
"""Images that keep their own sizes."""
