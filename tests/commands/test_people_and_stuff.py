"""`res2net train`, `eval` and `predict` of keypoints and of panoptic segmentation, on a few drawn scenes."""

import json

import pytest
from detector_files import checkpoint
from object_sets import CATEGORIES, write_coco
from PIL import Image

from res2net.images.shapes.dataset import POINTS, Shapes

SMALL = [
    *("--fpn-channels", 16, "--head-channels", 32, "--proposals", 20, "--proposals-train", 40),
    *("--anchor-sizes", 12, 24, 48, 96),
]
CASES = {
    "simple_baseline": ("keypoints", ["--crop", 64, 48, "--channels", 16], "objects", "in ground truth boxes"),
    "keypoint_rcnn": ("keypoints", ["--detector", "keypoint_rcnn", *SMALL], "objects", "in detected boxes"),
    "panoptic_fpn": ("panoptic", ["--stuff-channels", 16, *SMALL], "segments_info", "PQ_things"),
}


@pytest.fixture
def photo(tmp_path):
    pixels, _ = Shapes(1, size=96, things=2)[0]
    path = tmp_path / "image.png"
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).resize((120, 90)).save(path)
    return path


@pytest.mark.parametrize("case", CASES)
def test_train_eval_and_predict(run, tiny, tmp_path, photo, case):
    task, options, name, said = CASES[case]
    folder = tmp_path / "run"
    answer = run("train", task, "shapes:4,3", *tiny(out=folder, size=64), *options)
    assert (answer.status, answer.err) == (0, "")
    line = next(line for line in answer.out.splitlines() if line.startswith("epoch"))
    assert said in line
    assert f"res2net eval {task} shapes:4,3 --weights" in answer.out
    assert said in (folder / "report.html").read_text()
    weights = ["--weights", folder / "best.safetensors", "--accelerator", "cpu"]
    again = run("eval", task, "shapes:4,3", *weights)
    assert (again.status, again.err) == (0, "")
    assert said in " ".join(again.out.split())
    found = run("predict", task, photo, *weights, "--json", "--draw", tmp_path / "drawn")
    assert (found.status, found.err) == (0, "")
    (entry,) = json.loads(found.out)
    assert isinstance(entry[name], list)
    if case == "simple_baseline":
        assert entry[name][0]["box"] == [0, 0, 120, 90]
    (drawn,) = (tmp_path / "drawn").iterdir()
    with Image.open(drawn) as image:
        assert image.size == (600, 450)
    assert run("predict", task, photo, *weights).status == 0


@pytest.fixture
def people(run, tiny, tmp_path):
    """A data set of images with two things each, and weights of SimpleBaseline on it."""
    root = write_coco(tmp_path / "people", points=("a", "b", "c"))
    options = ["--crop", 64, 48, "--channels", 16, "--out", tmp_path / "run"]
    answer = run("train", "keypoints", root, *tiny(batch_size=2), *options)
    assert answer.status == 0, answer.err
    return root, ["--weights", tmp_path / "run" / "best.safetensors", "--accelerator", "cpu"]


def test_key_points_within_the_boxes_of_annotations_are_those_of_the_evaluation(run, people, tmp_path):
    root, weights = people
    assert run("eval", "keypoints", root, *weights, "--results", tmp_path / "eval.json").status == 0
    boxes = ["--boxes", root / "annotations" / "person_keypoints_val.json", "--coco", tmp_path / "predicted.json"]
    answer = run("predict", "keypoints", root / "val", *weights, *boxes, "--json", "--draw", tmp_path / "drawn")
    assert answer.status == 0, answer.err
    assert len(list((tmp_path / "drawn").iterdir())) == 3
    first = json.loads(answer.out)[0]["objects"]
    assert [one["label"] for one in first] == list(CATEGORIES.values())
    expected, found = (json.loads((tmp_path / name).read_text()) for name in ("eval.json", "predicted.json"))
    assert len(found) == len(expected) == 6
    for one, other in zip(found, expected, strict=True):
        assert (one["image_id"], one["category_id"]) == (other["image_id"], other["category_id"])
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
        places = [[value for place, value in enumerate(it["keypoints"]) if place % 3 < 2] for it in (one, other)]
        assert places[0] == pytest.approx(places[1], abs=1e-2)


