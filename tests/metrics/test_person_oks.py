"""Key points that come person by person have the numbers of pictures."""

import pytest
import torch

from res2net.errors import InputError
from res2net.metrics.oks import OksAP, PersonOksAP

SIGMAS = (0.05, 0.07, 0.1)


def scenes(count=6):
    """Pictures with up to three people, one of them in a crowd, and what was found for each of the others."""
    random = torch.Generator().manual_seed(3)
    pictures = []
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
        }
        pictures.append(({name: value[~crowd] for name, value in found.items()}, target))
    return pictures


def test_they_are_those_of_pictures():
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
    assert single.picture == []


def test_a_person_needs_a_number():
    (result, target) = scenes(1)[0]
    with pytest.raises(InputError, match="A target has no 'person'"):
        PersonOksAP(SIGMAS, "ground truth", ("a", "b")).update([result], [target])
