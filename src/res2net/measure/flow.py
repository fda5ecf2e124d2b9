"""Recording which layer's output goes where, by running a network once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

IN_PLACE_TOO = ("relu", "silu", "hardtanh", "hardswish", "hardsigmoid", "leaky_relu", "elu", "mish", "clamp", "sigmoid")
IN_PLACE = tuple(f"{name}_" for name in IN_PLACE_TOO)
ARITHMETIC = tuple(f"__{sign}{name}__" for name in ("add", "mul", "sub") for sign in ("", "i", "r"))
SUMS = ("add", "add_", "mul", "mul_", "sub")
OTHERS = ("relu6", "gelu", "tanh", "selu", "softplus", "dropout", "dropout2d", "contiguous", "clone")
POINTWISE = frozenset({*IN_PLACE_TOO, *IN_PLACE, *ARITHMETIC, *SUMS, *OTHERS})
"""Names of elementwise functions of one or two tensors."""

BY_VALUE = ("nonzero", "argwhere", "masked_select", "unique", "_unique2", "unique_consecutive", "nms", "bincount")
"""Names of functions whose outputs have sizes that depend on values."""
NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)
DROPS = ("DropPath", "StochasticDepth", "DropBlock2d")
PLAIN = ("Identity", *DROPS, "Swish", "Mish", "HardSwish", "HardMish", "HardSigmoid")
"""Names of classes of other libraries that are recorded as one step though they have no weights."""


@dataclass(eq=False)
class Value:
    """A tensor of the run."""

    shape: tuple[int, ...]
    producer: Node | None
    """None for the input and for tensors from elsewhere, such as parameters."""
    users: list[Node] = field(default_factory=list)
    is_output: bool = False
    by_value: bool = False
    """Whether its size can depend on the values of tensors, such as those of what a threshold leaves."""
    raw: bool = False
    """Whether no convolution or linear layer lies between the input and this tensor."""


@dataclass(eq=False)
class Node:
    """One call of a layer or a function."""

    name: str
    """Name of the layer in the network, or of the function."""
    module: nn.Module | None
    inputs: list[Value]
    outputs: list[Value]
    function: Callable[..., Any] | None = None
    arguments: tuple[Any, ...] = ()
    """Positional arguments of a function, without the tensors."""
    named: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of a function, without the tensors."""

    @property
    def output(self) -> Value:
        """The first output."""
        return self.outputs[0]

    @property
    def values(self) -> tuple[Value, ...]:
        """The inputs and the outputs."""
        return (*self.inputs, *self.outputs)


@dataclass
class Flow:
    """The recorded calls of a network for one input."""

    nodes: list[Node]
    macs: int
    """Multiply-accumulates for the whole input; 0 where they are not counted."""
    outputs: list[Value]
    """The output tensors."""
    calls: Counter[str]
    """Number of calls of each layer."""

    @property
    def shapes(self) -> list[tuple[int | None, ...]]:
        """Shapes of the output tensors, with None for sizes that can depend on values."""
        return [(None,) * len(value.shape) if value.by_value else value.shape for value in self.outputs]

    def node(self, name: str) -> Node | None:
        """The first call of a layer; None if it did not run."""
        return next((node for node in self.nodes if node.module is not None and node.name == name), None)


def depends_on_values(function: str, arguments: Sequence[Any]) -> bool:
    """Whether the sizes of what a function returns depend on values: those of a mask, or of scores and overlaps."""
    if function in BY_VALUE or (function == "where" and len(arguments) == 1):
        return True
    masks = [tensor for tensor in tensors(arguments[1:]) if tensor.dtype in (torch.bool, torch.uint8)]
    return function in ("__getitem__", "index") and bool(masks)


def is_norm(module: nn.Module | None) -> bool:
    """Whether a module is a normalisation with weights for each channel."""
    return isinstance(module, NORMS)


def is_layer(module: nn.Module) -> bool:
    """Whether a call is recorded as one step: a known layer, or one with weights and without children."""
    if isinstance(module, _ConvNd | nn.Linear) or is_norm(module):
        return True
    if next(module.children(), None) is not None:
        return False
    own = type(module).__module__
    known = own.startswith("torch.nn.modules") or ".activations" in own or type(module).__name__ in PLAIN
    return known or next(module.parameters(recurse=False), None) is not None


def is_activation(module: nn.Module | None) -> bool:
    """Whether a module is of a class of activations, some of which are gates or mix channels."""
    return type(module).__module__ in ("torch.nn.modules.activation", "timm.layers.activations")


