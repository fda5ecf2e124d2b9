"""Networks in int8 agree with those they were made of."""

import functools
import sys

import pytest
import torch

from res2net.errors import InputError
from res2net.export import FORMATS, compare_outputs, load_runtime
from res2net.export.exporter import Pyramid
from res2net.export.settings import INT8_FORMATS
from res2net.export.write import export_network

SIZE = 32
SIGNS = {"pt2": b"quantize_per_tensor", "onnx": b"QuantizeLinear", "openvino": b"FakeQuantize"}
"""What stands in a network's file where it is in int8."""


@pytest.fixture(scope="module")
def batches():
    torch.manual_seed(1)
    # Of very different contrast: means over batches of their ranges would clip many values of the strongest.
    return list((torch.linspace(0.2, 3, 16).view(-1, 1, 1, 1) * torch.randn(16, 3, SIZE, SIZE)).split(2))


@pytest.fixture(scope="module")
def in_int8(network, batches, described, tmp_path_factory):
    """A function that gives the file of a format in int8."""

    @functools.cache
    def export(format_name, dynamic_batch):
        path = tmp_path_factory.mktemp("int8") / f"network{FORMATS[format_name]}"
        export_network(network, batches[0], path, format_name, dynamic_batch=dynamic_batch, calibration=batches)
        described(format_name, network, (2, 3, SIZE, SIZE), dynamic_batch=dynamic_batch, int8=True).write(path)
        return path

    return lambda format_name, dynamic_batch=True: export(format_name, dynamic_batch)


@pytest.mark.parametrize("dynamic_batch", [pytest.param(False, marks=pytest.mark.slow), True], ids=["fixed", "dynamic"])
@pytest.mark.parametrize(
    "format_name", ["onnx", *(pytest.param(name, marks=pytest.mark.slow) for name in ("openvino", "pt2"))]
)
def test_the_classes_are_those_of_the_network(network, in_int8, batches, format_name, dynamic_batch):
    path = in_int8(format_name, dynamic_batch)
    assert SIGNS[format_name] in path.read_bytes()
    three = torch.cat(batches).split(3)
    agreement = compare_outputs(load_runtime(path, trust=True), network, three, logits=True)
    assert agreement.images == 16
    assert 1e-4 < agreement.relative < 0.3  # it is in int8, and right


@pytest.mark.parametrize("format_name", ["onnx", "openvino"])
@pytest.mark.slow
def test_ranges_do_not_depend_on_the_size_of_batches(network, batches, in_int8, described, tmp_path, format_name):
    images = torch.cat(batches).split(1)
    path = tmp_path / f"alone{FORMATS[format_name]}"
    export_network(network, images[0], path, format_name, calibration=images)
    described(format_name, network, (1, 3, SIZE, SIZE), int8=True).write(path)
    alone, together = (
        torch.cat([runtime(image) for image in images]) for runtime in map(load_runtime, (path, in_int8(format_name)))
    )
    assert (alone - together).norm() < 1e-3 * together.norm()


@pytest.mark.parametrize("format_name", INT8_FORMATS)
@pytest.mark.slow
def test_the_files_are_smaller(exported, in_int8, format_name):
    def weights(path):
        return sum(part.stat().st_size for part in path.parent.glob(f"{path.stem}.*") if part.suffix != ".json")

    # The graph takes its part of so small a network.
    assert weights(in_int8(format_name)) < 0.9 * weights(exported(format_name, True))


@pytest.mark.slow
def test_features_of_a_program_of_torch(network, batches, described, tmp_path):
    path = tmp_path / "features.pt2"
    pyramid = Pyramid(network)
    export_network(pyramid, batches[0], path, "pt2", names=network.stage_names, calibration=batches)
    described("pt2", network, (2, 3, SIZE, SIZE), outputs=network.stage_names, int8=True).write(path)
    assert 1e-4 < compare_outputs(load_runtime(path, trust=True), pyramid, batches, logits=False).relative < 0.3


@pytest.mark.slow
def test_the_network_itself_stays_as_it_is(network, batches, tmp_path):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    export_network(network, batches[0], tmp_path / "network.pt2", "pt2", calibration=batches[:1])
    after = network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.slow
def test_a_program_of_torch_needs_no_torchao_to_run(in_int8, fresh):
    code = (
        "import sys, torch\nsys.modules['torchao'] = None\nfrom res2net.export import load_runtime\n"
        f"print(tuple(load_runtime({str(in_int8('pt2'))!r}, trust=True)(torch.zeros(2, 3, {SIZE}, {SIZE})).shape))"
    )
    assert fresh(code) == "(2, 7)\n"


@pytest.mark.parametrize("format_name", INT8_FORMATS)
def test_without_images_it_is_refused(tmp_path, format_name):
    path = tmp_path / f"network{FORMATS[format_name]}"
    with pytest.raises(InputError, match="Int8 needs images to measure the ranges of activations"):
        export_network(torch.nn.Conv2d(3, 4, 3), torch.randn(1, 3, SIZE, SIZE), path, format_name, calibration=[])
    assert not path.exists()


@pytest.mark.parametrize(
    ("format_name", "package"),
    [("pt2", "torchao"), ("onnx", "nncf"), ("openvino", "nncf")],
)
def test_a_missing_package_is_named(batches, tmp_path, monkeypatch, format_name, package):
    for name in list(sys.modules):
        if name == package or name.startswith(f"{package}."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    path = tmp_path / f"network{FORMATS[format_name]}"
    with pytest.raises(InputError, match=rf"needs the package {package}.*run pip install 'res2net\[export\]'"):
        export_network(torch.nn.Conv2d(3, 4, 3), batches[0], path, format_name, calibration=batches)


def test_a_library_for_this_machine_has_no_int8(network, batches, tmp_path):
    with pytest.raises(InputError, match="Unknown format with int8 'aoti'"):
        export_network(network, batches[0], tmp_path / "network.aoti.pt2", "aoti", calibration=batches)
