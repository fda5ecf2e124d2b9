"""Data sets with a label for each pixel: semantic segmentation, salient objects and depth."""
