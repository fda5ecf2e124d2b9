"""What the samples of a task are: images, or something else that is read from files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from res2net.images.decode import read_image
from res2net.images.folder import list_images
from res2net.report.images import as_image

__all__ = ["IMAGES", "Inputs"]


@dataclass(frozen=True)
class Inputs:
    """Images, from files of the formats that Pillow reads."""

    name: str = "images"
    """What they are called in the plural."""
    dims: Sequence[int] = (2,)
    """Dimensions of the backbones that can look at them."""
    example_file: str = "PATH/TO/IMAGE.jpg"
    """A file name for examples of commands."""
    batch_size: int = 1
    """How many are predicted at a time by default: one where they keep their own sizes."""

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
        return read_image(path)

    def show(self, image: Any, truth: Any = None) -> Image.Image:
        """Draw an input without a result, to stand beside results; `truth` may decide which part is shown."""
        return as_image(image)


IMAGES = Inputs()
"""Images that keep their own sizes."""
