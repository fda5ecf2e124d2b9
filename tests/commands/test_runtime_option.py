"""`res2net eval` and `res2net predict` of exported files, with and without --runtime."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from res2net.export import FORMATS

FORMATS_TRIED = ("onnx", *(pytest.param(name, marks=pytest.mark.slow) for name in ("pt2", "openvino")))
"""tests/export tries each format too, without the command."""


@pytest.fixture(scope="module")
def exported(run, trained, images, tmp_path_factory):
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


def trust(to):
    return ["--trust"] if to == "pt2" else []


def with_runtime(to, path):
    return ["--runtime", to, "--weights", path, *trust(to)]


def metrics_in(text):
    return {name: float(value) for name, value in re.findall(r"^ +(loss|top1) +(\S+)", text, re.MULTILINE)}


@pytest.mark.parametrize("to", FORMATS_TRIED)
def test_eval_gives_the_numbers_of_the_checkpoint(run, exported, images, weights, to):
    answer = run("eval", images, *with_runtime(to, exported(to)))
    assert (answer.status, answer.err) == (0, "")
    assert "8 images of images" in answer.out
    assert metrics_in(answer.out) == pytest.approx(metrics_in(run("eval", images, *weights).out), abs=2e-3)


@pytest.mark.parametrize("to", FORMATS_TRIED)
def test_predict_gives_the_numbers_of_the_checkpoint(run, exported, images, weights, to):
    answer = run("predict", images, *with_runtime(to, exported(to)), "--json")
    assert (answer.status, answer.err) == (0, "")
    found, expected = json.loads(answer.out), json.loads(run("predict", images, *weights, "--json").out)
    assert len(found) == len(expected) == 8
    for one, other in zip(found, expected, strict=True):
        assert one["file"] == other["file"]
        assert [entry["class"] for entry in one["classes"]] == [entry["class"] for entry in other["classes"]]
        assert one["classes"][0]["probability"] == pytest.approx(other["classes"][0]["probability"], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("to", ["pt2", "onnx", "openvino"])
def test_int8_is_evaluated(run, exported, images, to):
    path = exported(to, "--int8", "--calibrate", images)
    assert "8 images of images" in run("eval", images, *with_runtime(to, path)).out


def test_the_split_is_that_of_the_training(run, make_images, tiny, tmp_path):
    folder = make_images(each=6)
    options = tiny(out=tmp_path / "run", seed=1, val_fraction=0.5)
    assert run("train", folder, *options).status == 0
    best, path = tmp_path / "run" / "best.safetensors", tmp_path / "a.onnx"
    assert run("export", best, "--to", "onnx", "--out", path).status == 0
    answer = run("eval", folder, "--split", "val", *with_runtime("onnx", path))
    assert "6 images of images" in answer.out
    plain = run("eval", folder, "--split", "val", "--weights", best, "--accelerator", "cpu")
    assert metrics_in(answer.out) == pytest.approx(metrics_in(plain.out), abs=2e-3)


@pytest.mark.slow
def test_openvino_in_bf16(run, exported, images):
    for verb in ("eval", "predict"):
        answer = run(verb, images, *with_runtime("openvino", exported("openvino")), "--precision", "bf16")
        assert answer.status == 0, answer.err


def test_broken_images(run, refused, exported, make_images):
    folder = make_images(each=5)
    (folder / "red" / "1.jpg").write_bytes(b"hello")
    words = [folder, *with_runtime("onnx", exported("onnx"))]
    assert "1.jpg" in refused("predict", *words)
    answer = run("predict", *words, "--json", "--bad-images", "skip")
    assert len(json.loads(answer.out)) == 10


@pytest.mark.parametrize("verb", ["eval", "predict"])
def test_what_does_not_fit_is_refused(refused, exported, images, trained, tmp_path, verb):
    path = exported("onnx")
    assert "Unknown --runtime 'onxx': did you mean 'onnx'?" in refused(verb, images, *with_runtime("onxx", path))
    assert "is for onnx and not for pt2" in refused(verb, images, *with_runtime("pt2", path))
    assert "is for onnx and not for aoti" in refused(verb, images, *with_runtime("aoti", path), "--trust")
    assert "There is no file" in refused(verb, images, *with_runtime("onnx", tmp_path / "none.onnx"))
    assert "is missing, which describes" in refused(verb, images, *with_runtime("onnx", trained.best))
    more = {
        ("--model", "resnet50"): "holds its model itself: leave out --model.",
        ("--accelerator", "gpu"): "is an exported network, which runs on the CPU: leave out --accelerator.",
        ("--precision", "bf16"): "onnx has no bf16: choose --runtime openvino, or --precision fp32.",
        ("--precision", "fp17"): "Unknown --precision 'fp17'",
    }
    for options, sentence in more.items():
        assert sentence in refused(verb, images, *with_runtime("onnx", path), *options)


@pytest.mark.parametrize("verb", ["eval", "predict"])
def test_features_have_no_results(refused, exported, images, verb):
    path = exported("onnx", "--features")
    assert "returns features and no results" in refused(verb, images, *with_runtime("onnx", path))


@pytest.mark.parametrize("to", FORMATS_TRIED)
def test_the_runtime_of_an_exported_file_is_detected(run, exported, images, to):
    path = exported(to)
    given = run("predict", images, *with_runtime(to, path), "--json")
    detected = run("predict", images, "--weights", path, "--json", *trust(to))
    assert (detected.status, detected.err, detected.out) == (0, "", given.out)
    given, detected = (
        run("eval", images, *words, *trust(to)) for words in (with_runtime(to, path), ["--weights", path])
    )
    assert (detected.status, detected.err) == (0, "")
    assert metrics_in(detected.out) == metrics_in(given.out)


def test_other_classes_are_refused(refused, exported, tmp_path):
    for name in ("blue", "red"):
        (tmp_path / name).mkdir()
        for index in range(3):
            Image.fromarray(np.full((36, 36, 3), 40 * index, np.uint8)).save(tmp_path / name / f"{index}.png")
    sentence = refused("eval", tmp_path, *with_runtime("onnx", exported("onnx")))
    assert "The weights do not know 1 of the 2 classes" in sentence


@pytest.mark.parametrize(
    ("name", "value"), [("class_names", 3), ("training", {"seed": "x"}), ("training", 3), ("dynamic_batch", "no")]
)
def test_damaged_descriptions_are_refused(refused, exported, images, tmp_path, name, value):
    path = tmp_path / "copy.onnx"
    path.write_bytes(exported("onnx").read_bytes())
    said = json.loads((exported("onnx").parent / "network.onnx.json").read_text())
    (tmp_path / "copy.onnx.json").write_text(json.dumps(said | {name: value}))
    assert "is damaged" in refused("eval", images, *with_runtime("onnx", path))
