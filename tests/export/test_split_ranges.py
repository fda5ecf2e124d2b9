"""Tensors that are cut into pieces of 8 bits have one range for all of them."""

import numpy as np
import pytest
import torch

from res2net.export import FORMATS, export_network
from res2net.export.runtimes import openvino_core
from res2net.export.split_ranges import CUTS, join_ranges

openvino = pytest.importorskip("openvino")
ops = pytest.importorskip("openvino.opset13")


def ranged(value, low, high):
    bounds = [ops.constant(np.float32(bound)) for bound in (low, high)]
    return ops.fake_quantize(value, *bounds, *bounds, 256)


def two_pieces(ends, other=None, *, low=0.0, reader=None):
    """Two pieces of two channels, each in 8 bits, concatenated with each other and perhaps with something else."""
    x = ops.parameter([1, 4, 1, 1], np.float32)
    cut = ops.split(ops.relu(x), ops.constant(1), 2)
    pieces = [ranged(cut.output(place), low, end) for place, end in enumerate(ends)]
    beside = [] if other is None else [ranged(ops.negative(x), 0.0, other)]
    outputs = [ops.concat([*pieces, *beside], 1)]
    if reader is not None:
        outputs.append(reader(cut.output(0)))
    return openvino.Model(outputs, [x])


def kinds_behind_cuts(model):
    return {
        reader.get_node().get_type_name()
        for node in model.get_ops()
        if node.get_type_name() in CUTS
        for piece in node.outputs()
        for reader in piece.get_target_inputs()
    }


def run(model, values):
    return openvino_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([values])[0]


def rounded(values, high):
    return np.round(np.clip(values, 0, high) / high * 255) / 255 * high


def test_the_range_is_the_widest_of_all():
    model = two_pieces((1.0, 3.0), other=2.0)
    assert join_ranges(model) == 1
    assert kinds_behind_cuts(model) == {"Concat"}
    values = np.array([0.4567, 2.345, 1.234, 9.0], np.float32).reshape(1, 4, 1, 1)
    found = run(model, values).ravel()
    both = np.concatenate([values.ravel(), -values.ravel()])
    assert found == pytest.approx(rounded(both, 3.0), abs=1e-6)
    assert found[1] > 2  # more than the range that its piece had


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(lambda: two_pieces((1.0, 3.0), low=-1.0), id="with a sign"),
        pytest.param(lambda: two_pieces((1.0, 3.0), reader=ops.relu), id="one piece is read in 32 bits too"),
    ],
)
def test_others_stay_as_they_are(model):
    model = model()
    values = np.linspace(-1, 2, 4, dtype=np.float32).reshape(1, 4, 1, 1)
    before = run(model, values)
    assert join_ranges(model) == 0
    assert np.array_equal(run(model, values), before)


@pytest.mark.parametrize("optimized", [True, False])
@pytest.mark.slow
def test_the_splits_of_an_exported_network_are_cut_in_8_bits(network, tmp_path, optimized):
    batches = [torch.randn(2, 3, 32, 32) for _ in range(4)]
    path = tmp_path / f"network{FORMATS['openvino']}"
    export_network(network, batches[0], path, "openvino", calibration=batches, optimized=optimized)
    model = openvino_core().read_model(str(path))
    before = {
        node.input_value(0).get_node().get_type_name() for node in model.get_ops() if node.get_type_name() in CUTS
    }
    assert (before == {"FakeQuantize"}) == optimized
    assert ("FakeQuantize" not in kinds_behind_cuts(model)) == optimized
