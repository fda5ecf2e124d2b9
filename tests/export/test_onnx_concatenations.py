"""What is concatenated of numbers of 8 bits goes on in 8 bits."""

from collections import Counter

import numpy as np
import pytest
import torch

from res2net.export import FORMATS, export_network
from res2net.export.split_ranges import mark_concatenations

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def network_of_two(scales, zeros=(0, 0), cut=True):
    """Two tensors of two channels in 8 bits, one of them cut out of a larger one, concatenated and negated."""
    make = onnx.helper.make_node
    nodes, constants = [], []
    for place, (scale, zero) in enumerate(zip(scales, zeros, strict=True)):
        constants.append(onnx.numpy_helper.from_array(np.array(scale, np.float32), f"scale{place}"))
        constants.append(onnx.numpy_helper.from_array(np.array(zero, np.uint8), f"zero{place}"))
        names = [f"scale{place}", f"zero{place}"]
        nodes.append(make("QuantizeLinear", ["x", *names], [f"q{place}"]))
        nodes.append(make("DequantizeLinear", [f"q{place}", *names], [f"dq{place}"]))
    for name, values in (("from", [0]), ("to", [1]), ("axis", [1])):
        constants.append(onnx.numpy_helper.from_array(np.array(values, np.int64), name))
    nodes.append(make("Slice", ["dq1", "from", "to", "axis"], ["piece"]) if cut else make("Relu", ["dq1"], ["piece"]))
    nodes.append(make("Concat", ["dq0", "piece"], ["both"], axis=1))
    nodes.append(make("Neg", ["both"], ["y"]))
    x, y = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, size])
        for name, size in (("x", 4), ("y", None))
    )
    graph = onnx.helper.make_graph(nodes, "graph", [x], [y], constants)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)


def run(model, values, level="ORT_DISABLE_ALL", file=None):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.log_severity_level = 3
    if file is not None:
        options.optimized_model_filepath = str(file)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: values})[0]


def test_the_numbers_stay_what_they_are():
    model = network_of_two((0.1, 0.1))
    values = np.array([[0.07, 3.21, 99.0, -4.0]], np.float32)
    before = run(model, values)
    assert mark_concatenations(model) == 1
    onnx.checker.check_model(model)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds[kinds.index("Concat") :] == ["Concat", "QuantizeLinear", "DequantizeLinear", "Neg"]
    assert np.array_equal(run(model, values), before)
    assert before.ravel() == pytest.approx([-0.1, -3.2, -25.5, 0.0, -0.1], abs=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"scales": (0.1, 0.2)},
        {"scales": (0.1, 0.1), "zeros": (0, 3)},
        {"scales": (0.1, 0.1), "cut": False},
        {"scales": ([0.1] * 4, [0.1] * 4), "zeros": ([0] * 4, [0] * 4)},
    ],
    ids=["two scales", "two zero points", "a step in 32 bits between", "a scale for each channel"],
)
def test_others_stay_as_they_are(options):
    model = network_of_two(**options)
    before = model.SerializeToString()
    assert mark_concatenations(model) == 0
    assert model.SerializeToString() == before


@pytest.mark.parametrize("optimized", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_network_is_convolved_in_whole_numbers_alone(network, tmp_path, optimized):
    batches = [torch.randn(2, 3, 32, 32) for _ in range(4)]
    path = tmp_path / f"network{FORMATS['onnx']}"
    export_network(network, batches[0], path, "onnx", calibration=batches, optimized=optimized)
    run(onnx.load(path), batches[0].numpy(), "ORT_ENABLE_ALL", tmp_path / "run.onnx")
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "run.onnx").graph.node)
    assert kinds["QLinearConv"] > 0
    assert ("Conv" not in kinds and "Concat" not in kinds) == optimized
