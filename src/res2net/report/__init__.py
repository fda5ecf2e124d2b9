"""What people look at: tables, plots, images with captions, and one-file HTML reports."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from res2net.report.fields import Fields, fields_figure
    from res2net.report.html import Report
    from res2net.report.images import ImageLike, overlay
    from res2net.report.objects import draw_objects, draw_segments
    from res2net.report.plots import Panel, confusion_matrix, curve_panels, curves, lines_with_errors
    from res2net.report.sheets import captioned, image_grid, image_rows
    from res2net.report.style import render, save_figure
    from res2net.report.tables import Column, Table

__all__ = [
    "Column",
    "Fields",
    "ImageLike",
    "Panel",
    "Report",
    "Table",
    "captioned",
    "confusion_matrix",
    "curve_panels",
    "curves",
    "draw_objects",
    "draw_segments",
    "fields_figure",
    "image_grid",
    "image_rows",
    "lines_with_errors",
    "overlay",
    "render",
    "save_figure",
]

# Imported at the first use: a prediction makes no plots.
_MODULES = {
    **dict.fromkeys(("Fields", "fields_figure"), "fields"),
    "Report": "html",
    **dict.fromkeys(("ImageLike", "overlay"), "images"),
    **dict.fromkeys(("draw_objects", "draw_segments"), "objects"),
    **dict.fromkeys(("Panel", "confusion_matrix", "curve_panels", "curves", "lines_with_errors"), "plots"),
    **dict.fromkeys(("captioned", "image_grid", "image_rows"), "sheets"),
    **dict.fromkeys(("render", "save_figure"), "style"),
    **dict.fromkeys(("Column", "Table"), "tables"),
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
