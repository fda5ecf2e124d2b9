"""Exported networks say what the network says, in every runtime."""

import itertools
import json
import shutil
import zipfile

import pytest
import torch

from res2net.errors import InputError
from res2net.export import FORMATS as SUFFIXES
from res2net.export import compare_outputs, load_runtime, read_artefact
from res2net.export.exporter import Pyramid
from res2net.export.runtimes import Network, Runtime
from res2net.export.write import export_network

SIZE = 32
FORMATS = ("pt2", "onnx", "openvino")


@pytest.mark.parametrize(
    ("format_name", "dynamic_batch"),
    [
        pytest.param(name, dynamic, marks=pytest.mark.slow if (name, dynamic) == ("openvino", False) else ())
        for name, dynamic in itertools.product(FORMATS, (False, True))
    ],
)
def test_the_logits_are_those_of_the_network(exported, network, format_name, dynamic_batch):
    runtime = load_runtime(exported(format_name, dynamic_batch), trust=True)
    for count in (1, 2, 5):
        agreement = compare_outputs(runtime, network, [torch.randn(count, 3, SIZE, SIZE)], logits=True)
        assert agreement.images == count
        assert agreement.relative < 1e-5
        assert agreement.top1 == 100


def test_networks_of_openvino_may_end_in_any_order(exported, fresh):
    """Its plug-in leaves a program without a stack for signals where two plug-ins do not end in turn."""
    code = f"""if True:
        import signal, subprocess, sys
        from res2net.export import load_runtime
        first = load_runtime({str(exported("openvino"))!r})
        second = load_runtime({str(exported("openvino"))!r})
        del first
        del second
        signal.signal(signal.SIGCHLD, lambda *_: None)
        subprocess.run([sys.executable, "-c", ""])
        print("alive")
    """
    assert fresh(code) == "alive\n"


def test_openvino_reads_onnx_and_computes_in_bf16(exported, network):
    images = [torch.randn(8, 3, SIZE, SIZE)]
    assert compare_outputs(load_runtime(exported("onnx"), "openvino"), network, images, logits=True).relative < 1e-5
    half = compare_outputs(load_runtime(exported("openvino"), precision="bf16"), network, images, logits=True)
    assert half.relative < 0.05


@pytest.mark.parametrize(
    "format_name", ["pt2", *(pytest.param(name, marks=pytest.mark.slow) for name in ("onnx", "openvino"))]
)
def test_features_are_those_of_the_network(network, described, tmp_path, format_name):
    path = tmp_path / f"features{SUFFIXES[format_name]}"
    images = torch.randn(1, 3, SIZE, SIZE)
    pyramid = Pyramid(network)
    export_network(pyramid, images, path, format_name, names=network.stage_names)
    described(format_name, network, (1, 3, SIZE, SIZE), outputs=network.stage_names).write(path)
    agreement = compare_outputs(load_runtime(path, trust=True), pyramid, [torch.randn(3, 3, SIZE, SIZE)], logits=False)
    assert agreement.relative < 1e-5


@pytest.mark.slow
def test_the_compiled_library_says_the_same(exported, network):
    images = [torch.randn(3, 3, SIZE, SIZE)]
    runtime = load_runtime(exported("aoti"), "aoti", trust=True)
    assert compare_outputs(runtime, network, images, logits=True).relative < 1e-5


def test_what_a_difference_looks_like(network):
    other = torch.nn.Sequential(network, torch.nn.ReLU())
    images = [torch.randn(4, 3, SIZE, SIZE)]
    with torch.no_grad():
        logits = network(images[0])
    agreement = compare_outputs(other, network, images, logits=True)
    assert agreement.largest == pytest.approx(logits.clamp(max=0).abs().max().item())
    assert agreement.relative == pytest.approx(agreement.largest / logits.abs().max().item())
    broken = torch.nn.Sequential(network, torch.nn.Threshold(-1e9, 0), torch.nn.LogSigmoid())
    broken[0] = Constant(torch.full((4, 7), float("nan")))
    assert compare_outputs(broken, network, images, logits=True).relative == float("inf")


class Constant(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, _x):
        return self.value


def copied(path, folder):
    for name in (path.name, f"{path.name}.json", f"{path.stem}.bin"):
        if (path.parent / name).exists():
            shutil.copy(path.parent / name, folder / name)
    return folder / path.name


