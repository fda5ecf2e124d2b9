"""Tables, plots, annotated images, and self-contained HTML reports."""

from res2net.report.fields import Fields, fields_figure
from res2net.report.html import Report
from res2net.report.images import ImageLike, captioned, image_grid, image_rows, overlay
from res2net.report.objects import draw_objects, draw_segments
from res2net.report.plots import Panel, confusion_matrix, curve_panels, curves, lines_with_errors
from res2net.report.style import render
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
]
