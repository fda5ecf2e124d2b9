"""What people look at: tables, plots, pictures with captions, and one-file HTML reports."""

from res2net.report.fields import Fields, fields_figure
from res2net.report.html import Report
from res2net.report.images import Picture, captioned, overlay, picture_grid, picture_rows
from res2net.report.objects import draw_objects, draw_segments
from res2net.report.plots import Panel, confusion_matrix, curve_panels, curves, lines_with_errors
from res2net.report.style import render
from res2net.report.tables import Column, Table

__all__ = [
    "Column",
    "Fields",
    "Panel",
    "Picture",
    "Report",
    "Table",
    "captioned",
    "confusion_matrix",
    "curve_panels",
    "curves",
    "draw_objects",
    "draw_segments",
    "fields_figure",
    "lines_with_errors",
    "overlay",
    "picture_grid",
    "picture_rows",
    "render",
]
