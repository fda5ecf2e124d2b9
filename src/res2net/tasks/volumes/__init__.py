"""Segmentation of volumes, such as CT scans."""

SOURCES = {"volumes": "synthetic"}
"""The named sources of this task alone, each with the module that registers it."""
