"""Results in COCO's format."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from res2net.errors import InputError
from res2net.images import DataSettings
from res2net.tasks.objects.coco_results import (
    category_numbers,
    image_numbers,
    listed_results,
)
from res2net.tasks.objects.formats import open_objects
from res2net.tasks.objects.keypoints.oks import OksAP
from res2net.tasks.objects.options import ObjectEvalOptions
from res2net.tasks.objects.result import Objects


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["000000397133.jpg", "000000000042.jpg"], [397133, 42]),
        (["COCO_val2014_000000000042.jpg", "b/7.png"], [42, 7]),
        (["7.png", "cat.png"], [0, 1]),  # one has none
        (["a/7.png", "b/07.png"], [0, 1]),  # of the same number
        (["9" * 30 + "1.png"], [999999999999999991]),
        ([], []),
    ],
)
def test_images_have_the_number_of_their_name(names, numbers):
    assert image_numbers([Path(name) for name in names]) == numbers


def test_classes_have_the_numbers_of_the_data_set_or_count_from_one():
    assert category_numbers(2, [3, 90]) == [3, 90]
    assert category_numbers(2, []) == [1, 2]


def test_all_that_was_found_is_listed():
    mask = {"size": [2, 3], "counts": "06"}
    names = ("a", "b", "object")
    one = Objects(torch.tensor([[1.0, 2, 4, 6]]), torch.tensor([1]), names, torch.tensor([0.5]), [mask])
    other = Objects(torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([0]), names, torch.tensor([0.25]))
    other = replace(other, points=torch.tensor([[[1.0, 2.0, 0.75]]]))
    found = listed_results([(42, one), (7, one.select([])), (8, other)], ["a", "b"], [3, 90])
    assert found == [
        {"image_id": 42, "category_id": 90, "score": 0.5, "bbox": [1.0, 2.0, 3.0, 4.0], "segmentation": mask},
        {"image_id": 8, "category_id": 3, "score": 0.25, "bbox": [0.0, 0.0, 1.0, 1.0], "keypoints": [0.5, 1.5, 0.75]},
    ]
    with pytest.raises(InputError, match="The class of these objects is not known"):
        listed_results([(1, replace(other, labels=torch.tensor([2])))], ["a", "b"], [3, 90])


def test_two_classes_of_one_name_keep_their_categories():
    found = Objects(torch.tensor([[0.0, 0, 1, 1]] * 3), torch.tensor([1, 0, 2]), ["part", "part", "b"], torch.ones(3))
    entries = listed_results([(1, found)], ["part", "part", "b"], [7, 3, 5])
    assert [entry["category_id"] for entry in entries] == [3, 7, 5]
    assert [one["label"] for one in found.to_dict()["objects"]] == ["part (1)", "part (0)", "b"]
    assert [row[0] for row in found.rows()] == ["part (1)", "part (0)", "b"]


def test_indices_become_categories(tmp_path):
    task, source = SimpleNamespace(class_names=["a", "b"]), SimpleNamespace(category_ids=[3, 90])
    metric = SimpleNamespace(detections=lambda: [{"image_id": 1, "category_id": 1, "score": 1.0}])
    ObjectEvalOptions(results=str(tmp_path / "new" / "found.json")).finish(task, source, metric)
    assert json.loads((tmp_path / "new" / "found.json").read_text()) == [
        {"image_id": 1, "category_id": 90, "score": 1.0}
    ]


def test_key_points_of_a_file_come_back_as_they_were(tmp_path):
    """Read as targets, found exactly, and written in both ways."""
    points = [[0, 0, 2], [5, 0, 1], [9, 7, 2], [4, 3, 2]]  # the first and the last pixels of 10 x 8
    annotation = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [0, 0, 10, 8], "area": 80, "iscrowd": 0}
    content = {
        "images": [{"id": number, "file_name": f"{number}.png", "width": 10, "height": 8} for number in (7, 8)],
        "annotations": [annotation | {"keypoints": [value for point in points for value in point], "num_keypoints": 4}],
        "categories": [{"id": 3, "name": "fish", "keypoints": list("abcd"), "skeleton": []}],
    }
    content["annotations"].append(content["annotations"][0] | {"id": 2, "image_id": 8})
    (tmp_path / "person_keypoints.json").write_text(json.dumps(content))
    for number in (7, 8):
        Image.new("RGB", (10, 8)).save(tmp_path / f"{number}.png")
    labels = ("boxes", "labels", "keypoints", "visibility")
    images, _, _ = open_objects(tmp_path / "person_keypoints.json", labels, settings=DataSettings(val_fraction=0.5))
    target = images.target(0)
    places = target["keypoints"].as_subclass(torch.Tensor)
    assert torch.equal(places.floor(), torch.tensor(points)[None, :, :2])  # within the pixel
    metric = OksAP((0.05,) * 4, "detected", images.class_names)
    metric.update([{"scores": torch.ones(1), "labels": torch.tensor([0]), "keypoints": places}], [target])
    (kept,) = metric.detections()
    assert kept["keypoints"] == [value for x, y, _ in points for value in (x, y, 1)]
    found = Objects(
        torch.tensor([[0.0, 0, 10, 8]]),
        torch.tensor([0]),
        ["fish"],
        torch.ones(1),
        points=torch.cat([places, torch.ones(1, 4, 1)], -1),
    )
    (listed,) = listed_results([(7, found)], ["fish"], [3])
    assert listed["keypoints"] == kept["keypoints"]
