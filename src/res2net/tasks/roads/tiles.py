"""A large image seen in tiles, as if it had been seen whole."""

from __future__ import annotations

from itertools import product

from torch import Tensor

from res2net.tasks.roads.network import RoadNetwork

__all__ = ["MARGIN", "explored_in_tiles"]

MARGIN = 128
"""Pixels around a tile that are seen with it."""


def explored_in_tiles(network: RoadNetwork, images: Tensor, tile: int) -> tuple[Tensor, Tensor]:
    """The logits `(N, 2, H, W)` and the features of `RoadNetwork.explored`.

    Args:
        network: sees images.
        images: `(N, C, H, W)`; where both sides are at most `tile` they are seen at once.
        tile: side of a tile, pixels, a multiple of 32 (as the margin is, so that all strides lie on each other).
    """
    height, width = images.shape[-2:]
    if max(height, width) <= tile:
        return network.explored(images)[:2]
    logits: Tensor | None = None
    features: Tensor | None = None
    for top, left in product(range(0, height, tile), range(0, width, tile)):
        first = max(0, top - MARGIN), max(0, left - MARGIN)
        part = images[..., first[0] : top + tile + MARGIN, first[1] : left + tile + MARGIN]
        some_logits, some_features, _ = network.explored(part)
        if logits is None or features is None:
            logits = images.new_zeros((len(images), 2, height, width))
            size = (-(-height // network.stride), -(-width // network.stride))
            features = some_features.new_zeros((len(images), some_features.shape[1], *size))
        for whole, one, scale in ((logits, some_logits, 1), (features, some_features, network.stride)):
            y, x = top // scale, left // scale
            kept = one[..., (top - first[0]) // scale :, (left - first[1]) // scale :][
                ..., : tile // scale, : tile // scale
            ]
            whole[..., y : y + kept.shape[-2], x : x + kept.shape[-1]] = kept
    assert logits is not None
    assert features is not None
    return logits, features
