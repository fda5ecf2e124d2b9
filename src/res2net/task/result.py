"""The result of predicting one input, and how it is drawn, tabulated and saved."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

from PIL import Image

from res2net.errors import InputError
from res2net.report import Column
from res2net.report.images import as_image
from res2net.report.tables import Cell
from res2net.weights import atomic_write


class Result:
    """The result of a task for one input.

    A result of `Model.predict` remembers its input, so that `draw()` and `save(stem)` need no image.
    """

    columns: ClassVar[Sequence[Column]]
    """The columns of `rows`."""
    files: ClassVar[str] = ""
    """What `save` writes beyond JSON, such as "masks"; empty where JSON holds everything."""

    formats: ClassVar[Sequence[str]] = ()
    """The formats of other programs that `save_as` writes."""

    path: Path | None = None
    """The file of the input, where it has one."""
    _read: Callable[[], Any] | None = None

    def attach_input(self, read: Callable[[], Any], path: Path | None = None) -> Self:
        """Remember the input: `read` gives the image, `path` is its file where it has one."""
        self._read, self.path = read, path
        return self

    @property
    def image(self) -> Any:
        """The input; a file is read again.

        Raises:
            InputError: the result does not know its input.
        """
        if self._read is None:
            raise InputError("This result does not know its image: give one, as in result.draw(image).")
        return self._read()

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values; arrays are left out or run-length encoded."""
        raise NotImplementedError

    def rows(self) -> Sequence[Sequence[Cell]]:
        """The rows of a table, with one cell for each of `columns`; no rows if nothing was detected."""
        raise NotImplementedError

    @property
    def hidden(self) -> str:
        """What `rows` and `draw` leave out, and how to see it, in one line; empty if that is nothing."""
        return ""

    def draw(self, image: Any = None) -> Image.Image:
        """Draw the result on an image, by default on its own input."""
        raise NotImplementedError

    def _canvas(self, image: Any = None, shape: Sequence[int] | None = None) -> Image.Image:
        """The image to draw on: a given one, or the input.

        Raises:
            InputError: it does not have the height and width of a map of this `shape`.
        """
        canvas = as_image(self.image if image is None else image)
        if shape is not None and tuple(shape) != (canvas.height, canvas.width):
            raise InputError(
                f"A map {tuple(shape)} does not fit an image of {canvas.height} x {canvas.width} pixels: give one "
                "value for each pixel."
            )
        return canvas

    def panel(self, image: Any, truth: Result | None = None) -> Image.Image:
        """Draw the result for a side-by-side view with its image, the ground truth and the results of other models.

        `truth` may only influence which part of the input is shown.
        """
        return self.draw(as_image(image))

    def save_as(self, kind: str, stem: str | Path) -> list[Path]:
        """Write the result in a format of other programs to files whose names start with `stem`; return their paths.

        Raises:
            InputError: the result cannot be written in this format.
        """
        formats = " or ".join(f"--save-as {one}" for one in ("csv", *self.formats))
        raise InputError(f"These results cannot be written as {kind}: use {formats}, or --json.")

    def save(self, stem: str | Path) -> list[Path]:
        """Write the result to files whose names start with `stem`, and return their paths.

        Raises:
            InputError: a file cannot be written.
        """
        path = Path(f"{Path(stem)}.json")
        atomic_write(path, json.dumps(self.to_dict(), indent=2).encode())
        return [path]


class Prediction(NamedTuple):
    """The result of one input."""

    name: str
    """The path of its file, or its number among the inputs."""
    result: Result | None
    """None where the input could not be read."""
    reason: str = ""
    """Why it was skipped."""


def write_png(path: Path, image: Image.Image) -> Path:
    """Write an image as PNG, whole or not at all, and return its path."""
    atomic_write(path, lambda file: image.save(file, "PNG"))
    return path
