"""Splits in whole numbers: one range for a tensor before it is cut, where each piece would have had its own."""

from __future__ import annotations

from typing import Any

__all__ = ["join_ranges"]

CUTS = ("Slice", "StridedSlice", "Split", "VariadicSplit")
LEVELS = 256


def join_ranges(model: Any) -> int:
    """Give each tensor that is cut into pieces of 8 bits one range for all of them, in place.

    Where ranges are measured behind each cut, what comes before it writes, and the cut copies, numbers of 32 bits.
    With one range before it, both handle numbers of 8 bits. The range is the widest of the pieces, and of what pieces
    are concatenated with, which must have the same one. Only ranges that begin at zero are joined, as they are behind
    a ReLU: there it costs at most the resolution that the narrower pieces had beyond the widest.

    Args:
        model: of OpenVINO, with `FakeQuantize` where numbers become 8 bits.

    Returns:
        How many tensors have one range now.
    """
    joined = 0
    for node in model.get_ordered_ops():
        for output in node.outputs():
            joined += join(output)
    if joined:
        model.validate_nodes_and_infer_types()
    return joined


def join(output: Any) -> bool:
    """The same for one tensor; whether it was cut so."""
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
    highest = max(upper_end(node) for node in (*behind, *beside))
    low, high = (opset13.constant(value, output.get_element_type()) for value in (0.0, highest))
    shared = opset13.fake_quantize(output, low, high, low, high, LEVELS)
    shared.set_friendly_name(f"{output.get_node().get_friendly_name()}/shared_range")
    for reader in readers:
        reader.replace_source_output(shared.output(0))
    for node in behind:
        for reader in node.output(0).get_target_inputs():
            reader.replace_source_output(node.input_value(0))
    for node in beside:
        for place in (2, 4):
            node.input(place).replace_source_output(high.output(0))
    return True


def concatenated_with(nodes: list[Any]) -> list[Any]:
    """What the concatenations that read the nodes are made of."""
    readers = [reader.get_node() for node in nodes for reader in node.output(0).get_target_inputs()]
    together = [reader for reader in readers if reader.get_type_name() == "Concat"]
    return [value.get_node() for reader in together for value in reader.input_values()]


def starts_at_zero(node: Any) -> bool:
    """Whether numbers become 8 bits here, in one range from zero for the whole tensor, and keep their values."""
    if node.get_type_name() != "FakeQuantize" or node.get_attributes()["levels"] != LEVELS:
        return False
    bounds = [node.input_value(place).get_node() for place in range(1, 5)]
    if any(bound.get_type_name() != "Constant" or bound.get_data().size != 1 for bound in bounds):
        return False
    low, high, low_out, high_out = (float(bound.get_data().item()) for bound in bounds)
    return low == low_out == 0.0 and high == high_out


def upper_end(node: Any) -> float:
    """The end of the range in which numbers become 8 bits."""
    return float(node.input_value(2).get_node().get_data().item())
