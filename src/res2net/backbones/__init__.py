"""Backbones, one file for each family; a new file adds its variants everywhere."""
