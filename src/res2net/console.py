"""The console of all commands, which prints any text as it is, but for what a terminal would obey."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import rich.console
from rich.segment import Segment

from res2net.errors import visible

LAYOUT = "\n\t"
"""Control characters that are part of the layout."""


class Console(rich.console.Console):
    """A console of rich that escapes control characters, which names of files and classes can hold."""

    def render(
        self, renderable: rich.console.RenderableType, options: rich.console.ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render something into segments of escaped text; rich's own control codes are segments of their own."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text, LAYOUT), segment.style)

    def out(self, *objects: Any, **settings: Any) -> None:
        """Print objects without wrapping, markup or highlighting."""
        super().out(*(visible(str(one), LAYOUT) for one in objects), **settings)