@pytest.mark.parametrize("format_name", FORMATS)
def test_damaged_files_of_earlier_versions_get_one_sentence(exported, tmp_path, format_name):
    """Their descriptions state no SHA-256."""
    path = copied(exported(format_name), tmp_path)
    beside = path.with_name(path.name + ".json")
    beside.write_text(json.dumps({k: v for k, v in json.loads(beside.read_text()).items() if k != "sha256"}))
    load_runtime(path, trust=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="is damaged or not for this"):
        load_runtime(path, trust=True)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="is damaged or not for this"):
        load_runtime(path, trust=True)


@pytest.mark.parametrize(
    ("format_name", "ending"),
    [
        ("onnx", ".onnx"),
        *(
            pytest.param(*file, marks=pytest.mark.slow)
            for file in [("pt2", ".pt2"), ("openvino", ".xml"), ("openvino", ".bin")]
        ),
    ],
)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_flipped_bit_is_refused_in_any_file_of_a_network(exported, tmp_path, format_name, ending, share):
    path = copied(exported(format_name), tmp_path)
    file = path.with_suffix(ending)
    content = bytearray(file.read_bytes())
    content[int(share * len(content))] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match=rf"is damaged or was changed after its export \(.* file \{ending} is not"):
        load_runtime(path, trust=True)


def test_all_files_of_a_network_are_there_and_may_have_another_name(exported, tmp_path):
    path = copied(exported("openvino"), tmp_path)
    for ending in (".xml", ".xml.json", ".bin"):
        path.with_suffix(ending).rename(tmp_path / f"renamed.v2{ending}")
    load_runtime(tmp_path / "renamed.v2.xml")
    (tmp_path / "renamed.v2.bin").unlink()
    with pytest.raises(InputError, match=r"the file \.bin is not"):
        load_runtime(tmp_path / "renamed.v2.xml")


def test_a_file_with_weights_that_was_not_exported_is_refused(exported, tmp_path):
    path = copied(exported("onnx"), tmp_path)
    path.with_name(path.name + ".data").write_bytes(b"more")
    with pytest.raises(InputError, match=r"the file \.onnx\.data is not"):
        load_runtime(path)


@pytest.mark.parametrize("stated", [{".onnx": "0" * 64}, {"/../../x": "0"}, [], {".onnx": 3}])
@pytest.mark.slow
def test_a_description_with_other_hashes_is_refused(exported, tmp_path, stated):
    path = copied(exported("onnx"), tmp_path)
    beside = path.with_name(path.name + ".json")
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {"sha256": stated}))
    with pytest.raises(InputError, match="is damaged"):
        load_runtime(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"format": "onnx"}', "is damaged"),
        (None, "is missing, which describes"),
    ],
)
def test_damaged_descriptions_get_one_sentence(exported, tmp_path, content, sentence):
    path = copied(exported("onnx"), tmp_path)
    beside = path.with_name(path.name + ".json")
    beside.unlink() if content is None else beside.write_text(content)
    with pytest.raises(InputError, match=sentence):
        load_runtime(path)


@pytest.mark.parametrize(("name", "value"), [("format", "tflite"), ("input_shape", [0, "x"]), ("preprocessing", 3)])
def test_wrong_values_of_a_description_are_refused(exported, tmp_path, name, value):
    path = copied(exported("onnx"), tmp_path)
    beside = path.with_name(path.name + ".json")
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {name: value}))
    with pytest.raises(InputError):
        load_runtime(path)


def test_what_does_not_fit_is_refused(exported, tmp_path):
    with pytest.raises(InputError, match="There is no file"):
        load_runtime(tmp_path / "none.onnx")
    with pytest.raises(InputError, match="is for onnx and not for pt2: choose --runtime onnx"):
        load_runtime(exported("onnx"), "pt2")
    with pytest.raises(InputError, match="onnx has no bf16: choose --runtime openvino"):
        load_runtime(exported("onnx"), precision="bf16")
    with pytest.raises(InputError, match="Unknown runtime 'onxx': did you mean 'onnx'"):
        load_runtime(exported("onnx"), "onxx")
    with pytest.raises(InputError, match=r"Images of \(3, 48, 48\) do not fit .* give images of \(3, 32, 32\)"):
        load_runtime(exported("onnx"))(torch.randn(1, 3, 48, 48))


def test_a_program_of_torch_has_no_images_and_no_paths(exported):
    with zipfile.ZipFile(exported("pt2")) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    assert not any(b".py" in content for content in contents.values())
    image = 4 * 3 * SIZE * SIZE
    assert not any(len(content) > image for name, content in contents.items() if "sample_inputs" in name)


