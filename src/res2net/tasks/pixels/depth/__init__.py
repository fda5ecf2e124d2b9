"""Monocular depth estimation."""
