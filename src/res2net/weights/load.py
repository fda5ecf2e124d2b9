"""Strict loading of a checkpoint into a network, where every tensor is accounted for, and inflation of 2-D weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from res2net.backbones.base import Backbone
from res2net.backbones.graphs import GRAPHS
from res2net.backbones.registry import variant, variant_names
from res2net.errors import InputError
from res2net.weights.files import Checkpoint
from res2net.weights.formats import FORMATS, to_native
from res2net.weights.records import WeightRecord


@dataclass(frozen=True)
class LoadReport:
    """The names of all tensors of a checkpoint and a network, by how loading treated them."""

    format: str
    """The format of the checkpoint."""
    loaded: tuple[str, ...]
    """Tensors that were copied unchanged."""
    adapted: tuple[str, ...]
    """Tensors that were changed before copying: the first convolution, for another number of input channels."""
    kept: tuple[str, ...]
    """Tensors of the network that stay as they were: a classifier of another size, counters of batches."""
    dropped: tuple[str, ...]
    """Tensors of the checkpoint that are not used: a classifier of another size, layers that are never applied."""

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} tensors loaded ({self.format})"]
        for what, names in (("adapted", self.adapted), ("kept", self.kept), ("dropped", self.dropped)):
            more = f" and {len(names) - 4} more" if len(names) > 4 else ""
            if names:
                parts.append(f"{what}: {', '.join(names[:4])}{more}")
        return "; ".join(parts)


def load(
    model: Backbone,
    checkpoint: Checkpoint,
    *,
    adapt_classifier: bool = False,
    adapt_input: bool | Literal["zeros"] = False,
) -> LoadReport:
    """Copy a checkpoint of any known format into a network, in place. After an error the network is unchanged.

    All tensors are checked before the first one is copied: names, shapes, and that each holds finite numbers. Only
    counters of batches (`num_batches_tracked`) may be missing, as in files from before torch 0.4.1.

    Args:
        model: the network.
        checkpoint: the checkpoint.
        adapt_classifier: keep the network's own classifier if the checkpoint has none, or one of another size.
        adapt_input: if the numbers of input channels differ, change the first convolution as `adapt_channels` does;
            with "zeros", new channels start with zero weights.

    Raises:
        InputError: the format is unknown, or the checkpoint is of another network.
    """
    expected = model.state_dict()
    where = f"The checkpoint {checkpoint.path}" if checkpoint.path else "The checkpoint"
    check_plain(where, checkpoint.tensors)
    native = to_native(checkpoint.tensors, expected)
    given = native.tensors
    problems: list[str] = []
    adapted: list[str] = []
    kept: list[str] = []
    dropped = list(native.dropped)

    prefix = f"{model.classifier_name}."
    theirs, ours = (
        {name: t.shape for name, t in side.items() if name.startswith(prefix)} for side in (given, expected)
    )
    if theirs != ours:
        if not adapt_classifier:
            problems.append(
                f"has {_classifier(given, prefix)} and the model {_classifier(expected, prefix)}: pass "
                "adapt_classifier=True (--adapt-classifier) to keep the model's own, or build the model to match"
            )
        given = {name: tensor for name, tensor in given.items() if name not in theirs}
        kept += ours
        dropped += theirs

    first = f"{model.input_layer_name}.weight"
    if first in given and _fits_but_for_channels(given[first], expected[first]):
        channels = expected[first].shape[1]
        if not adapt_input:
            problems.append(
                f"is for images of {given[first].shape[1]} channels and the model for {channels}: pass "
                "adapt_input=True to change the first convolution, or build the model to match"
            )
        given = given | {first: adapt_channels(given[first], channels, zeros=adapt_input == "zeros")}
        adapted.append(first)

    kept += [name for name in expected if name not in given and name.endswith("num_batches_tracked")]
    _check_same_network(where, checkpoint, given, {n: t for n, t in expected.items() if n not in kept})
    if problems:
        raise InputError(f"{where} {', and '.join(problems)}.")
    check_finite(where, ((name, tensor.to(expected[name].dtype)) for name, tensor in given.items()))
    with torch.no_grad():
        for name, tensor in given.items():
            expected[name].copy_(tensor)
    loaded = tuple(name for name in given if name not in adapted)
    return LoadReport(native.format, loaded, tuple(adapted), tuple(kept), tuple(dropped))


def check_plain(where: str, tensors: Mapping[str, object]) -> None:
    """Raise `InputError` unless all of these are tensors of numbers that can be copied.

    `where` is what holds them, and begins the sentence.
    """
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            kind = f"{type(tensor).__name__} in place of a tensor"
        elif tensor.is_meta:
            kind = "a tensor without values, on the meta device"
        elif tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested:
            kind = f"a {'quantized' if tensor.is_quantized else 'sparse' if tensor.is_sparse else 'special'} tensor"
        elif tensor.is_complex():
            kind = "a tensor of complex numbers"
        else:
            continue
        raise InputError(f"{where} holds {kind} under {name!r}: give a state_dict of dense tensors, which have values.")


def check_finite(where: str, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Raise `InputError` if a tensor has values that are NaN or infinite, with which all answers are.

    `where` is what holds them, and begins the sentence.
    """
    for name, tensor in tensors:
        if tensor.is_floating_point() and not (finite := tensor.isfinite()).all():
            raise InputError(
                f"{where} has NaN or infinite weights, {(~finite).sum():,} of {finite.numel():,} in {name!r}, so that "
                "all its answers would be none: give weights that were saved before their training diverged."
            )


