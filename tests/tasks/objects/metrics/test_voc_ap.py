"""VOC's average precision is that of the devkit's description."""

import math

import numpy as np
import pytest
import torch

from res2net.errors import InputError
from res2net.tasks.objects.metrics.voc import VocAP


def naive(results, targets, classes):
    """`VOCevaldet.m` and `VOCap.m`, line by line, with pixel boxes: both numbers of each class."""
    by_class = []
    for label in range(classes):
        truth, positives = {}, 0
        for target in targets:
            of_class = (target["labels"] == label).tolist()
            boxes = [box for box, right in zip(target["boxes"].tolist(), of_class, strict=True) if right]
            difficult = [one for one, right in zip(target["difficult"].tolist(), of_class, strict=True) if right]
            truth[target["image_id"]] = (boxes, difficult, [False] * len(boxes))
            positives += difficult.count(False)
        detections = [
            (score, target["image_id"], box)
            for result, target in sorted(zip(results, targets, strict=True), key=lambda pair: pair[1]["image_id"])
            for score, box, found in zip(
                *(result[name].tolist() for name in ("scores", "boxes", "labels")), strict=True
            )
            if found == label
        ]
        detections.sort(key=lambda one: -one[0])
        true, false = np.zeros(len(detections)), np.zeros(len(detections))
        for place, (_, image_id, box) in enumerate(detections):
            boxes, difficult, detected = truth[image_id]
            # Edges to pixels, the first and the last that are inside.
            left, top, right, bottom = box[0] + 1, box[1] + 1, box[2], box[3]
            most, nearest = -math.inf, -1
            for number, edges in enumerate(boxes):
                true_left, true_top, true_right, true_bottom = edges[0] + 1, edges[1] + 1, edges[2], edges[3]
                width = min(right, true_right) - max(left, true_left) + 1
                height = min(bottom, true_bottom) - max(top, true_top) + 1
                if width > 0 and height > 0:
                    union = (right - left + 1) * (bottom - top + 1)
                    union += (true_right - true_left + 1) * (true_bottom - true_top + 1) - width * height
                    if width * height / union > most:
                        most, nearest = width * height / union, number
            if most < 0.5:
                false[place] = 1
            elif not difficult[nearest]:
                if detected[nearest]:
                    false[place] = 1
                else:
                    true[place] = 1
                    detected[nearest] = True
        if not positives:
            continue
        false, true = false.cumsum(), true.cumsum()
        recall = true / positives
        precision = np.divide(true, false + true, out=np.zeros_like(true), where=false + true > 0)
        eleven = 0.0
        for level in np.arange(0.0, 1.1, 0.1):
            above = precision[recall >= level]
            eleven += (above.max() if above.size else 0) / 11
        recall, precision = np.concatenate([[0], recall, [1]]), np.concatenate([[0], precision, [0]])
        for place in range(len(precision) - 2, -1, -1):
            precision[place] = max(precision[place], precision[place + 1])
        steps = (recall[1:] != recall[:-1]).nonzero()[0] + 1
        by_class.append((eleven, float(((recall[steps] - recall[steps - 1]) * precision[steps]).sum())))
    return np.mean(by_class, axis=0).tolist()


def random_images(seed, images=25, classes=4):
    draw = np.random.default_rng(seed)
    results, targets = [], []
    for image_id in draw.permutation(100)[:images].tolist():
        count = int(draw.integers(0, 6))
        corner = draw.integers(0, 40, (count, 2))
        boxes = np.hstack([corner, corner + draw.integers(4, 30, (count, 2))])
        labels = draw.integers(0, classes, count)
        targets.append(
            {
                "image_id": image_id,
                "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
                "labels": torch.tensor(labels, dtype=torch.int64),
                "difficult": torch.tensor(draw.random(count) < 0.25),
            }
        )
        kept = np.repeat(np.arange(count), draw.integers(0, 4, count))
        moved = boxes[kept] + draw.integers(-3, 4, (len(kept), 4))
        invented = np.array([[1, 1, 9, 9]] * int(draw.integers(0, 2))).reshape(-1, 4)
        moved = np.vstack([moved.reshape(-1, 4), invented])
        found = np.concatenate([labels[kept], np.zeros(len(invented), dtype=int)])
        found[draw.random(len(found)) < 0.1] = 0
        results.append(
            {
                "boxes": torch.tensor(moved, dtype=torch.float32),
                "labels": torch.tensor(found, dtype=torch.int64),
                "scores": torch.tensor(draw.integers(1, 8, len(found)) / 8, dtype=torch.float32),
            }
        )
    return results, targets


def measured(metric, results, targets, batch=4):
    for start in range(0, len(targets), batch):
        metric.update(results[start : start + batch], targets[start : start + batch])
    return metric.compute()


