"""Image-to-image translation (pix2pix)."""

SOURCES = {"shapes-masks": "synthetic"}
"""The named sources of this task alone, each with the module that registers it."""
