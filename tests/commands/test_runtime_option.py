"""`res2net eval` and `res2net predict` with --runtime: exported networks in the place of checkpoints."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from res2net.export import FORMATS

SAFE = ("pt2", "onnx", "openvino")


@pytest.fixture(scope="module")
def exported(run, trained, pictures, tmp_path_factory):
    """A function that gives the file of `trained` in a format, once made."""
    made = {}

    def call(to, *options):
        key = to, *options
        if key not in made:
            path = tmp_path_factory.mktemp("exported") / f"network{FORMATS[to]}"
            answer = run("export", trained.best, "--to", to, "--out", path, "--batch-size", 3, *options)
            assert answer.status == 0, answer.err
            made[key] = path
        return made[key]

    return call


def with_runtime(to, path):
    return ["--runtime", to, "--weights", path]


def metrics_in(text):
    return {name: float(value) for name, value in re.findall(r"^ +(loss|top1) +(\S+)", text, re.MULTILINE)}


@pytest.mark.parametrize("to", SAFE)
def test_eval_gives_the_numbers_of_the_checkpoint(run, exported, pictures, weights, to):
    answer = run("eval", pictures, *with_runtime(to, exported(to)))
    assert (answer.status, answer.err) == (0, "")
    assert "2 pictures of pictures" in answer.out
    assert metrics_in(answer.out) == pytest.approx(metrics_in(run("eval", pictures, *weights).out), abs=2e-3)


@pytest.mark.parametrize("to", SAFE)
def test_predict_gives_the_numbers_of_the_checkpoint(run, exported, pictures, weights, to):
    answer = run("predict", pictures, *with_runtime(to, exported(to)), "--json")
    assert (answer.status, answer.err) == (0, "")
    found, expected = json.loads(answer.out), json.loads(run("predict", pictures, *weights, "--json").out)
    assert len(found) == len(expected) == 8
    for one, other in zip(found, expected, strict=True):
        assert one["file"] == other["file"]
        assert [entry["class"] for entry in one["classes"]] == [entry["class"] for entry in other["classes"]]
        assert one["classes"][0]["probability"] == pytest.approx(other["classes"][0]["probability"], abs=1e-4)


@pytest.mark.parametrize("to", SAFE)
def test_int8_is_evaluated(run, exported, pictures, to):
    path = exported(to, "--int8", "--calibrate", pictures)
    assert "2 pictures of pictures" in run("eval", pictures, *with_runtime(to, path)).out


def test_the_split_is_that_of_the_training(run, make_pictures, tiny, tmp_path):
    folder = make_pictures(each=6)
    for seed in (0, 1):
        options = tiny(out=tmp_path / f"run{seed}", seed=seed, val_fraction=0.5)
        assert run("train", folder, *options).status == 0
        best, path = tmp_path / f"run{seed}" / "best.safetensors", tmp_path / f"{seed}.onnx"
        assert run("export", best, "--to", "onnx", "--out", path).status == 0
        answer = run("eval", folder, *with_runtime("onnx", path))
        assert "6 pictures of pictures" in answer.out
        plain = run("eval", folder, "--weights", best, "--accelerator", "cpu")
        assert metrics_in(answer.out) == pytest.approx(metrics_in(plain.out), abs=2e-3)


def test_openvino_in_bf16(run, exported, pictures):
    for verb in ("eval", "predict"):
        answer = run(verb, pictures, *with_runtime("openvino", exported("openvino")), "--precision", "bf16")
        assert answer.status == 0, answer.err


def test_broken_pictures(run, refused, exported, make_pictures):
    folder = make_pictures(each=5)
    (folder / "red" / "1.jpg").write_bytes(b"hello")
    words = [folder, *with_runtime("onnx", exported("onnx"))]
    assert "1.jpg" in refused("predict", *words)
    answer = run("predict", *words, "--json", "--bad-images", "skip")
    assert len(json.loads(answer.out)) == 10


@pytest.mark.parametrize("verb", ["eval", "predict"])
def test_what_does_not_fit_is_refused(refused, exported, pictures, trained, tmp_path, verb):
    path = exported("onnx")
    assert "Runtime 'onxx' is not known: did you mean 'onnx'?" in refused(verb, pictures, *with_runtime("onxx", path))
    assert "is for onnx and not for pt2" in refused(verb, pictures, *with_runtime("pt2", path))
    assert "Runtime 'aoti' is not known" in refused(verb, pictures, *with_runtime("aoti", path))
    assert "There is no file" in refused(verb, pictures, *with_runtime("onnx", tmp_path / "none.onnx"))
    assert "is missing, which describes" in refused(verb, pictures, *with_runtime("onnx", trained.best))
    more = {
        ("--model", "resnet50"): "holds its model itself: leave out --model.",
        ("--accelerator", "gpu"): "--runtime onnx runs on the processor: leave out --accelerator.",
        ("--precision", "bf16"): "onnx computes in fp32 here: choose --runtime openvino for bf16.",
        ("--precision", "fp17"): "Precision of a runtime 'fp17' is not known",
    }
    for options, sentence in more.items():
        assert sentence in refused(verb, pictures, *with_runtime("onnx", path), *options)


@pytest.mark.parametrize("verb", ["eval", "predict"])
def test_features_have_no_results(refused, exported, pictures, verb):
    path = exported("onnx", "--features")
    assert "gives features and no results" in refused(verb, pictures, *with_runtime("onnx", path))


def test_an_exported_file_without_the_runtime(refused, exported, pictures):
    sentence = refused("predict", pictures, "--weights", exported("onnx"))
    assert "--runtime onnx" in sentence


def test_other_classes_are_refused(refused, exported, tmp_path):
    for name in ("blue", "red"):
        (tmp_path / name).mkdir()
        for index in range(3):
            Image.fromarray(np.full((36, 36, 3), 40 * index, np.uint8)).save(tmp_path / name / f"{index}.png")
    sentence = refused("eval", tmp_path, *with_runtime("onnx", exported("onnx")))
    assert "The weights were trained on other classes" in sentence


@pytest.mark.parametrize(
    ("name", "value"), [("class_names", 3), ("training", {"seed": "x"}), ("training", 3), ("dynamic_batch", "no")]
)
def test_damaged_descriptions_are_refused(refused, exported, pictures, tmp_path, name, value):
    path = tmp_path / "copy.onnx"
    path.write_bytes(exported("onnx").read_bytes())
    said = json.loads((exported("onnx").parent / "network.onnx.json").read_text())
    (tmp_path / "copy.onnx.json").write_text(json.dumps(said | {name: value}))
    assert "is damaged" in refused("eval", pictures, *with_runtime("onnx", path))
