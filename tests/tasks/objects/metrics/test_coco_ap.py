"""COCO's numbers of boxes and masks are those of pycocotools."""

import math

import pytest
import torch
from coco_oracle import as_runs, imperfect, pycocotools_numbers, read, synthetic, targets_of

from res2net.errors import InputError
from res2net.tasks.objects.metrics.coco import CocoAP

NUMBERS = ["AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"]
NUMBERS += ["AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"]
PREFIX = {"bbox": "box", "segm": "mask"}


def names_of(dataset):
    return [category["name"] for category in dataset["categories"]]


def measured(metric, results, targets, batch=5):
    for start in range(0, len(targets), batch):
        metric.update(results[start : start + batch], targets[start : start + batch])
    return metric.compute()


def same(value, expected):
    return math.isnan(value) if expected == -1 else value == pytest.approx(expected, abs=1e-6)


def without(entries, *names):
    return [{name: value for name, value in one.items() if name not in names} for one in entries]


def check_against_pycocotools(dataset, seed=0):
    targets = targets_of(dataset)
    results = imperfect(targets, len(dataset["categories"]), seed)
    values = measured(CocoAP(("bbox", "segm"), names_of(dataset), class_metrics=True), results, targets)
    for kind, prefix in PREFIX.items():
        numbers, by_class = pycocotools_numbers(kind, dataset, targets, results)
        for name, expected in zip(NUMBERS, numbers, strict=True):
            assert same(values[f"{prefix}_{name}"], expected), (prefix, name)
        for name, expected in zip(names_of(dataset), by_class, strict=True):
            assert same(values[f"{prefix}_AP/{name}"], expected), (prefix, name)
    return values


@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_real_annotations(real_data, split):
    dataset = read(real_data("coco_mini") / "annotations" / f"instances_{split}.json")
    assert sum(one["iscrowd"] for one in dataset["annotations"]) >= 5
    dataset["images"].append({"id": 1, "height": 50, "width": 70})  # and one without objects
    values = check_against_pycocotools(dataset)
    assert 0.2 < values["box_AP"] < 0.9
    assert 0.1 < values["mask_AP_small"] < values["mask_AP_large"] < 0.95


@pytest.mark.parametrize("seed", range(4))
def test_synthetic_annotations(seed):
    dataset = synthetic(seed, count=20)
    assert {one["iscrowd"] for one in dataset["annotations"]} == {0, 1}
    assert len({one["image_id"] for one in dataset["annotations"]}) < len(dataset["images"])
    check_against_pycocotools(dataset, seed)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_one_kind_needs_only_its_own_labels_and_gives_the_same_as_both(kind):
    """Also on images without objects, where what was found is wrong."""
    dataset = synthetic(1)
    targets = targets_of(dataset)
    results = imperfect(targets, 3)
    assert any(
        len(result["labels"]) and not len(target["labels"]) for result, target in zip(results, targets, strict=True)
    )
    both = measured(CocoAP(["bbox", "segm"], names_of(dataset)), results, targets)
    other = {"bbox": "masks", "segm": "boxes"}[kind]
    one = measured(CocoAP(kind, names_of(dataset)), without(results, other), without(targets, other))
    assert one == pytest.approx({name: both[name] for name in both if name.startswith(PREFIX[kind])}, nan_ok=True)


def test_masks_as_run_lengths_and_as_tensors_are_the_same():
    dataset = synthetic(2)
    targets = targets_of(dataset)
    results = imperfect(targets, 3)
    as_tensors = measured(CocoAP("segm", names_of(dataset)), results, targets)
    for one in [*results, *targets]:
        one["masks"] = as_runs(one["masks"])
    assert measured(CocoAP("segm", names_of(dataset)), results, targets) == pytest.approx(as_tensors, nan_ok=True)
    assert as_tensors["mask_AP"] > 0.1


def test_batches_in_another_order_give_the_same_also_with_equal_scores():
    dataset = synthetic(3, count=20)
    targets = targets_of(dataset)
    results = imperfect(targets, 3, steps=2)
    first = measured(CocoAP(("bbox", "segm"), names_of(dataset)), results, targets)
    again = measured(CocoAP(("bbox", "segm"), names_of(dataset)), results[::-1], targets[::-1], batch=3)
    assert first == pytest.approx(again, nan_ok=True, abs=0)


def test_a_image_that_comes_twice_counts_once():
    dataset = synthetic(3)
    targets = targets_of(dataset)
    results = imperfect(targets, 3)
    once = measured(CocoAP("bbox", names_of(dataset)), results, targets)
    assert measured(CocoAP("bbox", names_of(dataset)), [*results, *results[:4]], [*targets, *targets[:4]]) == once


def square(side, at=0.0, **also):
    return {"boxes": torch.tensor([[at, at, at + side, at + side]]), "labels": torch.tensor([0]), **also}


NOTHING = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long()}
NO_RESULT = NOTHING | {"scores": torch.zeros(0)}


def test_no_detections_at_all():
    values = measured(CocoAP("bbox", ["a"]), [NO_RESULT], [square(20.0, image_id=0)])
    assert values["box_AP"] == values["box_AP_small"] == values["box_AR_100"] == 0
    assert math.isnan(values["box_AP_large"])


