"""SimpleBaseline evaluated in the boxes of a detector: which samples there are, what they are worth, what is missed."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from PIL import Image

import res2net
from res2net.errors import InputError
from res2net.images import collate
from res2net.images.shapes.dataset import CLASS_NAMES, POINTS, Shapes
from res2net.images.sources import DataSource
from res2net.tasks.objects.data.boxes import ObjectBox
from res2net.tasks.objects.keypoints.task import Keypoints, KeypointsOptions
from res2net.weights import Preprocessing


@pytest.fixture(scope="module")
def scenes():
    """Images of 72 pixels with two things."""
    labels = [label for label in Keypoints.labels if label not in ("crowd", "area")]
    train, val = (
        Shapes(4, size=72, things=2, sizes=(0.3, 0.6), split=split, labels=labels, keep=True)
        for split in ("train", "val")
    )
    look = Preprocessing(size=64, crop=1.0, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    return DataSource("scenes", train, val, CLASS_NAMES, look, keypoints=POINTS)


@pytest.fixture
def task(scenes):
    options = KeypointsOptions(crop=(64, 48), channels=16, flip_test=False, sigma=1.5)
    create = partial(res2net.create_model, "res2net20_26w_4s_tiny")
    return Keypoints.build(create, scenes, scenes.preprocessing, options).eval()


def true_boxes(scenes, score=0.8, grown=1.0):
    """For each image its boxes, which a detector might have drawn larger."""
    found = []
    for index in range(len(scenes.val)):
        target = scenes.val[index][1]
        boxes = target["boxes"].as_subclass(torch.Tensor)
        middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2 * grown
        edges = torch.cat([middle - half, middle + half], 1).tolist()
        pairs = zip(edges, target["labels"].tolist(), strict=True)
        found.append([ObjectBox(tuple(box), label, score) for box, label in pairs])
    return found


class Knowing(torch.nn.Module):
    """Not a network: for each crop the heat maps of the object whose box is nearest."""

    stride = 4

    def __init__(self, task):
        super().__init__()
        self.task, self.noted = task, None

    def forward(self, images):
        from res2net.tasks.objects.keypoints.crops import inverse_matrix, move_points

        points = []
        for box, matrix, truth in zip(self.noted["box"], self.noted["matrix"], self.noted["truth"], strict=True):
            boxes = truth["boxes"].as_subclass(torch.Tensor)
            nearest = (boxes - box).abs().sum(1).argmin()
            points.append(move_points(inverse_matrix(matrix), truth["keypoints"][nearest].as_subclass(torch.Tensor)))
        points = torch.stack(points)
        return self.task.top_down.codec.encode(points, torch.full(points.shape[:2], 2))[0]


def evaluated(task, samples, batch=3):
    """The numbers of the task where its network finds all that is in its crops, and the scores."""
    metric, knowing = task.metric(), Knowing(task)
    task.model, scores = knowing, []
    for start in range(0, len(samples), batch):
        images, targets = collate([samples[place] for place in range(start, min(start + batch, len(samples)))])
        knowing.noted = targets
        scores.append(task.validate(images, targets, metric)["score"])
    return metric.compute(), torch.cat(scores)


def test_the_boxes_of_a_detector_are_the_samples(task, scenes):
    boxes = true_boxes(scenes, grown=1.3)
    samples = task.top_down.use_boxes(scenes, boxes)
    assert len(samples) == sum(map(len, boxes)) > 4
    assert (task.scoring.note, task.scoring.samples) == ("in detected boxes", "crops")
    assert task.metric().describe() == "OKS-AP of 5 keypoints in detected boxes"
    numbers, scores = evaluated(task, samples)
    assert numbers["keypoint_AP"] == pytest.approx(1.0)
    torch.testing.assert_close(scores, torch.full((len(samples),), 0.8), atol=0.1, rtol=0)


def test_a_score_is_that_of_the_points_times_that_of_the_box(task, scenes):
    _, sure = evaluated(task, task.top_down.use_boxes(scenes, true_boxes(scenes, 1.0)))
    _, unsure = evaluated(task, task.top_down.use_boxes(scenes, true_boxes(scenes, 0.25)))
    torch.testing.assert_close(unsure, sure / 4)


def test_two_boxes_around_one_object_count_once(task, scenes):
    """The second, which is less sure, would be a false detection between the true ones."""
    boxes = true_boxes(scenes)
    doubles = [[*found, *(ObjectBox(one.box, one.label, 0.7) for one in found)] for found in boxes[:3]] + boxes[3:]
    samples = task.top_down.use_boxes(scenes, doubles)
    assert len(samples) == sum(map(len, doubles)) > sum(map(len, boxes))
    numbers, _ = evaluated(task, samples)
    assert numbers["keypoint_AP"] == pytest.approx(1.0)


def test_people_without_a_box_are_missed(task, scenes):
    boxes = true_boxes(scenes)
    boxes[1] = []  # nothing in this image
    del boxes[2][0]  # and one thing less in this one
    labels = [scenes.val[index][1]["labels"].tolist() for index in range(4)]
    numbers, _ = evaluated(task, task.top_down.use_boxes(scenes, boxes))
    recall = []
    for label in {one for image in labels for one in image}:
        found = [one.label for image in boxes for one in image].count(label)
        recall.append(found / sum(image.count(label) for image in labels))
    assert sum(recall) < len(recall)
    assert numbers["keypoint_AR"] == pytest.approx(sum(recall) / len(recall))


def test_boxes_beside_their_image_are_of_other_images(task, scenes):
    boxes = true_boxes(scenes)
    boxes[2].append(ObjectBox((72, 3, 90, 9), 0, 0.5))
    with pytest.raises(InputError, match=r"A box of image 2 lies outside of its 72 x 72 pixels \(left 72, top 3\)"):
        task.top_down.use_boxes(scenes, boxes)
    assert task.scoring.note == "in ground truth boxes"


def test_of_objects_that_are_nearly_the_same_the_best_stays(task):
    def one(score, shift=0.0, label=0):
        points = [[[10.0 * point + shift, 5.0 * point] for point in range(5)]]
        found = {"keypoints": torch.tensor(points), "keypoint_scores": torch.full((1, 5), 0.9)}
        box = {"boxes": torch.tensor([[0.0, 0.0, 40.0, 20.0]]), "labels": torch.tensor([label])}
        return task.objects(found | box | {"scores": torch.tensor([score])})

    objects = [one(0.5), one(0.9, 0.2), one(0.4, 30.0), one(0.3, 0.0, 1)]
    merged = task.top_down.merge(objects)
    assert merged.to_dict()["objects"] == [found for one in objects[1:] for found in one.to_dict()["objects"]]
    assert merged.to_dict()["objects"][2]["label"] == CLASS_NAMES[1]
    assert task.top_down.merge([]).to_dict() == {"objects": []}
    assert task.top_down.merge([]).draw(Image.new("RGB", (20, 10))).size == (640, 320)
