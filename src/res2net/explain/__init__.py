"""Explanations of networks: where a class activates them, what each split of a Res2Net does, and how well maps fit."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from res2net.explain.explained import ActivationMap, activation_maps, split_maps
    from res2net.explain.maps import class_activation_maps
    from res2net.explain.masked import MaskedImages, open_masked
    from res2net.explain.mine import Mined, mine_regions, regions
    from res2net.explain.score import MapScores, map_scores, score_maps
    from res2net.explain.splits import split_activations

__all__ = [
    "ActivationMap",
    "MapScores",
    "MaskedImages",
    "Mined",
    "activation_maps",
    "class_activation_maps",
    "map_scores",
    "mine_regions",
    "open_masked",
    "regions",
    "score_maps",
    "split_activations",
    "split_maps",
]

# Imported at the first use, so that the command line can print its help without torch.
_MODULES = {
    **dict.fromkeys(("ActivationMap", "activation_maps", "split_maps"), "explained"),
    "class_activation_maps": "maps",
    **dict.fromkeys(("MaskedImages", "open_masked"), "masked"),
    **dict.fromkeys(("Mined", "mine_regions", "regions"), "mine"),
    **dict.fromkeys(("MapScores", "map_scores", "score_maps"), "score"),
    "split_activations": "splits",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
