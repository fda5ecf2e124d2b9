"""Synthetic CT volumes with their label maps."""