def test_no_objects_at_all():
    """There is nothing to measure, whatever was found; all names are there."""
    values = measured(
        CocoAP("bbox", ["a"], class_metrics=True), [square(20.0, scores=torch.ones(1))], [NOTHING | {"image_id": 0}]
    )
    assert list(values) == [f"box_{name}" for name in NUMBERS] + ["box_AP/a"]
    assert all(math.isnan(value) for value in values.values())


def test_only_crowds():
    target = square(20.0, image_id=0, crowd=torch.tensor([True]))
    assert math.isnan(measured(CocoAP("bbox", ["a"]), [square(20.0, scores=torch.ones(1))], [target])["box_AP"])


def test_an_object_of_one_pixel():
    mask = torch.zeros(1, 9, 9, dtype=torch.bool)
    mask[0, 4, 4] = True
    target = square(1.0, at=4.0, masks=mask, image_id=0)
    result = square(1.0, at=4.0, masks=mask, scores=torch.ones(1))
    values = measured(CocoAP(("bbox", "segm"), ["a"]), [result], [target])
    assert values["box_AP"] == values["mask_AP_small"] == pytest.approx(1)


@pytest.mark.parametrize(("area", "size"), [(100.0, "small"), (5000.0, "medium"), (10000.0, "large")])
def test_the_size_of_an_object_is_what_the_data_set_says(area, size):
    target = square(50.0, image_id=0, area=torch.tensor([area]))
    values = measured(CocoAP("bbox", ["a"]), [square(50.0, scores=torch.ones(1))], [target])
    measurable = {name for name in ("small", "medium", "large") if not math.isnan(values[f"box_AR_{name}"])}
    assert measurable == {size}


def test_without_an_area_the_pixels_of_the_mask_count_and_else_the_box():
    masks = torch.zeros(1, 60, 60, dtype=torch.bool)
    masks[:, :10, :10] = True
    result = square(50.0, scores=torch.ones(1))
    by_box = measured(CocoAP("bbox", ["a"]), [result], [square(50.0, image_id=0)])
    by_mask = measured(CocoAP("bbox", ["a"]), [result], [square(50.0, image_id=0, masks=masks)])
    assert by_box["box_AR_medium"] == by_mask["box_AR_small"] == 1
    assert math.isnan(by_box["box_AR_small"])


def test_a_new_start():
    metric = CocoAP("bbox", ["a"])
    measured(metric, [NO_RESULT], [square(20.0, image_id=0)])
    metric.reset()
    assert measured(metric, [square(20.0, scores=torch.ones(1))], [square(20.0, image_id=0)])[
        "box_AP"
    ] == pytest.approx(1)


GOOD = square(20.0, scores=torch.ones(1), masks=torch.ones(1, 8, 8, dtype=torch.bool))
TRUE = square(20.0, image_id=0, masks=torch.ones(1, 8, 8, dtype=torch.bool))


@pytest.mark.parametrize(
    ("result", "target", "message"),
    [
        ({"scores": None}, {}, "A result has no 'scores'"),
        ({"boxes": None}, {}, "A result has no 'boxes'"),
        ({"masks": None}, {}, "A result has no 'masks'"),
        ({}, {"image_id": None}, "no 'image_id'"),
        ({}, {"labels": None}, "A target has no 'labels'"),
        ({"boxes": torch.zeros(1, 5)}, {}, r"'boxes' of a result has shape \(1, 5\): give \(objects, 4\)"),
        ({"scores": torch.ones(2)}, {}, "A result has 2 'scores' for 1 labels"),
        ({"labels": torch.tensor([1])}, {}, "label 1: labels go from 0 to 0"),
        ({"labels": torch.tensor([-1])}, {}, "label -1"),
        ({}, {"crowd": torch.zeros(3)}, "3 'crowd' for 1 labels"),
        ({}, {"area": torch.zeros(1, 1)}, "'area' of a target has shape"),
        ({"masks": torch.rand(1, 28, 28)}, {}, "in the size of the image"),
        ({"masks": torch.ones(1, 9, 8).bool()}, {}, r"are \(9, 8\) and of its target \(8, 8\)"),
        ({"masks": [{"size": [8, 8], "counts": [64]}]}, {}, "neither a tensor nor compressed run lengths"),
        ({"masks": []}, {}, "0 'masks' for 1 labels"),
    ],
)
def test_bad_input_is_told(result, target, message):
    changed = [
        {name: value for name, value in (old | new).items() if value is not None}
        for old, new in ((GOOD, result), (TRUE, target))
    ]
    with pytest.raises(InputError, match=message):
        CocoAP(("bbox", "segm"), ["a"]).update([changed[0]], [changed[1]])


def test_results_and_targets_of_different_length():
    with pytest.raises(InputError, match="2 results for 1 targets"):
        CocoAP("bbox", ["a"]).update([GOOD, GOOD], [TRUE])


@pytest.mark.parametrize(("kinds", "message"), [((), "no kinds"), ("boxes", "did you mean 'bbox'")])
def test_kinds_are_checked(kinds, message):
    with pytest.raises(InputError, match=message):
        CocoAP(kinds, ["a"])
