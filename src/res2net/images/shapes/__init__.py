"""Procedural pictures: silhouettes filled with textures, with the labels of every task."""
