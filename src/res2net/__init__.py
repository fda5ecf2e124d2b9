"""Multi-scale backbones for vision: Res2Net in any dimension, trained, compared, explained and deployed.

A trained task, or an exported file, predicts in three lines:

    model = res2net.load("runs/first/best.safetensors")
    result = model.predict("photo.jpg")[0]
    result.draw().save("drawn.png")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from res2net._version import __version__

if TYPE_CHECKING:
    from res2net.api import Model, load, train
    from res2net.surgery import convert, optimize
    from res2net.zoo import create_model, list_models, load_model

__all__ = [
    "Model",
    "__version__",
    "convert",
    "create_model",
    "list_models",
    "load",
    "load_model",
    "optimize",
    "train",
]

# Imported on first use, so that `res2net --help` does not have to import torch.
_MODULES = {
    **dict.fromkeys(("Model", "load", "train"), "api"),
    **dict.fromkeys(("convert", "optimize"), "surgery"),
    **dict.fromkeys(("create_model", "list_models", "load_model"), "zoo"),
}
_PACKAGES = ("explain", "export", "images", "measure", "nn", "report", "surgery", "weights")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"res2net.{_MODULES[name]}"), name)
    if name in _PACKAGES:
        return importlib.import_module(f"res2net.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *_PACKAGES]
