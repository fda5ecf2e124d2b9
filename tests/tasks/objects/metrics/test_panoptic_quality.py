"""Panoptic quality is that of panopticapi's loops."""

import math
from collections import defaultdict

import pytest
import torch

from res2net.errors import InputError
from res2net.tasks.objects.panoptic.metric import PanopticQuality

THINGS, STUFF = ["dog", "cat", "cow"], ["sky", "sea"]


def naive(results, targets):
    """For each class its sum of IoU, matches, wrong and missed ones, by panopticapi's loop."""
    iou, true, false, missed = (defaultdict(float) for _ in range(4))
    for result, target in zip(results, targets, strict=True):
        there = {
            place: {"label": label, "crowd": crowd}
            for place, (label, crowd) in enumerate(
                zip(target["labels"].tolist(), target["crowd"].tolist(), strict=True)
            )
            if (target["segments"] == place).any()
        }
        found = {
            place: {"label": label}
            for place, label in enumerate(result["labels"].tolist())
            if (result["segments"] == place).any()
        }
        for segments, image in ((there, target), (found, result)):
            for place, one in segments.items():
                one["area"] = int((image["segments"] == place).sum())
        common = defaultdict(int)
        for pair in zip(target["segments"].flatten().tolist(), result["segments"].flatten().tolist(), strict=True):
            common[pair] += 1
        matched_there, matched_found = set(), set()
        for (place, found_place), intersection in list(common.items()):
            if place not in there or found_place not in found or there[place]["crowd"]:
                continue
            if there[place]["label"] != found[found_place]["label"]:
                continue
            union = found[found_place]["area"] + there[place]["area"] - intersection - common[-1, found_place]
            if intersection / union > 0.5:
                true[there[place]["label"]] += 1
                iou[there[place]["label"]] += intersection / union
                matched_there.add(place)
                matched_found.add(found_place)
        crowds = {}
        for place, one in there.items():
            if place in matched_there:
                continue
            if one["crowd"]:
                crowds[one["label"]] = place
            else:
                missed[one["label"]] += 1
        for place, one in found.items():
            if place in matched_found:
                continue
            forgiven = common[-1, place]
            if one["label"] in crowds:
                forgiven += common[crowds[one["label"]], place]
            if forgiven / one["area"] <= 0.5:
                false[one["label"]] += 1
    values = {}
    for suffix, labels in (("", range(5)), ("_things", range(3)), ("_stuff", range(3, 5))):
        sums, classes = defaultdict(float), 0
        for label in labels:
            if true[label] + false[label] + missed[label] == 0:
                continue
            classes += 1
            of_all = true[label] + 0.5 * false[label] + 0.5 * missed[label]
            sums["PQ"] += iou[label] / of_all
            sums["SQ"] += iou[label] / true[label] if true[label] else 0
            sums["RQ"] += true[label] / of_all
        values |= {f"{name}{suffix}": sums[name] / classes if classes else math.nan for name in ("PQ", "SQ", "RQ")}
    return values


def random_images(seed, images=12, size=(24, 30)):
    """Segments that overlap one another; results are moved, renamed, cut and joined; pixels without a segment."""
    random = torch.Generator().manual_seed(seed)
    whole = lambda low, high: int(torch.randint(low, high, (1,), generator=random))  # noqa: E731
    results, targets = [], []
    for image_id in torch.randperm(99, generator=random)[:images].tolist():
        segments = torch.full(size, -1)
        labels, crowd = [], []
        for place in range(whole(0, 7)):
            top, left = whole(0, 18), whole(0, 22)
            segments[top : top + whole(3, 16), left : left + whole(3, 18)] = place
            labels.append(whole(0, 5))
            crowd.append(
                labels[-1] < 3 and whole(0, 4) == 0 and (labels[-1], True) not in zip(labels, crowd, strict=False)
            )
        found = segments.roll((whole(-2, 3), whole(-2, 3)), (0, 1))
        found_labels = [label if whole(0, 6) else whole(0, 5) for label in labels] + [0]
        if whole(0, 2):
            found[: whole(1, 9)] = len(labels)  # something invented
        if whole(0, 4) == 0:
            found[:, : whole(1, 8)] = -1
        results.append({"segments": found, "labels": torch.tensor(found_labels)})
        targets.append(
            {
                "image_id": image_id,
                "segments": segments,
                "labels": torch.tensor(labels).long(),
                "crowd": torch.tensor(crowd).bool(),
            }
        )
    return results, targets


def measured(results, targets, batch=5):
    metric = PanopticQuality(THINGS, STUFF)
    for start in range(0, len(targets), batch):
        metric.update(results[start : start + batch], targets[start : start + batch])
    return metric.compute()


@pytest.mark.parametrize("seed", range(8))
def test_as_panopticapi_counts(seed):
    results, targets = random_images(seed)
    assert any(target["crowd"].any() for target in targets)
    values = measured(results, targets)
    assert values == pytest.approx(naive(results, targets), abs=1e-9)
    assert 0.1 < values["PQ"] < 0.9


def test_order_of_batches_and_images_that_come_twice_make_no_difference():
    results, targets = random_images(9)
    assert measured(results, targets) == measured([*results[::-1], *results], [*targets[::-1], *targets], batch=7)


def image(*rows):
    """Segments from text: a letter is a segment, "." is none; in order of the letters."""
    letters = sorted(set("".join(rows)) - {"."})
    return torch.tensor([[letters.index(one) if one != "." else -1 for one in row] for row in rows])


def score(found, found_labels, true, labels, crowd=None):
    target = {"image_id": 0, "segments": true, "labels": torch.tensor(labels)}
    if crowd is not None:
        target["crowd"] = torch.tensor(crowd)
    return measured([{"segments": found, "labels": torch.tensor(found_labels)}], [target])


