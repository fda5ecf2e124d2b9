"""The likeliest classes of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from res2net.report import Column
from res2net.report.tables import Cell
from res2net.task.result import Result

SHOWN = 3
"""Classes below a drawn image."""


@dataclass(eq=False)
class ClassScores(Result):
    """The likeliest classes of an image, the likeliest first."""

    classes: Sequence[str]
    probabilities: Sequence[float]
    """The probability of each, 0..1; none for a ground truth."""

    columns = (Column("class"), Column("probability", "%", digits=1))

    def to_dict(self) -> dict[str, Any]:
        """`classes`: a list of `{"class", "probability"}`."""
        pairs = zip(self.classes, self.probabilities, strict=True)
        return {"classes": [{"class": name, "probability": probability} for name, probability in pairs]}

    def rows(self) -> Sequence[Sequence[Cell]]:
        """A class a row, and its probability in percent."""
        return [(name, 100 * value) for name, value in zip(self.classes, self.probabilities, strict=True)]

    def draw(self, image: Any = None) -> Image.Image:
        """The image with its likeliest classes below it."""
        from res2net.report import captioned  # matplotlib takes time to import

        lines = [f"{name}  {100 * value:.1f} %" for name, value in zip(self.classes, self.probabilities, strict=False)]
        caption = "\n".join(lines[:SHOWN] or self.classes)
        return captioned(self._canvas(image), caption)
