"""`res2net export keypoints` and `panoptic`: heat maps, keypoints and stuff as files, and what these find."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from detector_files import checkpoint, is_equal, the_same, write_scenes
from faster_coco_eval.core import mask as coco_mask
from PIL import Image

from res2net.export import FORMATS, RUNTIMES, read_artefact
from res2net.images.shapes.dataset import POINTS, SILHOUETTES, STUFF_NAMES

# Torchvision's rule for shapes of suppressed boxes, and what exporters say of their own code.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

DETECTORS = {
    "simple_baseline": ("keypoints", {"crop": (64, 32), "channels": 16}, ["heatmaps"]),
    "keypoint_rcnn": ("keypoints", {}, ["boxes", "scores", "labels", "keypoints", "keypoint_scores"]),
    "panoptic_fpn": (
        "panoptic",
        {"stuff_channels": 16, "segment_score": 0.2},
        ["boxes", "scores", "labels", "masks", "semantic"],
    ),
}
"""Each with its task, options of the task, and what its file gives."""
WORDS = {
    "simple_baseline": ["--dynamic-batch"],
    "keypoint_rcnn": ["--size", 64],
    "panoptic_fpn": ["--size", 64],
}
CASES = [
    ("simple_baseline", "onnx"),
    pytest.param("keypoint_rcnn", "onnx", marks=pytest.mark.slow),
    pytest.param("keypoint_rcnn", "openvino", marks=pytest.mark.slow),
    pytest.param("panoptic_fpn", "onnx", marks=pytest.mark.slow),
    ("panoptic_fpn", "pt2"),
]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A function that gives the checkpoint of a detector, once made."""
    written = {}

    def call(detector):
        if detector not in written:
            task, chosen, _ = DETECTORS[detector]
            more = {"keypoints": POINTS} if task == "keypoints" else {"stuff_names": STUFF_NAMES}
            folder = tmp_path_factory.mktemp("weights")
            written[detector] = checkpoint(folder, task, detector, chosen, SILHOUETTES, **more)
        return written[detector]

    return call


@pytest.fixture(scope="module")
def made(run, checkpoints, tmp_path_factory):
    """A function that exports a detector, once for each format; it gives the file and the answer."""
    exported = {}

    def call(detector, to):
        if (detector, to) not in exported:
            path = tmp_path_factory.mktemp("exported") / f"detector{FORMATS[to]}"
            words = [checkpoints(detector), "--to", to, "--out", path, *WORDS[detector]]
            exported[detector, to] = path, run("export", DETECTORS[detector][0], *words)
        return exported[detector, to]

    return call


@pytest.fixture
def ask(run, made, checkpoints):
    """A function that runs a verb with a file or, where the format is None, with its checkpoint."""

    def call(verb, source, detector, to, *words):
        weights = ["--weights", checkpoints(detector), "--accelerator", "cpu"]
        if to is not None:
            weights = ["--weights", made(detector, to)[0], "--runtime", to, "--trust"]
        answer = run(verb, DETECTORS[detector][0], source, *weights, *words)
        assert answer.status == 0, answer.err
        return answer.out

    return call


@pytest.mark.parametrize(("detector", "to"), CASES)
def test_a_network_is_exported(made, checkpoints, detector, to):
    path, answer = made(detector, to)
    assert (answer.status, answer.err) == (0, "")
    artefact = read_artefact(path)
    task, _, outputs = DETECTORS[detector]
    assert (artefact.task, artefact.outputs, artefact.class_names) == (task, outputs, list(SILHOUETTES))
    assert artefact.source == checkpoints(detector).name
    said = artefact.agreement
    if detector == "simple_baseline":
        assert "32 synthetic images: largest difference " in answer.out
        assert artefact.input_shape == [1, 3, 64, 32]
        assert said["relative"] < 1e-4
        assert "top1" not in said
        return
    assert "8 synthetic images, 120 detections: " in answer.out
    assert artefact.input_shape == [1, 3, 64, 64]
    assert said["detections"] == 120
    assert said["equal"] >= 99
    assert {name for name in said if name.startswith("largest")} == {
        f"largest_{name}" for name in outputs if name != "labels"
    }
    assert said.get("largest_semantic", 0) < 1e-4


@pytest.mark.parametrize(("detector", "to"), CASES)
def test_a_file_finds_what_its_checkpoint_does(ask, tmp_path, detector, to):
    """In images that fill it, in pixels of the images' files; any image is a crop."""
    sizes = [(150, 150), (120, 120), (90, 160) if detector == "simple_baseline" else (64, 64)]
    write_scenes(tmp_path, sizes)
    found = [json.loads(ask("predict", tmp_path, detector, runtime, "--json")) for runtime in (to, None)]
    assert len(found[0]) == len(found[1]) == 3
    for ours, theirs in zip(*found, strict=True):
        if detector == "panoptic_fpn":
            the_same_segments(ours["segments_info"], theirs["segments_info"])
        else:
            the_same(ours["objects"], theirs["objects"], 1 if detector == "simple_baseline" else 15)
            assert max(np.ptp(one["keypoints"][::3]) for one in theirs["objects"]) > 1  # they are not all in one place


def the_same_segments(ours, theirs):
    """But for a pixel here and there."""
    assert [one["label"] for one in ours] == [one["label"] for one in theirs]
    assert {one["isthing"] for one in theirs} == {0, 1}
    for one, other in zip(ours, theirs, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-4)
        assert coco_mask.iou([one["segmentation"]], [other["segmentation"]], [0])[0, 0] > 0.99


