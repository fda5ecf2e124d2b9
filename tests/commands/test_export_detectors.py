"""`res2net export detect` and `instance`: whole detectors as files, and what these find in images."""

import json
import re
from dataclasses import replace

import pytest
import torch
from detector_files import NAMES, checkpoint, the_same, write_scenes
from PIL import Image

from res2net.engine.restore import restore_task
from res2net.export import FORMATS, RUNTIMES, read_artefact
from res2net.export.exporter import EXPORTERS
from res2net.images import collate
from res2net.task.base import TASKS

# Torchvision's rule for shapes of suppressed boxes, and what exporters say of their own code.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

CASES = [
    pytest.param("detect", "faster_rcnn", "onnx", marks=pytest.mark.slow),
    ("detect", "faster_rcnn", "pt2"),
    pytest.param("detect", "retinanet", "onnx", marks=pytest.mark.slow),
    ("instance", "mask_rcnn", "onnx"),
    pytest.param("instance", "mask_rcnn", "openvino", marks=pytest.mark.slow),
]
SIZES = {("faster_rcnn", "pt2"): ["--size", 64, 96, "--batch-size", 2]}
"""Of the images where they are not squares of 64 pixels."""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A function that gives the checkpoint of a detector, once made."""
    written = {}

    def call(task, detector):
        if detector not in written:
            written[detector] = checkpoint(tmp_path_factory.mktemp("weights"), task, detector)
        return written[detector]

    return call


@pytest.fixture(scope="module")
def made(run, checkpoints, tmp_path_factory):
    """A function that exports a detector, once for each format; it gives the file and the answer."""
    exported = {}

    def call(task, detector, to):
        if (detector, to) not in exported:
            path = tmp_path_factory.mktemp("exported") / f"detector{FORMATS[to]}"
            words = [checkpoints(task, detector), "--to", to, "--out", path]
            exported[detector, to] = path, run("export", task, *words, *SIZES.get((detector, to), ["--size", 64]))
        return exported[detector, to]

    return call


@pytest.fixture
def found_by(run, made, checkpoints):
    """A function that gives what is found in images, by a file or, where the format is None, by its checkpoint."""

    def call(source, task, detector, to):
        words = ["--weights", checkpoints(task, detector), "--accelerator", "cpu"]
        if to is not None:
            words = ["--weights", made(task, detector, to)[0], "--runtime", to, "--trust"]
        answer = run("predict", task, source, *words, "--json")
        assert answer.status == 0, answer.err
        return [entry["objects"] for entry in json.loads(answer.out)]

    return call


@pytest.mark.parametrize(("task", "detector", "to"), CASES)
def test_a_detector_is_exported(made, checkpoints, task, detector, to):
    path, answer = made(task, detector, to)
    assert (answer.status, answer.err) == (0, "")
    assert "8 synthetic images, 120 detections: " in answer.out
    artefact = read_artefact(path)
    wide = (detector, to) in SIZES
    assert artefact.input_shape == ([2, 3, 64, 96] if wide else [1, 3, 64, 64])
    assert artefact.outputs == ["boxes", "scores", "labels", *(["masks"] if task == "instance" else [])]
    assert artefact.class_names == list(NAMES)
    assert artefact.task_metadata["task_options"]["detector"] == detector
    assert artefact.training == {"batch_size": 2, "seed": 0, "val_fraction": 0.5}
    assert artefact.source == checkpoints(task, detector).name
    said = artefact.agreement
    assert (said["images"], said["detections"]) == (8, 120)
    assert said["equal"] >= 99
    assert said["largest_boxes"] < 0.01
    assert ("largest_masks" in said) == (task == "instance")


@pytest.mark.parametrize(("task", "detector", "to"), CASES)
def test_a_image_that_fills_the_file_gets_what_the_checkpoint_finds(found_by, tmp_path, task, detector, to):
    """After resizing, and what is found comes back in the pixels of the image's file."""
    size = (100, 150) if (detector, to) in SIZES else (150, 150)
    write_scenes(tmp_path, [size])
    (ours,), (theirs,) = (found_by(tmp_path, task, detector, runtime) for runtime in (to, None))
    the_same(ours, theirs, 15)


