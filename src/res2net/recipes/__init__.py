"""Runs as functions that return a configuration; the docstring gives command, time and score."""
