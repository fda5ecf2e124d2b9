"""The Res2 convolution, the blocks built on it, and the layers around them."""

from res2net.nn.bottleneck import Res2Bottleneck
from res2net.nn.layers import SqueezeExcitation
from res2net.nn.res2conv import Res2Conv
from res2net.nn.stem import shortcut_layers, stem_layers
from res2net.nn.training import evaluate_norms, evaluation, freeze_norms, initialise

__all__ = [
    "Res2Bottleneck",
    "Res2Conv",
    "SqueezeExcitation",
    "evaluate_norms",
    "evaluation",
    "freeze_norms",
    "initialise",
    "shortcut_layers",
    "stem_layers",
]
