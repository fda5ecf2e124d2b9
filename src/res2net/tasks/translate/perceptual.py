"""Distance of images in the features of a trained network (Johnson et al., ECCV 2016)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.weights import Preprocessing, read_checkpoint
from res2net.zoo import load_model, preprocessing_of

VGG = "vgg16"
VGG_MAPS = (3, 8, 15, 22)
"""The layers of torchvision's VGG-16 that Johnson et al. compare: relu1_2, relu2_2, relu3_3 and relu4_3."""


class PerceptualDistance(nn.Module):
    """The mean absolute difference of features, averaged over maps; nothing of it is trained.

    The network or function `features` maps images, normalised by `preprocessing`, to maps.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, features: Callable[[Tensor], Sequence[Tensor]], preprocessing: Preprocessing) -> None:
        super().__init__()
        self.features = features
        if isinstance(features, nn.Module):
            features.eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std).view(-1, 1, 1), persistent=False)

    def forward(self, made: Tensor, real: Tensor) -> Tensor:
        """The distance of two batches `(N, 3, H, W)` in 0 ... 1, a number."""
        seen = [self.features((images - self.mean) / self.std) for images in (made, real)]
        distances = [F.l1_loss(one, other) for one, other in zip(*seen, strict=True)]
        return torch.stack(distances).mean()

    def train(self, mode: bool = True) -> PerceptualDistance:
        """Stay in evaluation mode."""
        return super().train(False)


class Maps(nn.Module):
    """The maps of a backbone, or of layers of torchvision's VGG."""

    def __init__(self, network: Backbone | nn.Sequential, layers: Sequence[int] = ()) -> None:
        super().__init__()
        self.network, self.layers = network, tuple(layers)

    def forward(self, images: Tensor) -> list[Tensor]:
        """`(N, 3, H, W)` to maps."""
        if isinstance(self.network, Backbone):
            return self.network.features(images)
        maps = []
        for index, layer in enumerate(self.network.children()):
            images = layer(images)
            if index in self.layers:
                maps.append(images)
        return maps


def perceptual_distance(weights: str, model: str | None = None) -> PerceptualDistance:
    """The distance in the features of a trained network.

    The arguments are `perceptual_weights` and `perceptual_model` of `TranslateOptions`.
    """
    if model != VGG:
        backbone, checkpoint = load_model(weights, model)
        return PerceptualDistance(Maps(backbone), preprocessing_of(checkpoint) or Preprocessing())
    from torchvision.models import vgg16  # its weights are given: nothing is downloaded

    with torch.device("meta"):
        layers = vgg16(weights=None).features[: VGG_MAPS[-1] + 1]
    found = read_checkpoint(weights).tensors
    wanted = {name: found.get(f"features.{name}") for name in layers.state_dict()}
    if lacking := [name for name, tensor in wanted.items() if tensor is None]:
        raise InputError(
            f"{weights} has no features.{lacking[0]}: give torchvision's file of VGG-16, such as vgg16-397923af.pth."
        )
    layers.load_state_dict(wanted, assign=True)
    for layer in layers:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False  # maps are kept, which the next layer must not change
    return PerceptualDistance(Maps(layers, VGG_MAPS), Preprocessing())
