"""`res2net export`: files of every format, each compared with its network before it is there."""

import json
import os
from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch

import res2net
from res2net.export import FORMATS, RUNTIMES, load_runtime, read_artefact
from res2net.weights import save

FORMATS_TRIED = ("onnx", *(pytest.param(name, marks=pytest.mark.slow) for name in ("pt2", "openvino")))
"""tests/export tries each format too, without the command."""


@pytest.fixture(scope="module")
def export(run, trained, tmp_path_factory):
    """A function that exports `trained`, once for each choice of options; it gives the file and the answer."""
    made = {}

    def call(to, *options):
        key = to, *map(str, options)
        if key not in made:
            path = tmp_path_factory.mktemp("exported") / f"network{FORMATS[to]}"
            made[key] = path, run("export", trained.best, "--to", to, "--out", path, *options)
        return made[key]

    return call


@pytest.fixture
def spoiled():
    """A function that lets a runtime add to all it computes, until the end of the test."""
    replaced = ExitStack()

    def spoil(to, change):
        runner = RUNTIMES[to]

        def wrong(path, precision, threads):
            network = runner(path, precision, threads)
            return replace(network, run=lambda images: [change(output) for output in network.run(images)])

        replaced.enter_context(RUNTIMES.replaced(to, wrong))

    with replaced:
        yield spoil


