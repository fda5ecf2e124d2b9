"""Backbones, one file a family; adding a file adds its variants everywhere."""