@pytest.mark.parametrize("seed", range(8))
def test_as_the_devkit_says(seed):
    results, targets = random_images(seed)
    eleven, area = naive(results, targets, 4)
    values = measured(VocAP(list("abcd")), results, targets)
    assert values == pytest.approx({"box_AP50_11_point": eleven, "box_AP50_area": area}, abs=1e-9)
    assert 0.1 < area < 0.9
    assert abs(eleven - area) > 1e-4


def test_order_of_batches_and_images_that_come_twice_make_no_difference():
    results, targets = random_images(9)
    first = measured(VocAP(list("abcd"), class_metrics=True), results, targets)
    again = measured(VocAP(list("abcd"), class_metrics=True), [*results[::-1], *results], [*targets[::-1], *targets], 7)
    assert first == again


def one_image(found, true, difficult=None):
    """Boxes 10 wide at the given places; scores fall from one to the next."""
    boxes = lambda places: torch.tensor([[x, 0.0, x + 10, 10] for x in places]).reshape(-1, 4)  # noqa: E731
    result = {
        "boxes": boxes(found),
        "scores": torch.arange(len(found), 0, -1) / 100,
        "labels": torch.zeros(len(found)).long(),
    }
    target = {"image_id": 0, "boxes": boxes(true), "labels": torch.zeros(len(true)).long()}
    return [result], [target | ({} if difficult is None else {"difficult": torch.tensor(difficult)})]


@pytest.mark.parametrize(
    ("found", "true", "difficult", "eleven", "area"),
    [
        ([0, 20], [0, 20], None, 1, 1),
        ([0, 50, 20], [0, 20], None, (6 + 5 * 2 / 3) / 11, 0.5 + 0.5 * 2 / 3),  # right, wrong, right
        ([0, 1, 20], [0, 20], None, (6 + 5 * 2 / 3) / 11, 0.5 + 0.5 * 2 / 3),  # a double is wrong
        ([0, 20, 50], [0, 20], None, 1, 1),  # wrong behind all that was to be found
        ([50, 0], [0, 20], None, 6 * 0.5 / 11, 0.5 * 0.5),
        ([0], [0, 20, 40, 60], None, 3 / 11, 0.25),  # levels 0, 0.1 and 0.2
        ([20, 21, 0], [0, 20], [False, True], 1, 1),  # difficult: neither asked for nor wrong
        ([], [0], None, 0, 0),
        ([70], [0], None, 0, 0),
        ([5], [0], None, 0, 0),  # IoU 1 / 3
        ([], [], None, math.nan, math.nan),
        ([0], [], None, math.nan, math.nan),
        ([0], [0], [True], math.nan, math.nan),
    ],
)
def test_cases_by_hand(found, true, difficult, eleven, area):
    values = measured(VocAP(["a"]), *one_image(found, true, difficult))
    assert values == pytest.approx({"box_AP50_11_point": eleven, "box_AP50_area": area}, nan_ok=True)


def test_an_overlap_of_exactly_a_half_is_enough():
    results, targets = one_image([0], [0])
    results[0]["boxes"] = torch.tensor([[0.0, 0.0, 10.0, 5.0]])
    assert measured(VocAP(["a"]), results, targets)["box_AP50_area"] == 1


def test_a_box_of_one_pixel_and_one_of_none():
    results, targets = one_image([0], [0])
    targets[0]["boxes"] = torch.tensor([[3.0, 3.0, 4.0, 4.0]])
    results[0] = {name: value.repeat_interleave(2, 0) for name, value in results[0].items()}
    results[0]["boxes"] = torch.tensor([[3.0, 3.0, 3.0, 3.0], [3.0, 3.0, 4.0, 4.0]])
    results[0]["scores"] = torch.tensor([0.2, 0.9])
    assert measured(VocAP(["a"]), results, targets)["box_AP50_area"] == 1


def test_classes_one_by_one():
    """A class without objects is out of the mean."""
    values = measured(VocAP(["dog", "cat"], class_metrics=True), *one_image([0], [0]))
    expected = {"box_AP50_11_point": 1, "box_AP50_11_point/dog": 1, "box_AP50_11_point/cat": math.nan}
    expected |= {"box_AP50_area": 1, "box_AP50_area/dog": 1, "box_AP50_area/cat": math.nan}
    assert values == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("result", "target", "message"),
    [
        ({"boxes": torch.zeros(2, 4)}, {}, "2 'boxes' for 1 labels"),
        ({"labels": torch.tensor([2])}, {}, "label 2"),
        ({}, {"difficult": torch.zeros(2)}, "2 'difficult' for 1 labels"),
        ({}, {"boxes": torch.zeros(1, 5)}, "'boxes' of a target has shape"),
    ],
)
def test_bad_input_is_told(result, target, message):
    results, targets = one_image([0], [0])
    with pytest.raises(InputError, match=message):
        VocAP(["a"]).update([results[0] | result], [targets[0] | target])
