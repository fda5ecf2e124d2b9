"""COCO's numbers of keypoints are those of pycocotools."""

import math

import numpy as np
import pytest
import torch
from coco_oracle import PERSON, from_dict, imperfect, pycocotools_numbers, quietly, read, synthetic, targets_of
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from res2net.errors import InputError
from res2net.tasks.objects.formats import open_objects
from res2net.tasks.objects.keypoints.oks import COCO_SIGMAS, OksAP

NUMBERS = ["AP", "AP50", "AP75", "AP_medium", "AP_large", "AR", "AR50", "AR75", "AR_medium", "AR_large"]


def measured(metric, results, targets, batch=5):
    for start in range(0, len(targets), batch):
        metric.update(results[start : start + batch], targets[start : start + batch])
    return metric.compute()


def check_against_pycocotools(dataset, sigmas, seed=0):
    targets = targets_of(dataset)
    classes = [category["name"] for category in dataset["categories"]]
    results = imperfect(targets, len(classes), seed)
    values = measured(OksAP(sigmas, "ground truth", classes), results, targets)
    numbers, _ = pycocotools_numbers("keypoints", dataset, targets, results, sigmas)
    assert list(values) == [f"keypoint_{name}" for name in NUMBERS]
    for name, expected in zip(NUMBERS, numbers, strict=True):
        value = values[f"keypoint_{name}"]
        assert math.isnan(value) if expected == -1 else value == pytest.approx(expected, abs=1e-6), name
    return values


@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_real_annotations(real_data, split):
    dataset = read(real_data("coco_mini") / "annotations" / f"person_keypoints_{split}.json")
    annotations = dataset["annotations"]
    assert any(one["iscrowd"] for one in annotations)
    assert any(not one["num_keypoints"] and not one["iscrowd"] for one in annotations)
    assert len({one["image_id"] for one in annotations}) < len(dataset["images"])
    values = check_against_pycocotools(dataset, PERSON)
    assert 0.1 < values["keypoint_AP"] < 0.95


@pytest.mark.parametrize("seed", range(4))
def test_synthetic_annotations(seed):
    sigmas = [0.05, 0.1, 0.03]
    dataset = synthetic(seed, count=20, classes=2, points=3)
    assert {one["num_keypoints"] > 0 for one in dataset["annotations"]} == {True, False}
    values = check_against_pycocotools(dataset, sigmas, seed)
    assert values["keypoint_AP"] > 0.1


def test_detections_have_coco_s_format():
    """pycocotools takes them as they are, and its numbers are the same."""
    dataset = synthetic(1, count=20, classes=2, points=3)
    metric = OksAP([0.05, 0.1, 0.03], "ground truth", ["class 0", "class 1"])
    targets = targets_of(dataset)
    values = measured(metric, imperfect(targets, 2, 1), targets)
    found = list(metric.detections())
    assert all(one.keys() == {"image_id", "category_id", "score", "keypoints"} for one in found)
    truth = quietly(from_dict, dataset)
    evaluation = COCOeval(truth, quietly(truth.loadRes, found), "keypoints")
    evaluation.params.kpt_oks_sigmas = np.array([0.05, 0.1, 0.03])
    quietly(evaluation.evaluate)
    quietly(evaluation.accumulate)
    quietly(evaluation.summarize)
    assert values["keypoint_AP"] == pytest.approx(evaluation.stats[0], abs=1e-6)
    assert values["keypoint_AP"] > 0.1


def test_what_is_read_is_measured_as_pycocotools_measures_the_file(real_data):
    """Both of what was written, also with points near crowds: nothing is half a pixel off between the two."""
    root = real_data("coco_mini")
    _, images, _ = open_objects(root, ("boxes", "labels", "keypoints", "visibility", "crowd", "area"))
    random = torch.Generator().manual_seed(0)
    metric = OksAP(COCO_SIGMAS, "detected", images.class_names)
    for index in range(len(images)):
        target = images.target(index)
        points = target["keypoints"].as_subclass(torch.Tensor)
        found = points + 3 * torch.randn(points.shape, generator=random)
        scores = torch.rand(len(points), generator=random)
        metric.update([{"scores": scores, "labels": target["labels"], "keypoints": found}], [target])
    values = metric.compute()
    truth = quietly(COCO, root / "annotations" / "person_keypoints_val2017.json")
    written = [one | {"category_id": 1} for one in metric.detections()]
    evaluation = COCOeval(truth, quietly(truth.loadRes, written), "keypoints")
    for step in (evaluation.evaluate, evaluation.accumulate, evaluation.summarize):
        quietly(step)
    assert [values[f"keypoint_{name}"] for name in NUMBERS] == pytest.approx(evaluation.stats.tolist(), abs=1e-6)
    assert 0.1 < values["keypoint_AP"] < 0.95


