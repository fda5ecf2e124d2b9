"""Multi-scale backbones for vision: Res2Net in any dimension, trained, compared, explained and deployed."""

from res2net._version import __version__

__all__ = ["__version__"]
