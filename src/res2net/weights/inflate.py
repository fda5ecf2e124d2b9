"""Weights of a network for images, made into those of the same network for volumes or videos."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from res2net.errors import InputError

__all__ = ["inflate"]


def inflate(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Repeat each kernel along the first axis of the signal and divide it by its length (Carreira and Zisserman, 2017).

    The result is for `model.load_state_dict`. In evaluation, and without squeeze-and-excitation, which looks at all
    positions, features of a volume that is constant along that axis are then those of its image, wherever their
    receptive field along the axis lies inside the volume; beyond its ends there are zeros, which the image does not
    have. `stage_fields(model, axis=0)` tells which positions these are.

    Args:
        tensors: of the same network with one dimension less, under our names; they stay as they are.
        model: the network with one dimension more (`dims=3` for `dims=2`); only names and shapes are looked at.

    Returns:
        A tensor for each of `model.state_dict()`: kernels `(C_out, C_in, *kernel)` as `(C_out, C_in, depth, *kernel)`,
        all others as they are, without copying.

    Raises:
        InputError: the networks differ in more than that.
    """
    expected = model.state_dict()
    missing = [name for name in expected if name not in tensors]
    unexpected = [name for name in tensors if name not in expected]
    for names, differ in ((missing, "lack {} of the model's tensors"), (unexpected, "have {} tensors too many")):
        if names:
            raise InputError(
                f"The weights {differ.format(len(names))} (such as {names[0]}): build the same network with one "
                "dimension more."
            )
    return {name: _inflated(name, tensors[name], like) for name, like in expected.items()}


def _inflated(name: str, tensor: Tensor, like: Tensor) -> Tensor:
    given, wanted = tuple(tensor.shape), tuple(like.shape)
    if given == wanted:
        return tensor
    if tensor.ndim < 3 or given != (*wanted[:2], *wanted[3:]):
        raise InputError(
            f"{name} has shape {given}, which does not become {wanted} by repeating it along one axis: build the same "
            "network with one dimension more."
        )
    return tensor.unsqueeze(2).expand(wanted) / wanted[2]
