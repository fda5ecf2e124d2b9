"""Procedural images: silhouettes filled with textures, with the labels of every task."""
