"""Road graphs from aerial images."""

SOURCES = {"roads": "synthetic"}
"""The named sources of this task alone, each with the module that registers it."""