@pytest.mark.parametrize(("task", "detector", "to"), [CASES[0], CASES[-2]])
def test_other_images_are_fitted_in(found_by, made, checkpoints, tmp_path, task, detector, to):
    """Into the left upper corner: as the detector itself finds it in such an image with zeros around."""
    sizes = [(64, 96), (160, 80), (160, 40)]
    found = found_by(write_scenes(tmp_path, sizes), task, detector, to)
    artefact = read_artefact(made(task, detector, to)[0])
    original = restore_task(checkpoints(task, detector), None, task)[0]
    facts = artefact.task_metadata | {"class_names": NAMES, "category_ids": [3, 5, 9]}
    alike = TASKS[task](original.model, artefact.preprocessing, original.options, facts)
    EXPORTERS[task](alike).restore(original.model, artefact.outputs, (64, 64))
    assert alike.category_ids == (3, 5, 9)  # for results in the data set's numbers
    for index, (height, width) in enumerate(sizes):
        image = Image.open(tmp_path / f"{index}.png")
        images, targets = collate([alike.transform(False)(image, {"index": index})])
        assert targets["size_now"][0] == (64 * height // max(height, width), 64 * width // max(height, width))
        with torch.no_grad():
            (result,) = alike.predict(images, targets)
        expected = result.to_dict()["objects"]
        the_same(found[index], expected, len(expected))
        assert len(expected) > 2
        for one in expected:
            x, y, wide, high = one["box"]
            assert 0 <= x < x + wide <= width + 1e-3
            assert 0 <= y < y + high <= height + 1e-3


def test_eval_gives_the_numbers_of_the_checkpoint(run, found_by, made, checkpoints, tmp_path):
    """On images whose objects are some of those that the checkpoint finds, so that the numbers are not 0."""
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations").mkdir()
    write_scenes(tmp_path / "images", [(160, 160)] * 4)
    content = {"categories": [{"id": index, "name": name} for index, name in enumerate(NAMES)]}
    content["images"] = [{"id": index, "file_name": f"{index}.png", "width": 160, "height": 160} for index in range(4)]
    content["annotations"] = []
    for index, objects in enumerate(found_by(tmp_path / "images", "instance", "mask_rcnn", None)):
        for one in objects[::4]:
            area = one["box"][2] * one["box"][3]
            entry = {"image_id": index, "category_id": NAMES.index(one["label"]), "iscrowd": 0, "area": area}
            entry |= {"id": len(content["annotations"]), "bbox": one["box"], "segmentation": one["mask"]}
            content["annotations"].append(entry)
    (tmp_path / "annotations" / "instances.json").write_text(json.dumps(content))
    numbers = []
    for words in (
        ["--weights", checkpoints("instance", "mask_rcnn"), "--accelerator", "cpu"],
        ["--weights", made("instance", "mask_rcnn", "onnx")[0], "--runtime", "onnx"],
    ):
        answer = run("eval", "instance", tmp_path, *words)
        assert answer.status == 0, answer.err
        assert "4 images of" in answer.out
        found = re.findall(r"(\w+_A[PR]\w*) +([0-9.]+)", answer.out)
        numbers.append({name: float(value) for name, value in found})
    assert numbers[0]["mask_AP"] > 5
    assert numbers[1] == pytest.approx(numbers[0], abs=0.2)


def test_what_differs_is_not_written(refused, checkpoints, tmp_path):
    runner = RUNTIMES["pt2"]

    def wrong(path, precision, threads):
        network = runner(path, precision, threads)
        return replace(network, run=lambda images: [output * 1.01 for output in network.run(images)])

    words = [checkpoints("detect", "retinanet"), "--to", "pt2", "--size", 64, "--out", tmp_path / "a.pt2"]
    with RUNTIMES.replaced("pt2", wrong):
        sentence = refused("export", "detect", *words)
    assert sentence.startswith("Only 0.0 % of the detections of the file and the detector")
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_a_detector_that_finds_nothing_is_not_written(refused, tmp_path):
    silent = checkpoint(tmp_path, "detect", "retinanet", score_threshold=1.0)
    words = [silent, "--to", "pt2", "--size", 64, "--out", tmp_path / "a.pt2"]
    assert refused("export", "detect", *words).startswith("The detector finds nothing in these images")
    assert list(tmp_path.iterdir()) == [silent]


REFUSED = [
    (["--to", "aoti"], "Unknown format of detect 'aoti'"),
    (
        ["--to", "onnx", "--dynamic-batch"],
        "detect takes a fixed number of images once exported: leave out --dynamic-batch",
    ),
    (["--to", "onnx", "--int8", "--calibrate", "."], "detect can be exported in fp32 only: leave out --int8"),
    (["--to", "onnx", "--size", "100"], "multiples of 32, and 100 is not: choose a --size such as 96."),
    (["--to", "onnx", "--size", "64", "90"], "multiples of 32, and 90 is not: choose a --size such as 96."),
]


@pytest.mark.parametrize(("options", "sentence"), REFUSED)
def test_wrong_options_are_refused(refused, checkpoints, tmp_path, monkeypatch, options, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused("export", "detect", checkpoints("detect", "retinanet"), *options)
    assert not any(tmp_path.iterdir())


def test_a_backbone_alone_is_refused(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sentence = refused("export", "detect", "res2net20_26w_4s_tiny", "--to", "onnx")
    assert sentence == (
        "res2net20_26w_4s_tiny is a backbone without a head for detect: give a file of `res2net train detect`."
    )


def test_options_of_the_task_that_do_not_fit_are_refused(refused, made, images, tmp_path):
    path = tmp_path / "copy.onnx"
    written = made("detect", "retinanet", "onnx")[0]
    path.write_bytes(written.read_bytes())
    said = json.loads(written.with_name(f"{written.name}.json").read_text())
    for changed, sentence in [
        ({"task_metadata": 3}, "is damaged (task_metadata 3 does not fit"),
        ({"task_metadata": {"task_options": 3}}, "is 3: give options with their values"),
        ({"outputs": ["boxes"]}, "copy.onnx.json says 1 tensor: export again"),
    ]:
        (tmp_path / "copy.onnx.json").write_text(json.dumps(said | changed))
        assert sentence in refused("predict", "detect", images, "--weights", path, "--runtime", "onnx")
