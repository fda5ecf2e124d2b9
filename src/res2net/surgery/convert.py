"""`convert`: make any network multi-scale."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from res2net.errors import InputError, check_choice, check_range
from res2net.kernels import SplitOrder
from res2net.measure.costs import copied, without_weights
from res2net.measure.flow import Flow, record, tensors
from res2net.nn.layers import check_positive
from res2net.surgery.budget import Budget, Unit, solve
from res2net.surgery.find import resized_norm
from res2net.surgery.plan import Choice, Options, describe, plan
from res2net.surgery.replace import initialise_new, replacement, resized_neighbour
from res2net.surgery.report import Conversion, Cost, Kept, Replaced

Inputs = tuple[Any, ...]
Model = TypeVar("Model", bound=nn.Module)
SIZES = {1: (1000,), 2: (224, 224), 3: (16, 112, 112)}
"""Sizes of the default example input, by number of dimensions."""


def convert(
    model: Model,
    scale: int = 4,
    *,
    budget: Budget = "parameters",
    base_width: int | None = None,
    only: Choice | None = None,
    stage: Choice | None = None,
    stem: bool = False,
    split_order: SplitOrder = "official",
    example_input: Tensor | Inputs | None = None,
) -> tuple[Model, Conversion]:
    """Replace the k x k convolutions of any network by Res2 convolutions.

    Between two 1x1 convolutions, as in a bottleneck, a `Res2Conv` replaces the convolution and the neighbours are
    resized to its channels (Gao et al., TPAMI 2021, section 3.1, Fig. 2). Elsewhere the neighbours stay, and 1x1
    convolutions are added before and after the splits. Grouped and depthwise convolutions become grouped and depthwise
    splits. Normalisations and activations are of the types that the network uses. Strided convolutions become
    independent splits (`mode="stage"` of `Res2Conv`).

    Args:
        model: a network with convolutions in 1, 2 or 3 dimensions; it is not changed. Layers that are kept keep their
            weights; new and resized layers are initialised.
        scale: number of splits, at least 2. Grouped convolutions whose channels are not divisible by it have fewer.
        budget: the cost that the whole network keeps: "parameters", "macs", or "width", with which the splits together
            have as many channels as the convolution.
        base_width: instead of a budget, a split has `floor(channels * base_width / 64)` channels, as in the paper.
        only: the convolutions to replace, as patterns of names such as `"layer4.*"`, or as a function of the name and
            the convolution. By default all.
        stage: the convolutions with independent splits also at stride 1, selected in the same way. In the published
            networks these are in the first block of each stage.
        stem: whether to replace convolutions that read the input of the network.
        split_order: the `split_order` of `Res2Conv`.
        example_input: a tensor, or a tuple of arguments, that the network is run with once to record its data flow. By
            default an image, a signal or a volume of a common size.

    Returns:
        The new network, in the mode of the given one, and a report.

    The sizes of its outputs stay the same; those that depend on values, such as the number of objects that a detector
    finds, are not compared.

    Raises:
        InputError: an option is out of range, or the network does not run with the example input.
    """
    check_range("Scale", scale, 2)
    check_positive("Scale", scale)
    check_choice("budget", budget, Budget)
    check_choice("split order", split_order, SplitOrder)
    if base_width is not None:
        check_positive("Base width", base_width)
    options = Options(scale, budget, base_width, only, stage, stem, split_order)
    inputs = example_inputs(model, example_input)
    twin, flow = record_copy(model, inputs)
    units, kept = plan(twin, flow, options)
    new, after = converted(model, units, options, inputs)
    if isinstance(after, InputError) or after.shapes != flow.shapes:
        # Some layer depends on the number of channels in a way that the recorded flow does not show.
        units, kept = plan(twin, flow, replace(options, resize=False))
        new, after = converted(model, units, options, inputs)
    if isinstance(after, InputError):
        raise InputError(f"The converted network does not run: select fewer convolutions with `only` ({after})")
    if after.shapes != flow.shapes:
        raise InputError(
            f"The converted network has outputs of {after.shapes} and not of {flow.shapes}: select fewer convolutions "
            "with `only`."
        )
    by_value = any(value.by_value for node in flow.nodes for value in node.outputs)
    return new, report(model, new, units, kept, (flow.macs, after.macs), by_value=by_value)


def example_inputs(model: nn.Module, given: Tensor | Inputs | None) -> Inputs:
    """The arguments that the network is run with: the given ones, or an empty input of a common size."""
    if given is not None:
        inputs = (given,) if isinstance(given, Tensor) else tuple(given)
        if not tensors(inputs):
            raise InputError("The example input contains no tensor: give a tensor, or a tuple of arguments with one.")
        return inputs
    first = next((module for module in model.modules() if isinstance(module, _ConvNd)), None)
    if first is None:
        raise InputError("The network has no convolution: there is nothing to convert.")
    size = (first.in_channels, *SIZES[len(first.kernel_size)])
    config = getattr(model, "default_cfg", None)  # timm's models have one
    if isinstance(config, dict) and len(config.get("input_size", ())) == len(size):
        size = (first.in_channels, *config["input_size"][1:])
    return (torch.empty(1, *size, device="meta", dtype=first.weight.dtype),)


def record_copy(model: nn.Module, inputs: Inputs) -> tuple[nn.Module, Flow]:
    """Record the data flow of a copy of the network, on the meta device if possible."""
    twin = without_weights(model)
    try:
        return twin, record(twin, on_device(inputs, "meta"))
    except (RuntimeError, ValueError, TypeError, AssertionError):
        pass
    device = next((str(tensor.device) for tensor in model.parameters()), "cpu")
    twin = copied(model).eval()
    try:
        return twin, record(twin, on_device(inputs, device))
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        sizes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors(inputs))
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"The network does not run with an input of {sizes} ({reason}): give example_input."
        ) from error


def on_device(inputs: Inputs, device: str) -> Inputs:
    """Move arguments to another device; tensors on the meta device become zeros."""

    def move(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if value.is_meta and device != "meta":
            return torch.zeros(value.shape, dtype=value.dtype, device=device)
        return value.detach().to(device)

    return torch.utils._pytree.tree_map(move, inputs)


def converted(model: Model, units: list[Unit], options: Options, inputs: Inputs) -> tuple[Model, Flow | InputError]:
    """Convert a copy of the network and record its data flow, or the reason why it does not run."""
    solve(units, "macs" if options.budget == "macs" else "parameters")
    new = copied(model)
    for unit in units:
        install(new, unit, options)
    try:
        return new, record_copy(new, inputs)[1]
    except InputError as error:
        return new, error


def install(model: nn.Module, unit: Unit, options: Options) -> None:
    """Replace a convolution in the network, and resize its neighbours."""
    conv = model.get_submodule(unit.name)
    weight: Tensor = conv.weight  # type: ignore[assignment]
    with torch.device(weight.device):
        made = replacement(
            unit.conv, unit.size, unit.style, stage=unit.stage, ends=unit.ends, split_order=options.split_order
        ).to(weight.dtype)
    fresh = [made]
    replace_layer(model, unit.name, made)
    channels, absorbed = unit.size.channels, unit.absorbed
    if absorbed is not None:
        replace_layer(model, absorbed.norm.name, nn.Identity())
        if absorbed.act is not None:
            replace_layer(model, absorbed.act, nn.Identity())
    for space in unit.between:
        for name in space.producers:
            fresh.append(resized_neighbour(model.get_submodule(name), outputs=channels))
            replace_layer(model, name, fresh[-1])
        for name in space.consumers:
            fresh.append(resized_neighbour(model.get_submodule(name), inputs=channels))
            replace_layer(model, name, fresh[-1])
        for name in space.norms:
            if absorbed is None or name != absorbed.norm.name:
                replace_layer(model, name, resized_norm(model.get_submodule(name), channels))
    initialise_new(fresh)


def replace_layer(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Replace a layer everywhere in the network, in the same mode."""
    old = model.get_submodule(name)
    layer.train(old.training)
    paths = [path for path, module in model.named_modules(remove_duplicate=False) if module is old]
    for path in paths:
        parent, _, attribute = path.rpartition(".")
        setattr(model.get_submodule(parent), attribute, layer)


def report(
    model: nn.Module, new: nn.Module, units: list[Unit], kept: list[Kept], macs: tuple[int, int], *, by_value: bool
) -> Conversion:
    """Report the conversion."""
    replaced = []
    for unit in units:
        conv: Any = model.get_submodule(unit.name)
        size = unit.size
        after = f"{size.scale} splits of {size.width}"
        if size.cardinality > 1:
            after += ", depthwise" if size.cardinality == size.width else f", {size.cardinality} groups"
        if any(unit.ends):
            after += " between 1x1 convolutions"
        replaced.append(Replaced(unit.name, describe(conv), after, conv.weight.numel()))
    parameters = (sum(tensor.numel() for tensor in one.parameters()) for one in (model, new))
    before, after_all = (Cost(*pair) for pair in zip(parameters, macs, strict=True))
    return Conversion(tuple(replaced), tuple(kept), before, after_all, by_value)
