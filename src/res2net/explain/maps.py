"""Class activation maps of any network with a classifier: Grad-CAM, Grad-CAM++ and Eigen-CAM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res2net.backbones.base import Backbone
from res2net.errors import InputError, check_choice
from res2net.explain.options import Method
from res2net.nn import evaluation

INTERPOLATION = {3: "linear", 4: "bilinear", 5: "trilinear"}

Scores = Callable[[Tensor], Tensor]
"""From images to the score of the class of each, `(N,)`."""


def class_activation_maps(
    model: nn.Module,
    images: Tensor,
    classes: int | Sequence[int] | Tensor | None = None,
    layer: str | None = None,
    method: Method = "gradcam",
) -> Tensor:
    """Compute where a network sees the classes of images, in evaluation mode.

    A map is a weighted sum of the channels of a layer, without negative values. It is enlarged to the size of the image
    and divided by its maximum; a map of zeros stays zero. The weights of the channels are

    - `gradcam`: the mean gradients of the class (Selvaraju et al., ICCV 2017, Eq. 1 and 2), by captum
    - `gradcam++`: the positive gradients of the exponential of the class, each weighted by its higher derivatives
      (Chattopadhay et al., WACV 2018, Eq. 5 and 19); several objects of a class count alike
    - `eigen`: the first right singular vector of the positions by channels, without a centre (Muhammad and Yeasin,
      IJCNN 2020, Eq. 4), with the sign that makes the map positive in sum; it depends on no class

    Args:
        model: a network with a classifier; its modes, gradients and weights are not changed.
        images: the input of the network, `(N, C, *size)`.
        classes: the class of each image, or one class for all; by default the predicted classes.
        layer: name of the layer whose output is used; by default the last stage of a backbone, and in other networks
            the last module whose output has spatial axes.
        method: one of the above.

    Returns:
        The maps `(N, *size)`, 0..1.

    Raises:
        InputError: an unknown layer or method (the message names the nearest), a class that does not exist, a network
            without a classifier, or a layer whose output has no spatial axes.
    """
    check_choice("method", method, Method)
    if not len(images):
        return images.new_zeros(0, *images.shape[2:])
    module = _layer(model, images, layer)

    def scores(x: Tensor) -> Tensor:
        logits = model(x)
        return logits.gather(1, _chosen(classes, logits)[:, None])[:, 0]

    # Gradients are enabled even if the caller disabled them, and the images copied, since tensors created in
    # `inference_mode` cannot have gradients.
    with evaluation(model), torch.inference_mode(False), torch.enable_grad():
        try:
            maps = METHODS[method](scores, module, images.detach().clone())
        except AssertionError as error:  # captum raises it if its hook never ran
            raise InputError(f"The layer {layer!r} is not called itself: choose one inside it.") from error
    if maps is None or maps.ndim != images.ndim:
        raise InputError(f"The output of layer {layer!r} has no spatial axes: choose a layer before global pooling.")
    maps = F.interpolate(maps.detach().relu(), images.shape[2:], mode=INTERPOLATION[images.ndim])[:, 0]
    greatest = maps.flatten(1).amax(1).clamp_min(torch.finfo(maps.dtype).tiny)
    return maps / greatest.view(-1, *(1,) * (maps.ndim - 1))


def _gradcam(scores: Scores, module: nn.Module, images: Tensor) -> Tensor | None:
    """The sum of the channels `(N, 1, *size)`, weighted by the mean gradient of each."""
    from captum.attr import LayerGradCam  # imported late, since only explanations need captum

    maps = LayerGradCam(scores, module).attribute(images)
    return maps if isinstance(maps, Tensor) else None


def _gradcam_plus_plus(scores: Scores, module: nn.Module, images: Tensor) -> Tensor | None:
    """As `_gradcam`, but a channel has the weight `sum(alpha * relu(gradient))`.

    With `exp(score)` in place of the score, its first three derivatives by an activation are `exp(score)` times powers
    of the gradient of the score, if the network is piecewise linear; the factor cancels in `alpha`, and in the map when
    that is divided by its maximum.
    """
    from captum.attr import InternalInfluence

    activations = _activations(scores, module, images)
    if activations is None or activations.ndim != images.ndim:
        return None
    # Integrated from the images to the images, the gradient is that at the images.
    gradients = InternalInfluence(scores, module).attribute(images, baselines=images, n_steps=1)
    axes = tuple(range(2, activations.ndim))
    cubes = activations.sum(axes, keepdim=True) * gradients**3
    squares = gradients**2
    divisor = 2 * squares + cubes
    alpha = torch.where(divisor != 0, squares / divisor.where(divisor != 0, divisor.new_ones(())), 0)
    weights = (alpha * gradients.relu()).sum(axes, keepdim=True)
    return (weights * activations).sum(1, keepdim=True)


def _eigen(scores: Scores, module: nn.Module, images: Tensor) -> Tensor | None:
    """The projections `(N, 1, *size)` of the channels of each position on their first right singular vector."""
    activations = _activations(scores, module, images)
    if activations is None or activations.ndim != images.ndim:
        return None
    positions = activations.flatten(2).transpose(1, 2)  # (N, positions, channels)
    left, sizes, _ = torch.linalg.svd(positions, full_matrices=False)
    projected = left[..., 0] * sizes[:, :1]
    projected = projected * projected.sum(1, keepdim=True).sign()
    return projected.reshape(-1, 1, *activations.shape[2:])


def _activations(scores: Scores, module: nn.Module, images: Tensor) -> Tensor | None:
    from captum.attr import LayerActivation

    found = LayerActivation(scores, module).attribute(images)
    return found.detach() if isinstance(found, Tensor) else None


METHODS: dict[str, Callable[[Scores, nn.Module, Tensor], Tensor | None]] = {
    "gradcam": _gradcam,
    "gradcam++": _gradcam_plus_plus,
    "eigen": _eigen,
}


def _layer(model: nn.Module, images: Tensor, name: str | None) -> nn.Module:
    """The module of a name; by default the last stage of a backbone, or the last module whose output is a map."""
    if name is not None:
        modules = {name: one for name, one in model.named_modules() if name}
        check_choice("layer", name, modules)
        return modules[name]
    if isinstance(model, Backbone):
        return model.stage_modules()[-1][-1]
    found: list[nn.Module] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == images.ndim and max(output.shape[2:]) > 1:
            found.append(module)

    hooks = [module.register_forward_hook(note) for module in model.modules() if module is not model]
    try:
        with evaluation(model), torch.no_grad():
            model(images[:1])
    finally:
        for hook in hooks:
            hook.remove()
    # captum takes the first output of a module that is called repeatedly.
    if once := [module for module in found if found.count(module) == 1]:
        return once[-1]
    raise InputError(f"No layer of a {type(model).__name__} has an output with spatial axes: give the name of a layer.")


def _chosen(classes: int | Sequence[int] | Tensor | None, logits: Any) -> Tensor:
    """The class of each image, `(N,)`."""
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        what = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(f"The network returns {what}, not logits (N, classes): give it a classifier.")
    if classes is None:
        return logits.argmax(1)
    chosen = torch.as_tensor(classes, dtype=torch.int64, device=logits.device)
    count, num_classes = logits.shape
    if chosen.ndim > 1 or chosen.numel() not in (1, count) or not ((chosen >= 0) & (chosen < num_classes)).all():
        raise InputError(
            f"Classes {classes} do not fit: give one of 0 to {num_classes - 1} for each of {count} images."
        )
    return chosen.expand(count)
