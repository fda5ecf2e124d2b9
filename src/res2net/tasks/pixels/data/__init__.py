"""Transforms of images with a label for each pixel."""
