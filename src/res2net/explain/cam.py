"""Class activation maps: where in an image a network sees a class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res2net.backbones.base import Backbone
from res2net.errors import InputError, check_choice
from res2net.nn import evaluation

__all__ = ["class_activation_maps"]

INTERPOLATION = {3: "linear", 4: "bilinear", 5: "trilinear"}


def class_activation_maps(
    model: nn.Module,
    images: Tensor,
    classes: int | Sequence[int] | Tensor | None = None,
    layer: str | None = None,
) -> Tensor:
    """Grad-CAM (Selvaraju et al., ICCV 2017, Eq. 1 and 2), computed by captum, in evaluation mode.

    The layer's channels are added with weights, the class's mean gradients; what speaks against the class is cut off.
    The map is then enlarged to the image and divided by its greatest value. A map of zeros stays so.

    Args:
        model: a network with a classifier; its modes, gradients and weights stay as they are.
        images: `(N, C, *size)`, as the network takes them.
        classes: the class of each image, or one for all; by default the predicted ones.
        layer: name of the module whose output is looked at; by default the last stage of a backbone.

    Returns:
        `(N, *size)`, 0..1.

    Raises:
        InputError: an unknown layer (the nearest is named), a class that the network does not have, a network without
            a classifier, or a layer whose output has no positions.
    """
    from captum.attr import LayerGradCam  # only explanations need it

    module = _layer(model, layer)
    if not len(images):
        return images.new_zeros(0, *images.shape[2:])

    def scores(x: Tensor) -> Tensor:
        logits = model(x)
        return logits.gather(1, _chosen(classes, logits)[:, None])[:, 0]

    # A caller that switched gradients off shall get its maps all the same: they are switched on, and the images
    # copied, which within `inference_mode` may be of a kind that has no gradients.
    with evaluation(model), torch.inference_mode(False), torch.enable_grad():
        try:
            maps = LayerGradCam(scores, module).attribute(images.detach().clone(), relu_attributions=True)
        except AssertionError as error:  # captum's way to say that its hook never ran
            raise InputError(f"The layer {layer!r} does not run by itself: choose one inside it.") from error
    if not isinstance(maps, Tensor) or maps.ndim != images.ndim:
        raise InputError(f"The output of layer {layer!r} has no positions: choose a layer before the global pooling.")
    maps = F.interpolate(maps.detach(), images.shape[2:], mode=INTERPOLATION[images.ndim])[:, 0]
    greatest = maps.flatten(1).amax(1).clamp_min(torch.finfo(maps.dtype).tiny)
    return maps / greatest.view(-1, *(1,) * (maps.ndim - 1))


def _layer(model: nn.Module, name: str | None) -> nn.Module:
    if name is not None:
        modules = dict(model.named_modules())
        check_choice("Layer", name, modules)
        return modules[name]
    if not isinstance(model, Backbone):
        raise InputError(f"A {type(model).__name__} does not tell its last stage: give the name of a layer.")
    return model.stage_modules()[-1][-1]


def _chosen(classes: int | Sequence[int] | Tensor | None, logits: Tensor) -> Tensor:
    """The class of each image `(N,)`, checked."""
    if logits.ndim != 2:
        raise InputError(f"The network returns {tuple(logits.shape)}, not logits (N, classes): give it a classifier.")
    if classes is None:
        return logits.argmax(1)
    chosen = torch.as_tensor(classes, dtype=torch.int64, device=logits.device)
    count, known = logits.shape
    if chosen.ndim > 1 or chosen.numel() not in (1, count) or not ((chosen >= 0) & (chosen < known)).all():
        raise InputError(f"Classes {classes} do not fit: give one of 0 to {known - 1} for each of {count} images.")
    return chosen.expand(count)