@pytest.mark.parametrize("detector", ["simple_baseline", pytest.param("keypoint_rcnn", marks=pytest.mark.slow)])
def test_eval_finds_the_key_points_of_the_checkpoint(ask, tmp_path, detector):
    """In the boxes of the data set, or in its own; with an incomplete last batch."""
    results = []
    for name, to in (("ours", "onnx"), ("theirs", None)):
        ask("eval", "shapes:4,3", detector, to, "--results", tmp_path / f"{name}.json")
        entries = json.loads((tmp_path / f"{name}.json").read_text())
        results.append([entry | {"label": entry["category_id"], "box": ()} for entry in entries])
    ours, theirs = results
    assert len(ours) == len(theirs) > 5
    for one in ours:
        assert any(one["image_id"] == other["image_id"] and is_equal(one, other) for other in theirs)


def write_panoptic(root, found):
    """A COCO panoptic root of 160 x 160 pixels, with the segments of two images in training and two in validation.

    A third of the things is left out.
    """
    (root / "annotations").mkdir(parents=True)
    names = [*SILHOUETTES, *STUFF_NAMES]
    categories = [{"id": i + 1, "name": name, "isthing": int(i < len(SILHOUETTES))} for i, name in enumerate(names)]
    for split, places in (("train", (0, 1)), ("val", (2, 3))):
        folder = root / "annotations" / f"panoptic_{split}2017"
        folder.mkdir()
        content = {"categories": categories, "images": [], "annotations": []}
        (root / f"{split}2017").mkdir()
        for place in places:
            kept = [one for one in found[place] if one["id"] % 3 or not one["isthing"]]
            rgb = np.zeros((160, 160, 3), dtype=np.uint8)
            for one in kept:
                rgb[coco_mask.decode(one["segmentation"]).astype(bool), 0] = one["id"]
            Image.fromarray(rgb).save(folder / f"{place}.png")
            size = {"width": 160, "height": 160}
            content["images"].append({"id": place, "file_name": f"{place}.png", **size})
            content["annotations"].append({"image_id": place, "file_name": f"{place}.png", "segments_info": kept})
        folder.with_suffix(".json").write_text(json.dumps(content))
    return root


@pytest.mark.slow
def test_eval_gives_the_panoptic_quality_of_the_checkpoint(ask, tmp_path):
    """On images whose segments are some of those that the checkpoint finds, so that it is not 0."""
    images = tmp_path / "images"
    images.mkdir()
    write_scenes(images, [(160, 160)] * 4)
    entries = json.loads(ask("predict", images, "panoptic_fpn", None, "--json"))
    root = write_panoptic(tmp_path / "set", [entry["segments_info"] for entry in entries])
    for place in range(4):
        (images / f"{place}.png").rename(root / f"{'train' if place < 2 else 'val'}2017" / f"{place}.png")
    numbers = []
    for to in ("onnx", None):
        found = re.findall(r"([PSR]Q\w*) +([0-9.]+)", ask("eval", root, "panoptic_fpn", to))
        numbers.append({name: float(value) for name, value in found})
    assert numbers[1]["PQ_things"] > 5
    assert numbers[1]["PQ_stuff"] > 5
    assert numbers[0] == pytest.approx(numbers[1], abs=0.2)


@pytest.mark.parametrize(
    ("detector", "wrong", "sentence"),
    [
        ("simple_baseline", 0, "The file differs from the network by 1.0e-02 of the largest output"),
        pytest.param(
            *("keypoint_rcnn", 4, "Only 0.0 % of the detections of the file and the detector are equal"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *(
                "panoptic_fpn",
                4,
                "The file's logits of pixels differ from those of the network by 1.0e-02 of the largest",
            ),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_differs_is_not_written(refused, checkpoints, tmp_path, detector, wrong, sentence):
    """Also where one output alone does."""
    runner = RUNTIMES["pt2"]

    def spoilt(path, precision, threads):
        network = runner(path, precision, threads)
        return replace(
            network,
            run=lambda images: [out * 1.01 if place == wrong else out for place, out in enumerate(network.run(images))],
        )

    words = [checkpoints(detector), "--to", "pt2", "--out", tmp_path / "a.pt2", *WORDS[detector]]
    with RUNTIMES.replaced("pt2", spoilt):
        assert refused("export", DETECTORS[detector][0], *words).startswith(sentence)
    assert not any(tmp_path.iterdir())


def test_crops_have_one_size(refused, checkpoints):
    words = [checkpoints("simple_baseline"), "--to", "onnx", "--size", 96]
    sentence = refused("export", "keypoints", *words)
    assert sentence == "The network sees crops of 64 x 32 pixels, as it was trained: leave out --size."


@pytest.mark.parametrize(
    ("detector", "missing"),
    [("simple_baseline", "keypoints"), pytest.param("panoptic_fpn", "stuff_names", marks=pytest.mark.slow)],
)
def test_a_description_has_to_tell_what_is_found(refused, made, images, tmp_path, detector, missing):
    path = made(detector, "onnx")[0]
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(path.read_bytes())
    said = json.loads(path.with_name(f"{path.name}.json").read_text())
    del said["task_metadata"][missing]
    (tmp_path / "copy.onnx.json").write_text(json.dumps(said))
    sentence = refused("predict", DETECTORS[detector][0], images, "--weights", copy, "--runtime", "onnx")
    assert sentence == f"The file of the exported network does not state its {missing}: export it again."