def test_boxes_of_a_detector_lend_their_scores(run, refused, people, tmp_path):
    """One image has two classes in one box, one none, one is broken; a second box around the same is no object."""
    root, weights = people
    entries = [
        {"image_id": 105, "category_id": category, "bbox": [5, 5, 30, 40], "score": score}
        for category, score in ((3, 0.5), (7, 0.25), (3, 0.3), (3, 0.1))
    ] + [{"image_id": 107, "category_id": 7, "bbox": [5, 5, 30, 40], "score": 1}]
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps(entries))
    (root / "val" / "image_000107.png").write_bytes(b"")
    options = [*weights, "--boxes", file, "--box-score", 0.2, "--json"]
    answer = run("predict", "keypoints", root / "val", *options, "--bad-images", "skip", "--batch-size", 2)
    assert answer.status == 0, answer.err
    first, second, third = json.loads(answer.out)
    assert len(first["objects"]) == 2
    assert first["objects"][0]["score"] == pytest.approx(2 * first["objects"][1]["score"])
    assert first["objects"][0]["keypoints"] == first["objects"][1]["keypoints"]
    assert first["objects"][0]["box"] == [5, 5, 30, 40]
    assert second["objects"] == []
    assert "empty" in third["error"]
    assert "empty" in refused("predict", "keypoints", root / "val", *options)


def test_evaluation_within_the_boxes_of_a_detector(run, people, tmp_path):
    """It finds what `predict` finds in the same boxes; one image has none, and one box is there twice."""
    root, weights = people
    truth = root / "annotations" / "person_keypoints_val.json"
    boxes = [
        {name: one[name] for name in ("image_id", "category_id", "bbox")} | {"score": 0.5 + 0.01 * place}
        for place, one in enumerate(json.loads(truth.read_text())["annotations"])
        if one["image_id"] != 106
    ]
    boxes += [boxes[0] | {"score": 0.1}, boxes[0] | {"category_id": 99}, boxes[0] | {"image_id": 8}]
    file, found, predicted = (tmp_path / name for name in ("boxes.json", "found.json", "predicted.json"))
    file.write_text(json.dumps(boxes))
    answer = run("eval", "keypoints", root, *weights, "--boxes", file, "--results", found)
    assert answer.status == 0, answer.err
    assert "5 crops of people (val) in detected boxes" in " ".join(answer.out.split())
    answer = run("predict", "keypoints", root / "val", *weights, "--boxes", file, "--coco", predicted)
    assert answer.status == 0, answer.err
    one, two = (
        sorted(json.loads(path.read_text()), key=lambda entry: (entry["image_id"], entry["category_id"]))
        for path in (found, predicted)
    )
    assert [entry["image_id"] for entry in one] == [105, 105, 107, 107]
    assert [entry["image_id"] for entry in two] == [105, 105, 107, 107]
    assert [entry["score"] for entry in one] == pytest.approx([entry["score"] for entry in two], abs=1e-5)


def test_boxes_that_do_not_fit_are_told_in_a_sentence(refused, people, tmp_path):
    root, trained = people
    file = tmp_path / "boxes.json"
    box = {"image_id": 105, "category_id": 3, "bbox": [5, 5, 30, 40], "score": 0.5}

    def ask(*changes, options=()):
        file.write_text(json.dumps([box | change for change in changes]))
        return refused("eval", "keypoints", root, *trained, "--boxes", file, *options)

    assert "has no box of the category 3, 7: give boxes of the classes of the data." in ask({"category_id": 1})
    assert "has no box in these images: give boxes of the same images" in ask({"image_id": 3})
    assert "A box of image 105 lies outside of its 90 x 60 pixels" in ask({}, {"bbox": [100, 5, 30, 40]})
    assert "has no box with a score of 0.7 or more" in ask({}, options=["--box-score", 0.7])
    annotations = root / "annotations" / "person_keypoints_val.json"
    sentence = refused("eval", "keypoints", root, *trained, "--boxes", annotations)
    assert "has annotations: give COCO's results of a detector, or leave out --boxes" in sentence


def test_only_networks_that_look_into_boxes_take_them(refused, weights, images, tmp_path):
    """Other tasks have no such option; the detector that finds its own boxes refuses it."""
    for verb in ("eval", "predict"):
        assert "has no option '--boxes'" in refused(verb, images, *weights, "--boxes", "boxes.json")
    file = checkpoint(tmp_path, "keypoints", "keypoint_rcnn", keypoints=POINTS)
    sentence = "Only keypoints with simple_baseline looks into given boxes: leave out --boxes."
    options = ["--weights", file, "--accelerator", "cpu", "--boxes", "boxes.json"]
    assert refused("predict", "keypoints", images, *options) == sentence
    assert refused("eval", "keypoints", "shapes:4,3", *options) == sentence


def test_images_without_key_points_are_refused(refused, tiny, images):
    assert "is not a data set with objects" in refused("train", "keypoints", images, *tiny())