def test_a_match_by_hand():
    """Of ten pixels nine are found: IoU 0.9; a second dog is missed and a sea invented."""
    values = score(image("aaaaaaaaab", "bbbbbbbbbb"), [0, 4], image("aaaaaaaaaa", "bbbbbbbbbb"), [0, 0])
    assert values["SQ_things"] == pytest.approx(0.9)
    assert values["RQ_things"] == pytest.approx(1 / 1.5)
    assert values["PQ_things"] == pytest.approx(0.6)
    assert values["PQ_stuff"] == values["SQ_stuff"] == 0
    assert values["PQ"] == pytest.approx(0.3)


def test_a_half_is_not_enough():
    assert score(image("aaaa...."), [0], image("aaaaaaaa"), [0])["PQ"] == 0
    assert score(image("aaaaa..."), [0], image("aaaaaaaa"), [0])["PQ"] == pytest.approx(5 / 8)


def test_pixels_without_a_true_segment_do_not_count():
    assert score(image("aaaaaaaa"), [0], image("aaa....."), [0])["PQ"] == 1
    only_there = score(image("aaaaaaaa"), [0], image("........"), torch.zeros(0).long().tolist())
    assert all(math.isnan(value) for value in only_there.values())


def test_what_lies_on_a_crowd_is_forgiven_and_a_crowd_is_not_missed():
    true = image("aaaaaabb")
    forgiven = score(image("aaaaaabb"), [0, 3], true, [0, 3], [True, False])
    assert math.isnan(forgiven["PQ_things"])
    assert forgiven["PQ_stuff"] == 1
    other_class = score(image("aaaaaabb"), [1, 3], true, [0, 3], [True, False])
    assert other_class["PQ_things"] == 0


def test_nothing_found_and_nothing_there():
    empty = torch.zeros(0).long().tolist()
    assert score(image("...."), empty, image("aabb"), [0, 3])["PQ"] == 0
    assert all(math.isnan(value) for value in score(image("...."), empty, image("...."), empty).values())


def test_a_segment_of_one_pixel():
    assert score(image("abbb"), [2, 3], image("abbb"), [2, 3])["PQ"] == 1


def test_a_segment_without_pixels_is_none():
    assert score(image("aabb"), [0, 3, 1, 1], image("aabb"), [0, 3, 2])["PQ"] == 1


def test_targets_as_data_sets_give_them():
    """Masks of things, the first on top, over stuff; 255 elsewhere."""
    masks = torch.zeros(2, 2, 4, dtype=torch.bool)
    masks[0, 0, :2] = True
    masks[1, :, 1] = True
    target = {
        "image_id": 3,
        "masks": masks,
        "labels": torch.tensor([2, 0]),
        "crowd": torch.tensor([False, True]),
        "semantic": torch.tensor([[255, 255, 1, 1], [0, 255, 1, 255]]),
    }
    segments = {"image_id": 3, "segments": image("aacc", "dbc."), "labels": torch.tensor([2, 0, 4, 3])}
    segments["crowd"] = torch.tensor([False, True, False, False])
    results = [{"segments": image("aacc", "accd"), "labels": torch.tensor([2, 4, 3])}]
    values = measured(results, [target])
    assert values == measured(results, [segments])
    assert values["PQ_things"] == pytest.approx(2 / 3)


def test_stuff_alone():
    target = {"image_id": 0, "masks": torch.zeros(0, 1, 4), "labels": torch.zeros(0).long()}
    target["semantic"] = torch.tensor([[0, 0, 1, 255]])
    values = measured([{"segments": image("aabb"), "labels": torch.tensor([3, 4])}], [target])
    assert values["PQ_stuff"] == 1
    assert math.isnan(values["PQ_things"])


RESULT = {"segments": torch.zeros(2, 3).long(), "labels": torch.tensor([0])}
TARGET = {"segments": torch.zeros(2, 3).long(), "labels": torch.tensor([0]), "image_id": 0}
SAMPLE = {"masks": torch.zeros(1, 2, 3), "labels": torch.tensor([0]), "semantic": torch.zeros(2, 3), "image_id": 0}


@pytest.mark.parametrize(
    ("result", "target", "message"),
    [
        (RESULT | {"segments": torch.zeros(3, 2).long()}, TARGET, r"'segments' of a result has shape \(3, 2\)"),
        (RESULT | {"segments": torch.ones(2, 3).long()}, TARGET, "'segments' of a result do not fit its 1 labels"),
        (RESULT | {"segments": torch.full((2, 3), -2)}, TARGET, "'segments' of a result do not fit"),
        (RESULT | {"segments": torch.zeros(2, 3)}, TARGET, "give whole numbers"),
        (RESULT | {"labels": torch.tensor([5])}, TARGET, "label 5: labels go from 0 to 4"),
        (RESULT, TARGET | {"segments": torch.ones(2, 3).long()}, "'segments' of a target do not fit"),
        (RESULT, TARGET | {"crowd": torch.zeros(2)}, "2 'crowd' for 1 labels"),
        (RESULT, SAMPLE | {"semantic": torch.full((2, 3), 2)}, "'semantic' has class 2: give 0 to 1, and 255"),
        (RESULT, SAMPLE | {"masks": torch.zeros(1, 3, 3)}, "'masks' of a target has shape"),
        (RESULT, {"image_id": 0, "labels": torch.tensor([0])}, "A target has no 'semantic'"),
    ],
)
def test_bad_input_is_told(result, target, message):
    with pytest.raises(InputError, match=message):
        PanopticQuality(THINGS, STUFF).update([result], [target])
