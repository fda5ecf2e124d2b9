"""What can be chosen about activation maps. Nothing here needs torch."""

from __future__ import annotations

from typing import Literal

Method = Literal["gradcam", "gradcam++", "eigen"]
"""How the channels of a layer are combined to a map; see `class_activation_maps`."""
View = Literal["crop", "whole"]
"""What a network is shown of an image: the central square, as in `predict`, or all of it at the same scale."""
Target = Literal["true", "predicted"]
"""The class of a map: the one that the data state, or the likeliest one."""
Keep = Literal["all", "largest", "peak"]
"""The connected parts of a region that are kept: all, the largest, or the one with the maximum of the map."""
Truth = Literal["true", "mined"]
"""The label maps to validate on: the true ones of the data, or mined ones as for training."""

THRESHOLD = 0.5
"""A pixel of a map, whose maximum is 1, belongs to the object from this value on."""