def adapt_channels(weight: Tensor, channels: int, *, zeros: bool = False) -> Tensor:
    """Change a convolution's weight to another number of input channels.

    More channels repeat the old ones cyclically, each divided by its number of copies; fewer channels are cyclic sums
    of the old ones (a single channel: the sum of all). The response to an image whose channels are all equal stays the
    same. With `zeros`, additional channels have zero weights, so the response does not depend on them.

    Shape: `(C_out, C_in, *kernel)` to `(C_out, channels, *kernel)`.
    """
    old = weight.shape[1]
    if channels < old:
        folded = weight.new_zeros(weight.shape[0], channels, *weight.shape[2:])
        return folded.index_add_(1, torch.arange(old, device=weight.device) % channels, weight)
    if zeros:
        return torch.cat([weight, weight.new_zeros(weight.shape[0], channels - old, *weight.shape[2:])], 1)
    source = torch.arange(channels, device=weight.device) % old
    repeats = torch.bincount(source)[source].view(-1, *[1] * (weight.ndim - 2))
    return weight[:, source] / repeats


def describe(tensors: Mapping[str, Tensor], model: Backbone) -> tuple[int, int]:
    """Read the number of classes (0 without a classifier) and of input channels from a checkpoint.

    Args:
        tensors: the checkpoint's tensors under our names (`to_native`).
        model: any network of the same architecture, possibly on the meta device; only its names are used.

    Raises:
        InputError: the checkpoint has no first convolution of that name, or a tensor of an impossible shape.
    """
    classifier, first = f"{model.classifier_name}.weight", f"{model.input_layer_name}.weight"
    if first not in tensors:
        raise InputError(f"The checkpoint has no tensor {first!r}: it is of another network.")
    for name in (first, classifier):
        if name in tensors and tensors[name].ndim < 2:
            shape = tuple(tensors[name].shape)
            raise InputError(
                f"{name!r} of the checkpoint has shape {shape}, which no layer has: it is of another network."
            )
    return (len(tensors[classifier]) if classifier in tensors else 0), tensors[first].shape[1]


def why_unusable(record: WeightRecord) -> str:
    """Explain why this version cannot use published weights; an empty string if it can."""
    if record.format not in FORMATS:
        return f"their format, {record.format}, cannot be read"
    if record.model not in variant_names():
        return "the model cannot be built"
    known = GRAPHS if "graph" in variant(record.model).option_names else ("official",)
    return "" if record.graph in known else f"they need the {record.graph} graph, which cannot be built"


def check_usable(record: WeightRecord) -> None:
    """Raise `InputError` with the reason if this version cannot use published weights."""
    if reason := why_unusable(record):
        raise InputError(
            f"The weights {record.name} exist at {record.address}, but {reason} yet: choose other weights."
        )


def _fits_but_for_channels(given: Tensor, expected: Tensor) -> bool:
    return (
        given.is_floating_point()
        and given.ndim == expected.ndim > 2
        and given.shape[1] != expected.shape[1]
        and (given.shape[0], *given.shape[2:]) == (expected.shape[0], *expected.shape[2:])
    )


def _classifier(tensors: Mapping[str, Tensor], prefix: str) -> str:
    weight = tensors.get(f"{prefix}weight")
    return "no classifier" if weight is None else f"a classifier of {(*weight.shape, 0)[0]} classes"


def _check_same_network(
    where: str, checkpoint: Checkpoint, given: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> None:
    """Raise `InputError` with counts and examples of the differences unless all names and shapes match."""
    missing = [name for name in expected if name not in given]
    unexpected = [name for name in given if name not in expected]
    # Integer weights belong to a quantized network: copied as floats they would be silently wrong.
    misfits = [
        f"{name} is {_kind(given[name])} and not {_kind(tensor)}"
        for name, tensor in expected.items()
        if name in given and _kind(given[name]) != _kind(tensor)
    ]
    found = ((missing, "are missing"), (unexpected, "are unexpected"), (misfits, "have another shape or type"))
    differences = [f"{len(names)} {what} (such as {names[0]})" for names, what in found if names]
    if differences:
        named = checkpoint.metadata.get("model") or checkpoint.metadata.get("arch")
        hint = "create the model that it was saved from"
        if isinstance(named, str) and named:
            hint = f"its metadata names {named[:80]!r}: create that"
        raise InputError(f"{where} is of another model: of its tensors {', '.join(differences)}; {hint}.")


def _kind(tensor: Tensor) -> str:
    shape = "x".join(map(str, tensor.shape)) or "one number"
    return shape if tensor.is_floating_point() else f"{shape} of integers"


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
