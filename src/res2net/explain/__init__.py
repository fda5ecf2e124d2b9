"""What a network looks at: class activation maps, and what each split of a Res2 block sees."""

from res2net.explain.cam import class_activation_maps
from res2net.explain.splits import split_activations

__all__ = ["class_activation_maps", "split_activations"]