@pytest.fixture
def nothing_written(tmp_path):
    """A function that says whether a folder of the test holds nothing."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder, lambda: not any(folder.iterdir())


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("to", [*FORMATS_TRIED, pytest.param("aoti", marks=pytest.mark.slow)])
def test_a_checkpoint_is_exported(export, trained, to):
    path, answer = export(to)
    assert (answer.status, answer.err) == (0, "")
    beside = ["network.bin"] if to == "openvino" else []
    assert names_in(path.parent) == sorted([path.name, f"{path.name}.json", *beside])
    assert "32 synthetic images: largest difference" in answer.out
    assert "same likeliest class 100.0 %" in answer.out
    assert answer.out.endswith(f"{path} and {path.name}.json\n")
    artefact = read_artefact(path)
    assert artefact.model == "res2net20_26w_4s_tiny"
    assert artefact.class_names == ["green", "red"]
    assert artefact.input_shape == [1, 3, 32, 32]
    data = artefact.training["data"]
    assert artefact.training == {"batch_size": 2, "seed": 0, "val_fraction": 0.2, "data": data}
    assert (data["train"]["count"], data["val"]["count"]) == (6, 2)
    assert artefact.source == trained.best.name
    assert artefact.agreement["relative"] < 1e-5


@pytest.mark.parametrize("to", FORMATS_TRIED)
def test_any_number_of_images_and_features(export, to):
    path, answer = export(to, "--dynamic-batch", "--features", "--size", 64)
    assert answer.status == 0, answer.err
    assert "likeliest class" not in answer.out
    runtime = load_runtime(path, trust=True)
    assert runtime.artefact.dynamic_batch
    assert runtime.artefact.class_names == []
    outputs = runtime(torch.randn(3, 3, 64, 64))
    stages = res2net.create_model("res2net20_26w_4s_tiny").stages
    assert [tuple(output.shape) for output in outputs] == [
        (3, stage.channels, 64 // stage.stride, 64 // stage.stride) for stage in stages
    ]


@pytest.mark.parametrize("to", FORMATS_TRIED)
def test_in_int8(export, images, to):
    path, answer = export(to, "--int8", "--calibrate", images, "--batch-size", 4)
    assert answer.status == 0, answer.err
    assert "8 images: largest difference" in answer.out
    artefact = read_artefact(path)
    assert artefact.int8
    assert artefact.agreement["relative"] > 1e-4


def test_by_the_name_of_a_model(run, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fresh = run("export", "res2net20_26w_4s_tiny", "--to", "onnx", "--size", 32)
    assert (fresh.status, fresh.err) == (0, "The weights are not trained: give trained ones with --weights.\n")
    assert names_in(tmp_path) == ["res2net20_26w_4s_tiny.onnx", "res2net20_26w_4s_tiny.onnx.json"]
    options = ["--weights", trained.best, "--to", "onnx", "--out", "in/a/folder/named.onnx"]
    named = run("export", "res2net20_26w_4s_tiny", *options)
    assert (named.status, named.err) == (0, "")
    assert read_artefact("in/a/folder/named.onnx").class_names == ["green", "red"]


def test_images_to_compare_with(run, trained, images, tmp_path):
    words = ["export", trained.best, "--to", "onnx", "--out", tmp_path / "a.onnx", "--images", images / "red"]
    assert "4 images: largest difference" in run(*words).out


@pytest.mark.parametrize("to", FORMATS_TRIED)
@pytest.mark.parametrize(
    "change", [lambda output: output + 0.01, lambda output: output * float("nan")], ids=["0.01", "nan"]
)
def test_what_differs_is_not_written(refused, trained, spoiled, nothing_written, to, change):
    folder, is_empty = nothing_written
    spoiled(to, change)
    sentence = refused("export", trained.best, "--to", to, "--out", folder / f"network{FORMATS[to]}")
    assert sentence.startswith("The file differs from the network by ")
    assert "nothing was written" in sentence
    assert is_empty()


@pytest.mark.slow
def test_int8_that_takes_other_classes_is_not_written(refused, trained, images, spoiled, nothing_written):
    folder, is_empty = nothing_written
    spoiled("onnx", torch.neg)
    words = ["--to", "onnx", "--out", folder / "a.onnx", "--int8", "--calibrate", images]
    assert refused("export", trained.best, *words).startswith(
        "In int8 only 0.0 % of the images keep their likeliest class"
    )
    assert is_empty()


@pytest.mark.slow
def test_features_in_int8_that_are_far_off_are_not_written(refused, trained, images, spoiled, nothing_written):
    folder, is_empty = nothing_written
    spoiled("onnx", torch.neg)
    words = ["--to", "onnx", "--out", folder / "a.onnx", "--features", "--int8", "--calibrate", images]
    assert refused("export", trained.best, *words).startswith("In int8 the outputs differ from those of the network")
    assert is_empty()


@pytest.mark.parametrize(
    "name", ["a.bin", *(pytest.param(name, marks=pytest.mark.slow) for name in ("a.xml", "a.xml.json"))]
)
def test_files_that_are_there_stay(run, refused, trained, tmp_path, name):
    (tmp_path / name).write_text("mine")
    words = ["export", trained.best, "--to", "openvino", "--out", tmp_path / "a.xml"]
    assert refused(*words) == f"{tmp_path / name} exists: choose another name (--out), or add --overwrite."
    assert (names_in(tmp_path), (tmp_path / name).read_text()) == ([name], "mine")
    assert run(*words, "--overwrite").status == 0
    assert names_in(tmp_path) == ["a.bin", "a.xml", "a.xml.json"]
    load_runtime(tmp_path / "a.xml")


REFUSED = [
    ("onxx", [], "Unknown --to 'onxx': did you mean 'onnx'?"),
    ("pt2", ["--out", "a.onnx"], "a.onnx does not end in .pt2, as files of pt2 do: name it so."),
    ("onnx", ["--out", "."], ". is a folder: name a file in it to write."),
    ("onnx", ["--int8"], "--int8 and --calibrate FOLDER belong together: give both, or none of them."),
    ("onnx", ["--calibrate", "."], "--int8 and --calibrate FOLDER belong together: give both, or none of them."),
    ("aoti", ["--int8", "--calibrate", "."], "Unknown format with int8 'aoti'"),
    ("onnx", ["--int8", "--calibrate", "none"], "There is no file or folder none: give an image"),
    ("onnx", ["--int8", "--calibrate", "."], "The folder . has no images"),
    ("onnx", ["--images", "none"], "There is no file or folder none: give an image"),
    ("onnx", ["--batch-size", "0"], "batch size 0 is out of range: give 1 or more."),
    ("onnx", ["--size", "0"], "size 0 is out of range: give 1 or more."),
    ("onnx", ["--weights", "in1k"], "is a checkpoint itself: leave out --weights."),
    ("onnx", ["--bad-images", "sikp"], "Unknown --bad-images 'sikp': did you mean 'skip'?"),
    ("onnx", ["--dynamic", "x"], "`res2net export` has no option '--dynamic': did you mean '--dynamic-batch'?"),
]


@pytest.mark.parametrize(("to", "options", "sentence"), REFUSED)
def test_wrong_options_are_refused(refused, trained, tmp_path, monkeypatch, to, options, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused("export", trained.best, "--to", to, *options)
    assert names_in(tmp_path) == []


def test_what_is_to_be_exported_is_needed(refused, trained):
    assert refused("export", trained.best) == (
        "`res2net export` needs --to {pt2,onnx,openvino,aoti}: see `res2net export --help`."
    )
    assert refused("export", "--to", "onnx").startswith("`res2net export` needs SOURCE: see")


def test_a_place_where_nothing_can_be_written(refused, trained, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    words = ["export", trained.best, "--to", "onnx", "--out"]
    assert refused(*words, tmp_path / "file" / "a.onnx").startswith(f"{tmp_path / 'file'} is a file: choose a folder")
    monkeypatch.setattr(os, "access", lambda *_: False)  # the superuser may write anywhere
    sentence = refused(*words, tmp_path / "none" / "a.onnx")
    assert sentence.startswith(f"No permission to write into {tmp_path}: change the permissions")
    assert names_in(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["ecapa_tdnn_512", "res2net3d50_26w_4s"])
def test_networks_of_other_dimensions_are_refused(refused, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert refused("export", name, "--to", "onnx").endswith(f"{name} does not take images: choose another network.")
    assert names_in(tmp_path) == []


def test_a_network_that_is_not_there(refused, tmp_path):
    assert "did you mean 'res2net50_26w_4s'?" in refused("export", "res2net50_26w_4", "--to", "onnx")
    missing = tmp_path / "none.safetensors"
    assert refused("export", missing, "--to", "onnx").startswith(f"There is no file {missing}")
    (tmp_path / "empty.pth").touch()
    assert refused("export", tmp_path / "empty.pth", "--to", "onnx").startswith(f"{tmp_path / 'empty.pth'} is empty")


def test_checkpoints_of_other_programs(run, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = res2net.create_model("res2net20_26w_4s_tiny", num_classes=3)
    torch.save({"state_dict": model.state_dict()}, "theirs.pth")
    sentence = refused("export", "theirs.pth", "--to", "onnx")
    assert sentence == "theirs.pth does not state which model it holds: `res2net export MODEL --weights theirs.pth`."
    words = ["export", "res2net20_26w_4s_tiny", "--weights", "theirs.pth", "--to", "onnx", "--size", 32]
    assert run(*words, "--out", "ours.onnx").status == 0
    assert read_artefact("ours.onnx").class_names == ["class 0", "class 1", "class 2"]
    save("segment.safetensors", model.state_dict(), {"model": model.variant_name, "task": "segment"})
    assert "was trained for segment, not for classify" in refused("export", "segment.safetensors", "--to", "onnx")
    torch.save({"other": torch.zeros(3)}, "nothing.pth")
    words[3] = "nothing.pth"
    refused(*words, "--out", "nothing.onnx")
    assert not list(tmp_path.glob("nothing.onnx*"))


@pytest.mark.slow
def test_damaged_images(run, refused, trained, make_images, tmp_path):
    folder = make_images()
    bad = folder / "red" / "1.jpg"
    bad.write_bytes(bad.read_bytes()[: bad.stat().st_size // 2])
    path = tmp_path / "a.onnx"
    words = ["export", trained.best, "--to", "onnx", "--out", path, "--int8", "--calibrate", folder]
    assert str(bad) in refused(*words)
    assert not path.exists()
    answer = run(*words, "--bad-images", "skip")
    assert answer.status == 0, answer.err
    assert "7 images: largest difference" in answer.out
    for image in folder.rglob("*.*"):
        image.write_bytes(b"hello")
    sentence = refused(*words, "--bad-images", "skip", "--overwrite")
    assert sentence == "None of the images can be read: give other images."


def test_the_description_is_plain(export):
    path, _ = export("onnx")
    said = json.loads(path.with_name(f"{path.name}.json").read_text())
    assert set(said) == set(read_artefact(path).__dataclass_fields__)
    assert str(path.parent) not in json.dumps(said)
