"""Explanations: class activation maps, and activations of the splits of Res2 blocks."""

from res2net.explain.cam import class_activation_maps
from res2net.explain.splits import split_activations

__all__ = ["class_activation_maps", "split_activations"]
