"""Multi-scale backbones for vision: Res2Net in any dimension, trained, compared, explained and deployed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from res2net._version import __version__

if TYPE_CHECKING:
    from res2net.surgery import convert, optimize
    from res2net.zoo import create_model, list_models, load_model

__all__ = ["__version__", "convert", "create_model", "list_models", "load_model", "optimize"]

# Imported at the first use: the command line answers `--help` without torch.
_FROM_ZOO = ("create_model", "list_models", "load_model")
_FROM_SURGERY = ("convert", "optimize")
_PARTS = ("data", "explain", "export", "measure", "nn", "report", "surgery", "weights")


def __getattr__(name: str) -> Any:
    if name in _FROM_SURGERY:
        return getattr(importlib.import_module("res2net.surgery"), name)
    if name in _FROM_ZOO:
        return getattr(importlib.import_module("res2net.zoo"), name)
    if name in _PARTS:
        return importlib.import_module(f"res2net.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *_PARTS]