def test_sigmas_of_people():
    assert list(COCO_SIGMAS) == PERSON


def test_order_of_batches_and_images_that_come_twice_make_no_difference():
    targets = targets_of(synthetic(5, count=20, classes=1, points=3))
    results = imperfect(targets, 1, steps=2)
    make = lambda: OksAP([0.05, 0.1, 0.03], "detected", ["a"])  # noqa: E731
    first = measured(make(), results, targets)
    again = measured(make(), [*results[::-1], *results], [*targets[::-1], *targets], batch=3)
    assert first == pytest.approx(again, nan_ok=True, abs=0)


def person(x=20.0, visibility=2, **also):
    return {
        "boxes": torch.tensor([[0.0, 0.0, 40.0, 40.0]]),
        "labels": torch.tensor([0]),
        "keypoints": torch.tensor([[[x, 20.0], [30.0, 30.0]]]),
        "visibility": torch.tensor([[visibility, visibility]]).byte(),
        "image_id": 0,
        **also,
    }


def found(x=20.0, score=0.9):
    return {"scores": torch.tensor([score]), "keypoints": torch.tensor([[[x, 20.0, 0.3], [30.0, 30.0, 0.1]]])}


def test_a_similarity_by_hand():
    """One point right, one 4 pixels off: the mean of 1 and exp(-d² / (2 area (2 sigma)²))."""
    area, sigma = 1600.0, 0.05
    similarity = (1 + math.exp(-16 / (2 * area * (2 * sigma) ** 2))) / 2
    assert 0.8 < similarity < 0.85
    values = measured(OksAP([sigma, sigma], "ground truth"), [found(24.0)], [person()])
    assert values["keypoint_AR"] == pytest.approx(0.7)  # 0.50, 0.55, ..., 0.80 of ten
    assert values["keypoint_AP75"] == pytest.approx(1)


def test_points_that_nobody_labelled_do_not_count():
    target = person(visibility=1)
    target["visibility"][0, 0] = 0
    target["keypoints"][0, 0] = math.nan
    assert measured(OksAP([0.05, 0.05], "ground truth"), [found(400.0)], [target])["keypoint_AP"] == pytest.approx(1)


def test_nothing_found_and_nothing_there():
    nothing = {"scores": torch.zeros(0), "keypoints": torch.zeros(0, 2, 2)}
    assert measured(OksAP([0.05, 0.05], "detected"), [nothing], [person()])["keypoint_AP"] == 0
    absent = {name: value[:0] if isinstance(value, torch.Tensor) else value for name, value in person().items()}
    values = measured(OksAP([0.05, 0.05], "detected"), [found()], [absent])
    assert all(math.isnan(value) for value in values.values())
    unlabelled = measured(OksAP([0.05, 0.05], "detected"), [found()], [person(visibility=0)])
    assert all(math.isnan(value) for value in unlabelled.values())


def test_it_says_whose_boxes_were_used():
    assert OksAP(COCO_SIGMAS, "detected").describe() == "OKS-AP of 17 keypoints in detected boxes"
    assert OksAP(COCO_SIGMAS, boxes="ground truth").boxes == "ground truth"
    with pytest.raises(TypeError, match="boxes"):
        OksAP(COCO_SIGMAS)
    with pytest.raises(InputError, match="did you mean 'ground truth'"):
        OksAP(COCO_SIGMAS, "ground-truth")


@pytest.mark.parametrize("sigmas", [(), (0.1, 0.0)])
def test_sigmas_are_checked(sigmas):
    with pytest.raises(InputError, match="above 0 for each keypoint"):
        OksAP(sigmas, "detected")


@pytest.mark.parametrize(
    ("result", "target", "message"),
    [
        ({"keypoints": torch.zeros(1, 3, 2)}, {}, r"'keypoints' of a result has shape \(1, 3, 2\)"),
        ({"keypoints": torch.zeros(2, 2, 2)}, {}, "2 'keypoints' for 1 labels"),
        ({"keypoints": torch.zeros(4)}, {}, r"give \(objects, 2, 2\)"),
        ({"labels": torch.tensor([1])}, {}, "label 1"),
        ({}, {"keypoints": torch.zeros(1, 2, 3)}, "'keypoints' of a target"),
        ({}, {"visibility": torch.zeros(1, 3)}, "'visibility' of a target"),
        ({}, {"boxes": torch.zeros(1, 2)}, "'boxes' of a target"),
    ],
)
def test_bad_input_is_told(result, target, message):
    with pytest.raises(InputError, match=message):
        OksAP([0.05, 0.05], "detected").update([found() | result], [person() | target])
