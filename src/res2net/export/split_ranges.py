"""Splits and concatenations of quantized networks that stay in 8 bits.

`join_ranges` is for OpenVINO and `mark_concatenations` for ONNX.
"""

from __future__ import annotations

from typing import Any

CUTS = ("Slice", "StridedSlice", "Split", "VariadicSplit")
"""The operations that cut a tensor into pieces, in OpenVINO and ONNX."""
LEVELS = 256
"""Values of 8 bits."""


def join_ranges(model: Any) -> int:
    """Quantize each tensor of an OpenVINO model before it is split, if all its pieces are quantized after the split.

    With a range for each piece, the layer before the split writes 32-bit values and the split copies them; with one
    range before the split, both handle 8-bit values. The shared range is the widest of the pieces and of the tensors
    that they are concatenated with, which must share it. Only ranges that start at zero are joined, such as those after
    a ReLU: the only cost is that the narrower pieces are resolved as coarsely as the widest. The model is changed in
    place; returns the number of tensors whose pieces now share a range.
    """
    joined = sum(join(output) for node in model.get_ordered_ops() for output in node.outputs())
    if joined:
        model.validate_nodes_and_infer_types()
    return joined


def join(output: Any) -> bool:
    """Join the ranges of the pieces of one tensor; returns whether it was done."""
    from openvino import opset13

    readers = list(output.get_target_inputs())
    if not readers or any(reader.get_node().get_type_name() not in CUTS for reader in readers):
        return False
    pieces = [piece for reader in readers for piece in reader.get_node().outputs()]
    behind = [reader.get_node() for piece in pieces for reader in piece.get_target_inputs()]
    if len(pieces) < 2 or not behind or not all(starts_at_zero(node) for node in behind):
        return False
    names = {node.get_name() for node in behind}
    beside = [node for node in concatenated_with(behind) if node.get_name() not in names]
    if not all(starts_at_zero(node) for node in beside):
        return False
    highest = max(float(node.input_value(2).get_node().get_data().item()) for node in (*behind, *beside))
    low, high = (opset13.constant(value, output.get_element_type()) for value in (0.0, highest))
    shared = opset13.fake_quantize(output, low, high, low, high, LEVELS)
    shared.set_friendly_name(f"{output.get_node().get_friendly_name()}/shared_range")
    for reader in readers:
        reader.replace_source_output(shared.output(0))
    for node in behind:
        for reader in node.output(0).get_target_inputs():
            reader.replace_source_output(node.input_value(0))
    for node in beside:
        for index in (2, 4):
            node.input(index).replace_source_output(high.output(0))
    return True


def concatenated_with(nodes: list[Any]) -> list[Any]:
    """The inputs of the concatenations that read the nodes."""
    readers = [reader.get_node() for node in nodes for reader in node.output(0).get_target_inputs()]
    together = [reader for reader in readers if reader.get_type_name() == "Concat"]
    return [value.get_node() for reader in together for value in reader.input_values()]


def starts_at_zero(node: Any) -> bool:
    """Whether a node quantizes a whole tensor to 8 bits in one range that starts at zero, without rescaling it."""
    if node.get_type_name() != "FakeQuantize" or node.get_attributes()["levels"] != LEVELS:
        return False
    bounds = [node.input_value(index).get_node() for index in range(1, 5)]
    if any(bound.get_type_name() != "Constant" or bound.get_data().size != 1 for bound in bounds):
        return False
    low, high, low_out, high_out = (float(bound.get_data().item()) for bound in bounds)
    return low == low_out == 0.0 and high == high_out


def mark_concatenations(model: Any) -> int:
    """Quantize and dequantize the output of each concatenation of 8-bit tensors that share a range in an ONNX model.

    No value changes, but ONNX Runtime computes in int8 only between such operations: without them, it would compute
    the concatenation, and the convolution after it, in 32 bits. The model is changed in place; returns the number of
    such concatenations.
    """
    from onnx import helper

    producers = {name: node for node in model.graph.node for name in node.output}
    constants = {constant.name: constant for constant in model.graph.initializer}
    steps = []
    for node in model.graph.node:
        steps.append(node)
        shared = shared_range(node, producers, constants) if node.op_type == "Concat" else None
        if shared is not None:
            name = node.output[0]
            node.output[0], whole = f"{name}_32_bits", f"{name}_8_bits"
            for kind, given, made in (("Quantize", node.output[0], whole), ("Dequantize", whole, name)):
                steps.append(helper.make_node(f"{kind}Linear", [given, *shared], [made], f"{kind}Linear_{name}"))
    marked = (len(steps) - len(model.graph.node)) // 2
    del model.graph.node[:]
    model.graph.node.extend(steps)
    return marked


def shared_range(node: Any, producers: dict[str, Any], constants: dict[str, Any]) -> tuple[str, str] | None:
    """The names of the scale and the zero point that all inputs of a concatenation share; None if they share none."""
    found = [range_of(name, producers) for name in node.input]
    known = [names for names in found if names is not None and all(name in constants for name in names)]
    if len(known) < len(found):
        return None
    values = {tuple(value_of(constants[name]) for name in names) for names in known}
    return known[0] if len(values) == 1 and None not in next(iter(values)) else None


def range_of(name: str, producers: dict[str, Any]) -> tuple[str, str] | None:
    """The names of the scale and the zero point of a dequantized tensor, or of a piece of one; None for others."""
    node = producers.get(name)
    while node is not None and node.op_type in CUTS:
        node = producers.get(node.input[0])
    if node is None or node.op_type != "DequantizeLinear" or len(node.input) < 3:
        return None
    return node.input[1], node.input[2]


def value_of(constant: Any) -> tuple[str, bytes] | None:
    """A constant of one value in a form that compares by value; None for several values, such as one per channel."""
    from onnx import numpy_helper

    array = numpy_helper.to_array(constant)
    return (str(array.dtype), array.tobytes()) if array.size == 1 else None
