"""Keypoints that come person by person have the numbers of images, and of pycocotools after OKS-NMS."""

import math

import pytest
import torch
from coco_oracle import imperfect, pycocotools_numbers, synthetic, targets_of

from res2net.errors import InputError
from res2net.tasks.objects.keypoints.oks import OksAP, PersonOksAP

SIGMAS = (0.05, 0.07, 0.1)


def scenes(count=6):
    """Images with up to three people, one of them in a crowd, and what was found for each of the others."""
    random = torch.Generator().manual_seed(3)
    images = []
    for image_id in range(count):
        people = 1 + image_id % 3
        corner = 100 * torch.rand(people, 2, generator=random)
        boxes = torch.cat([corner, corner + 60], 1)
        points = corner[:, None] + 60 * torch.rand(people, 3, 2, generator=random)
        crowd = torch.zeros(people, dtype=torch.bool)
        crowd[2:] = True
        target = {
            "image_id": 50 - image_id,
            "labels": torch.arange(people) % 2,
            "boxes": boxes,
            "keypoints": points,
            "visibility": torch.full((people, 3), 2),
            "crowd": crowd,
        }
        found = {
            "labels": target["labels"],
            "scores": torch.rand(people, generator=random),
            "keypoints": points + 4 * torch.randn(people, 3, 2, generator=random),
            "crop_area": torch.ones(people),  # so small that no two poses are alike
        }
        images.append(({name: value[~crowd] for name, value in found.items()}, target))
    return images


def test_they_are_those_of_images():
    names = ("man", "woman")
    whole, single = OksAP(SIGMAS, "ground truth", names), PersonOksAP(SIGMAS, "ground truth", names)
    people = []
    for result, target in scenes():
        whole.update([result], [target])
        people += [
            ({name: value[place : place + 1] for name, value in result.items()}, target)
            for place in range(len(result["scores"]))
        ]
    order = torch.randperm(len(people), generator=torch.Generator().manual_seed(0)).tolist()
    for person in [*order, order[0]]:  # one of them twice, which counts once
        result, target = people[person]
        single.update([result], [target | {"person": person}])
    expected = whole.compute()
    assert 0.1 < expected["keypoint_AP"] < 0.9
    assert single.compute() == pytest.approx(expected, nan_ok=True)
    single.reset()
    assert single.lines == []


def test_a_person_needs_a_number():
    (result, target) = scenes(1)[0]
    with pytest.raises(InputError, match="A target has no 'person'"):
        PersonOksAP(SIGMAS, "ground truth", ("a", "b")).update([result], [target])


def without_doubles(result, threshold=0.9):
    """What the published code keeps of an image: the surest first, and nothing that is like one before."""
    kept = []
    for place in result["scores"].argsort(descending=True, stable=True).tolist():
        alike = [one for one in kept if similarity(result, one, place) > threshold]
        if not any(result["labels"][one] == result["labels"][place] for one in alike):
            kept.append(place)
    return {name: value[sorted(kept)] for name, value in result.items()}


def similarity(result, one, two):
    area = (result["crop_area"][one] + result["crop_area"][two]).item() / 2
    apart = (result["keypoints"][one] - result["keypoints"][two]).square().sum(-1).tolist()
    return sum(math.exp(-d / (2 * area * (2 * sigma) ** 2)) for d, sigma in zip(apart, SIGMAS, strict=True)) / 3


@pytest.mark.parametrize("seed", range(3))
def test_detected_boxes_have_pycocotools_numbers(seed):
    """Box by box in any order, with doubles, false boxes, and images without boxes whose people are missed."""
    dataset = synthetic(seed, count=20, classes=2, points=3)
    targets = targets_of(dataset)
    results = imperfect(targets, 2, seed)
    seen = [place for place, target in enumerate(targets) if (target["visibility"] > 0).any()]
    for place in seen[:2]:
        results[place] = {name: value[:0] for name, value in results[place].items()}
    for result in results:
        result["crop_area"] = 1.5 * (result["boxes"][:, 2:] - result["boxes"][:, :2]).prod(1)
    kept = [without_doubles(result) for result in results]
    assert sum(len(one["scores"]) for one in kept) < sum(len(one["scores"]) for one in results)
    boxless = [target for target, result in zip(targets, results, strict=True) if not len(result["scores"])]
    assert any((target["visibility"] > 0).any() for target in boxless)
    metric = PersonOksAP(SIGMAS, "detected", ("class 0", "class 1"), boxless)
    assert metric.describe() == "OKS-AP of 3 keypoints in detected boxes"
    people = [
        ({name: value[place : place + 1] for name, value in result.items()}, target)
        for target, result in zip(targets, results, strict=True)
        for place in range(len(result["scores"]))
    ]
    for number, (result, target) in enumerate(people):
        metric.update([result], [target | {"person": number}])
    found = list(metric.compute().values())
    expected, _ = pycocotools_numbers("keypoints", dataset, targets, kept, SIGMAS)
    assert found == pytest.approx([math.nan if one == -1 else one for one in expected], abs=1e-6, nan_ok=True)
    assert 0.1 < found[0] < 0.9


def test_a_result_needs_the_area_that_was_seen():
    result, target = scenes(1)[0]
    result.pop("crop_area")
    with pytest.raises(InputError, match="A result has no 'crop_area'"):
        PersonOksAP(SIGMAS, "detected", ("a", "b")).update([result], [target | {"person": 0}])
