"""Synthetic aerial images with their road graphs."""
