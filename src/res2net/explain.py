"""Explanations of networks: where a class activates them, and what each split of a Res2Net does."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res2net.backbones.base import Backbone
from res2net.errors import InputError, check_choice
from res2net.nn import Res2Bottleneck, Res2Conv, evaluation

INTERPOLATION = {3: "linear", 4: "bilinear", 5: "trilinear"}


def class_activation_maps(
    model: nn.Module,
    images: Tensor,
    classes: int | Sequence[int] | Tensor | None = None,
    layer: str | None = None,
) -> Tensor:
    """Compute Grad-CAM (Selvaraju et al., ICCV 2017, Eq. 1 and 2) with captum, in evaluation mode.

    The map is the sum of the layer's channels, weighted by the mean gradients of the class, without negative values. It
    is enlarged to the size of the image and divided by its maximum; a map of zeros stays zero.

    Args:
        model: a network with a classifier; its modes, gradients and weights are not changed.
        images: the input of the network, `(N, C, *size)`.
        classes: the class of each image, or one class for all; by default the predicted classes.
        layer: name of the layer whose output is used; by default the last stage of a backbone.

    Returns:
        The maps `(N, *size)`, 0..1.

    Raises:
        InputError: an unknown layer (the message names the nearest), a class that does not exist, a network without a
            classifier, or a layer whose output has no spatial axes.
    """
    from captum.attr import LayerGradCam  # imported late, since only explanations need it

    if layer is not None:
        modules = dict(model.named_modules())
        check_choice("layer", layer, modules)
        module = modules[layer]
    elif isinstance(model, Backbone):
        module = model.stage_modules()[-1][-1]
    else:
        raise InputError(f"A {type(model).__name__} has no known last stage: give the name of a layer.")
    if not len(images):
        return images.new_zeros(0, *images.shape[2:])

    def scores(x: Tensor) -> Tensor:
        logits = model(x)
        return logits.gather(1, _chosen(classes, logits)[:, None])[:, 0]

    # Gradients are enabled even if the caller disabled them, and the images copied, since tensors created in
    # `inference_mode` cannot have gradients.
    with evaluation(model), torch.inference_mode(False), torch.enable_grad():
        try:
            maps = LayerGradCam(scores, module).attribute(images.detach().clone(), relu_attributions=True)
        except AssertionError as error:  # captum raises it if its hook never ran
            raise InputError(f"The layer {layer!r} is not called itself: choose one inside it.") from error
    if not isinstance(maps, Tensor) or maps.ndim != images.ndim:
        raise InputError(f"The output of layer {layer!r} has no spatial axes: choose a layer before global pooling.")
    maps = F.interpolate(maps.detach(), images.shape[2:], mode=INTERPOLATION[images.ndim])[:, 0]
    greatest = maps.flatten(1).amax(1).clamp_min(torch.finfo(maps.dtype).tiny)
    return maps / greatest.view(-1, *(1,) * (maps.ndim - 1))


def _chosen(classes: int | Sequence[int] | Tensor | None, logits: Tensor) -> Tensor:
    """The class of each image, `(N,)`."""
    if logits.ndim != 2:
        raise InputError(f"The network returns {tuple(logits.shape)}, not logits (N, classes): give it a classifier.")
    if classes is None:
        return logits.argmax(1)
    chosen = torch.as_tensor(classes, dtype=torch.int64, device=logits.device)
    count, num_classes = logits.shape
    if chosen.ndim > 1 or chosen.numel() not in (1, count) or not ((chosen >= 0) & (chosen < num_classes)).all():
        raise InputError(
            f"Classes {classes} do not fit: give one of 0 to {num_classes - 1} for each of {count} images."
        )
    return chosen.expand(count)


def split_activations(model: nn.Module, images: Tensor, block: str) -> list[Tensor]:
    """Compute the output of every split of a Res2 convolution or bottleneck, averaged over its channels.

    Args:
        model: the network; it runs in evaluation mode and is not changed.
        images: the input of the network, `(N, C, *size)`.
        block: name of the block, such as "layer3.1".

    Returns:
        A map `(N, *size of the block)` per split, in the order of the channels and of `res2net.measure.split_fields`:
        with `split_order="official"`, the split that passes through is the last.

    Raises:
        InputError: the network has no Res2 block of that name; the message names the nearest.
    """
    blocks = {name: module for name, module in model.named_modules() if isinstance(module, Res2Conv)}
    check_choice("block", block, blocks)
    module = blocks[block]
    seen: list[Tensor] = []

    def read(splits: Tensor) -> None:
        # Averaged immediately, since later layers may work in place.
        seen.extend(split.mean(1) for split in splits.split(module.width, 1))

    if isinstance(module, Res2Bottleneck):
        hook = module.conv3.register_forward_pre_hook(lambda _, inputs: read(inputs[0]))
    else:
        hook = module.register_forward_hook(lambda _, _inputs, output: read(output))
    try:
        with evaluation(model), torch.no_grad():
            model(images)
    finally:
        hook.remove()
    return seen