def tensors(values: Any) -> list[Tensor]:
    """All tensors in nested tuples, lists, dictionaries and dataclasses."""
    found = []
    for leaf in tree_leaves(values):
        if isinstance(leaf, Tensor):
            found.append(leaf)
        elif hasattr(leaf, "__dict__") and not isinstance(leaf, nn.Module):
            found += [part for part in vars(leaf).values() if isinstance(part, Tensor)]
    return found


class Recorder(TorchFunctionMode):
    """Records every call of a layer, and every call of a torch function outside of a layer."""

    def __init__(self, is_layer: Callable[[nn.Module], bool]) -> None:
        super().__init__()
        self.is_layer = is_layer
        self.nodes: list[Node] = []
        self.values: dict[int, Value] = {}
        self.kept: list[Any] = []  # ids stay unique while the tensors live
        self.depth = 0

    def value(self, tensor: Tensor) -> Value:
        """The record of a tensor; a new one, without a producer, if it is unknown."""
        if id(tensor) not in self.values:
            self.kept.append(tensor)
            self.values[id(tensor)] = Value(tuple(tensor.shape), None)
        return self.values[id(tensor)]

    def add(self, name: str, called: Any, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any) -> None:
        """Record a call of a layer or of a function."""
        made = tensors(output)
        if not made:
            return
        module = called if isinstance(called, nn.Module) else None
        node = Node(name, module, [self.value(tensor) for tensor in tensors((args, kwargs))], [])
        if module is None:
            node.function = called
            node.arguments = tuple(value for value in args if not isinstance(value, Tensor))
            node.named = {key: value for key, value in kwargs.items() if not isinstance(value, Tensor)}
        by_value = any(value.by_value for value in node.inputs) or (module is None and depends_on_values(name, args))
        weighted = isinstance(module, _ConvNd | nn.Linear)
        raw = not weighted and bool(node.inputs) and all(value.raw for value in node.inputs)
        for value in node.inputs:
            value.users.append(node)
        for tensor in made:
            self.kept.append(tensor)
            self.values[id(tensor)] = Value(tuple(tensor.shape), node, by_value=by_value, raw=raw)
            node.outputs.append(self.values[id(tensor)])
        self.nodes.append(node)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.depth:
            return func(*args, **kwargs)
        output = func(*args, **kwargs)
        self.add(getattr(func, "__name__", str(func)), func, args, kwargs, output)
        return output

    def hooks(self, model: nn.Module) -> Iterable[Any]:
        """Register hooks on the layers; yields their handles."""
        for name, module in model.named_modules():
            if not self.is_layer(module):
                continue

            def before(_module: nn.Module, _args: Any) -> None:
                self.depth += 1

            def after(module: nn.Module, args: Any, kwargs: Any, output: Any, name: str = name) -> None:
                self.depth -= 1
                if not self.depth:
                    self.add(name, module, args, kwargs, output)

            yield module.register_forward_pre_hook(before)
            yield module.register_forward_hook(after, with_kwargs=True)


def record(
    model: nn.Module,
    inputs: tuple[Any, ...],
    *,
    call: Callable[..., Any] | None = None,
    is_layer: Callable[[nn.Module], bool] = is_layer,
    count_macs: bool = True,
) -> Flow:
    """Run a network once, or `call` in its place, and record its calls.

    Unlike symbolic tracing this works with any code: conditions, loops and in-place changes are simply executed. A call
    of a module for which `is_layer` holds is one step; of other modules, the calls inside are recorded. To count
    multiply-accumulates takes as long again.
    """
    recorder = Recorder(is_layer)
    for tensor in tensors(inputs):
        recorder.value(tensor).raw = True
    with ExitStack() as stack:
        for hook in list(recorder.hooks(model)):
            stack.callback(hook.remove)
        stack.enter_context(torch.no_grad())
        flops = FlopCounterMode(display=False)
        if count_macs:
            stack.enter_context(flops)
        # The network may create tensors itself: they are on the device of the input.
        stack.enter_context(tensors(inputs)[0].device)
        stack.enter_context(recorder)
        output = (call or model)(*inputs)
    results = [recorder.value(tensor) for tensor in tensors(output)]
    for value in results:
        value.is_output = True
    calls = Counter(node.name for node in recorder.nodes if node.module is not None)
    return Flow(recorder.nodes, flops.get_total_flops() // 2, results, calls)
