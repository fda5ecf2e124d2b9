"""Concatenations in whole numbers: their output is told to be in 8 bits, as what they are made of is."""

from __future__ import annotations

from typing import Any

__all__ = ["mark_concatenations"]

CUTS = ("Slice", "Split")


def mark_concatenations(model: Any) -> int:
    """Put the step to 8 bits and back behind each concatenation of numbers of 8 bits in one range, in place.

    The numbers stay what they are. But ONNX Runtime computes in whole numbers only what stands between such steps: else
    it concatenates, and convolves what comes after, in 32 bits.

    Args:
        model: an ONNX network with `QuantizeLinear` and `DequantizeLinear`.

    Returns:
        How many concatenations there were.
    """
    from onnx import helper

    makers = {name: node for node in model.graph.node for name in node.output}
    constants = {constant.name: constant for constant in model.graph.initializer}
    steps = []
    marked = 0
    for node in model.graph.node:
        steps.append(node)
        shared = shared_range(node, makers, constants) if node.op_type == "Concat" else None
        if shared is None:
            continue
        name = node.output[0]
        node.output[0], whole = f"{name}_32_bits", f"{name}_8_bits"
        steps.append(helper.make_node("QuantizeLinear", [node.output[0], *shared], [whole], f"QuantizeLinear_{name}"))
        steps.append(helper.make_node("DequantizeLinear", [whole, *shared], [name], f"DequantizeLinear_{name}"))
        marked += 1
    del model.graph.node[:]
    model.graph.node.extend(steps)
    return marked


def shared_range(node: Any, makers: dict[str, Any], constants: dict[str, Any]) -> tuple[str, str] | None:
    """The names of scale and zero point that all inputs of a concatenation have; None where they have no such."""
    found = [range_of(name, makers) for name in node.input]
    known = [names for names in found if names is not None and all(name in constants for name in names)]
    if len(known) < len(found):
        return None
    values = {tuple(value_of(constants[name]) for name in names) for names in known}
    return known[0] if len(values) == 1 and None not in next(iter(values)) else None


def range_of(name: str, makers: dict[str, Any]) -> tuple[str, str] | None:
    """The names of the scale and the zero point of a tensor that was in 8 bits, or cut out of one."""
    node = makers.get(name)
    while node is not None and node.op_type in CUTS:
        node = makers.get(node.input[0])
    if node is None or node.op_type != "DequantizeLinear" or len(node.input) < 3:
        return None
    return node.input[1], node.input[2]


def value_of(constant: Any) -> tuple[str, bytes] | None:
    """A constant of one number as something to compare; None for several, as those of each channel."""
    from onnx import numpy_helper

    array = numpy_helper.to_array(constant)
    return (str(array.dtype), array.tobytes()) if array.size == 1 else None
