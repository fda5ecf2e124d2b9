"""Inflation: 2-D weights turned into 3-D ones for volumes and videos."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from res2net.errors import InputError

__all__ = ["inflate"]


def inflate(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Repeat each kernel along a new first axis and divide it by its length there (Carreira and Zisserman, 2017).

    A volume that is constant along that axis then has the features of its image, at all positions whose receptive
    field along the axis lies inside the volume (`stage_fields(model, axis=0)`): beyond the ends of the volume there is
    zero padding, which the image does not have. This holds in evaluation mode and without squeeze-and-excitation, which
    averages over all positions.

    Args:
        tensors: the weights of the same network with one dimension less, under our names; they are not changed.
        model: the network with one dimension more (`dims=3` for `dims=2`); only its names and shapes are used.

    Returns:
        A state dict for `model.load_state_dict`: kernels `(C_out, C_in, *kernel)` become `(C_out, C_in, depth,
        *kernel)`; other tensors are passed on without a copy.

    Raises:
        InputError: the networks differ in other ways.
    """
    expected = model.state_dict()
    missing = [name for name in expected if name not in tensors]
    unexpected = [name for name in tensors if name not in expected]
    for names, differ in ((missing, "lack {} of the model's tensors"), (unexpected, "have {} unexpected tensors")):
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
            f"{name} has shape {given}, which cannot be repeated along one axis to {wanted}: build the same network "
            "with one dimension more."
        )
    return tensor.unsqueeze(2).expand(wanted) / wanted[2]