@pytest.mark.parametrize("choice", [None, "pt2", "aoti"])
def test_files_that_can_run_code_need_trust(exported, tmp_path, choice):
    """They are refused before they are opened: this one is not even an archive."""
    path = copied(exported("pt2"), tmp_path)
    path.write_bytes(b"never read")
    beside = path.with_name(path.name + ".json")
    description = json.loads(beside.read_text()) | {"format": choice or "pt2", "sha256": {}}
    beside.write_text(json.dumps(description))
    with pytest.raises(InputError, match=r"can run any code .* add --trust \(in Python trust=True\)"):
        load_runtime(path, choice)
    with pytest.raises(InputError, match="is damaged or not for this version"):
        load_runtime(path, choice, trust=True)


def test_machine_code_is_chosen_by_the_user_and_not_by_the_file(exported, tmp_path):
    path = copied(exported("pt2"), tmp_path)
    beside = path.with_name(path.name + ".json")
    beside.write_text(beside.read_text().replace('"format": "pt2"', '"format": "aoti"'))
    with pytest.raises(InputError, match="only an explicit --runtime aoti opens"):
        load_runtime(path, trust=True)


def test_the_description_is_read_as_it_was_written(exported, network, described):
    assert read_artefact(exported("onnx")).preprocessing.size == SIZE
    assert list(read_artefact(exported("onnx")).class_names) == [f"class {index}" for index in range(7)]


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"class_names": ["a", 7]}, r"class_names \['a', 7\] does not fit: give a list"),
        ({"outputs": "logits"}, r"outputs 'logits' does not fit: give a list"),
        ({"options": 3}, r"options 3 does not fit"),
        ({"agreement": None}, r"agreement None does not fit"),
        ({"int8": "no"}, r"int8 'no' does not fit: give True or False"),
        ({"source": ["x"]}, r"source \['x'\] does not fit: give a string"),
        ({"input_shape": []}, r"input_shape \[\] does not fit"),
        ({"input_shape": [1, 3, 32.0, 32]}, r"input_shape .* does not fit"),
        ({"input_shape": [1, 3, 10**6, 10**6]}, r"input_shape .* does not fit"),
        ({"input_shape": [10**12, 3, 32, 32]}, r"input_shape .* does not fit"),
        ({"training": {"batch_size": 10**12}}, r"batch_size 1000000000000 is out of range: give 1 to 1000000"),
        ({"training": {"seed": "x"}}, r"seed 'x' is out of range"),
        ({"preprocessing": 7}, r"is damaged"),
        (
            {"input_shape": [1, 3, 64, 64]},
            r"takes 1 tensor of \d+ x 3 x 32 x 32, and .* says 1 tensor of 1 x 3 x 64 x 64",
        ),
        (
            {"input_shape": [1, 1, 32, 32]},
            r"takes 1 tensor of \d+ x 3 x 32 x 32, and .* says 1 tensor of 1 x 1 x 32 x 32",
        ),
        ({"dynamic_batch": True}, r"takes 1 tensor of \d+ x 3 x 32 x 32, and .* says 1 tensor of any x 3 x 32 x 32"),
        ({"outputs": ["logits", "boxes"]}, r"returns 1 tensor of \d+ x \d+, and .* says 2 tensors"),
    ],
)
def test_a_file_is_what_its_description_says(exported, tmp_path, edit, reason):
    path = shutil.copy(exported("onnx"), tmp_path / "a.onnx")
    metadata = json.loads(exported("onnx").with_name(exported("onnx").name + ".json").read_text())
    (tmp_path / "a.onnx.json").write_text(json.dumps(metadata | edit))
    with pytest.raises(InputError, match=reason):
        load_runtime(path)


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"7", b"[" * 100_000, b"\xff\xfe\x00", b'{"format": "onnx"}'])
def test_a_description_that_is_none(exported, tmp_path, content):
    path = shutil.copy(exported("onnx"), tmp_path / "a.onnx")
    (tmp_path / "a.onnx.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.onnx\.json is damaged \(.*\): export again\.$"):
        load_runtime(path)


def test_a_network_that_fails_when_it_is_run_says_so(exported):
    def fail(images):
        raise MemoryError("bad allocation\nat line 7")

    loaded = load_runtime(exported("onnx"))
    runtime = Runtime(Network(fail), loaded.artefact, "a.onnx")
    with pytest.raises(InputError, match=r"^a\.onnx cannot be run \(bad allocation\): export again\.$"):
        runtime(torch.zeros(1, 3, SIZE, SIZE))
