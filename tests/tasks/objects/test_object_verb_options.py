"""Options of prediction and evaluation that the tasks which find objects have of their own."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch
from PIL import Image

import res2net
from res2net.errors import InputError
from res2net.images.samples import collate
from res2net.images.shapes.dataset import CLASS_NAMES, POINTS, Shapes
from res2net.images.sources import DataSource
from res2net.task.base import TASKS
from res2net.tasks.objects.data.boxes import ObjectBox
from res2net.tasks.objects.detect import options as detect
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.tasks.objects.instance import options as instance
from res2net.tasks.objects.keypoints import options as keypoints
from res2net.weights import Preprocessing

HEAD = DetectorOptions(
    fpn_channels=16, head_channels=16, proposals=20, proposals_train=20, anchor_sizes=(8, 16, 32, 64), detections=5
)
LABELS = ("boxes", "labels", "masks", "keypoints", "visibility")


@pytest.fixture(scope="module")
def scenes():
    """Images of 64 pixels with one thing each."""
    train, val = (Shapes(3, size=64, sizes=(0.3, 0.6), split=split, labels=LABELS) for split in ("train", "val"))
    look = Preprocessing(size=64, crop=1.0, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    return DataSource("scenes", train, val, CLASS_NAMES, look, keypoints=POINTS, category_ids=tuple(range(20, 36)))


@pytest.fixture
def make(scenes):
    """A function that builds a task whose detector finds something everywhere."""

    def build(name, **options):
        chosen = TASKS[name].Options(head=HEAD, max_size=96, **options)
        create = partial(res2net.create_model, "res2net20_26w_4s_tiny")
        return TASKS[name].build(create, scenes, scenes.preprocessing, chosen).eval()

    return build


@pytest.fixture
def photos(tmp_path):
    """Three images with numbers at the end of their names."""
    paths = [tmp_path / f"photo_{number:06d}.png" for number in (7, 42, 9)]
    for path, colour in zip(paths, ("grey", "red", "blue"), strict=True):
        Image.new("RGB", (60, 40), colour).save(path)
    return paths


def test_the_objects_of_a_prediction_are_written_after_the_last_image(make, photos, tmp_path):
    task, file = make("detect"), tmp_path / "found.json"
    found = []
    for one in detect.PredictOptions(coco=str(file)).predict(task, photos, accelerator="cpu"):
        assert not file.exists()
        found.append(one)
    entries = json.loads(file.read_text())
    assert len(entries) == sum(len(one.result.boxes) for one in found) > 0
    assert {one["image_id"] for one in entries} == {7, 42, 9}
    assert {one["category_id"] for one in entries} <= set(range(20, 36))
    first = found[0].result.to_dict()["objects"][0]
    assert (entries[0]["bbox"], entries[0]["score"]) == (first["box"], first["score"])


def test_without_a_file_nothing_is_written(make, photos, tmp_path):
    list(instance.PredictOptions().predict(make("instance"), photos[:1], accelerator="cpu"))
    assert sorted(tmp_path.iterdir()) == sorted(photos)


@pytest.fixture
def boxes(tmp_path):
    """COCO's results: two boxes in image 7, a weak one in image 9, nothing in image 42."""
    entries = [
        {"image_id": image_id, "category_id": 20, "bbox": box, "score": score}
        for image_id, box, score in ((7, [5, 5, 30, 30], 0.9), (7, [30, 4, 20, 30], 0.8), (9, [9, 9, 20, 20], 0.2))
    ]
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps(entries))
    return str(file)


def test_key_points_are_looked_for_in_given_boxes(make, photos, boxes):
    task = make("keypoints", crop=(64, 48), channels=16)
    chosen = keypoints.PredictOptions(boxes=boxes, box_score=0.5)
    found = list(chosen.predict(task, photos, batch_size=2, accelerator="cpu"))
    assert [one.name for one in found] == [str(path) for path in photos]
    assert [len(one.result.boxes) for one in found] == [2, 0, 0]
    assert found[0].result.boxes.tolist() == [[5, 5, 35, 35], [30, 4, 50, 34]]
    assert found[0].result.to_dict()["objects"][0]["label"] == CLASS_NAMES[0]
    assert found[1].result.draw().size == (600, 400)  # it remembers its image
    assert found[0].result.path == photos[0]


def test_a_broken_image_with_boxes_is_skipped(make, photos, boxes):
    photos[0].write_bytes(b"none")
    task = make("keypoints", crop=(64, 48), channels=16)
    chosen = keypoints.PredictOptions(boxes=boxes)
    found = list(chosen.predict(task, photos, bad_images="skip", accelerator="cpu"))
    assert [one.result is None for one in found] == [True, False, False]
    assert found[0].reason
    assert len(found[2].result.boxes) == 1


def test_a_network_that_finds_its_own_boxes_takes_none(make, photos, boxes):
    task = make("keypoints", detector="keypoint_rcnn")
    with pytest.raises(InputError, match="Only keypoints with simple_baseline looks into given boxes"):
        keypoints.PredictOptions(boxes=boxes).predict(task, photos)
    with pytest.raises(InputError, match="Only keypoints with simple_baseline looks into given boxes"):
        keypoints.EvalOptions(boxes=boxes).prepare(task)
    keypoints.EvalOptions().prepare(task)


def test_an_evaluation_may_look_into_given_boxes(make, scenes, tmp_path):
    entries = [{"image_id": 1, "category_id": 21, "bbox": [5, 5, 30, 30], "score": 0.75}]
    (tmp_path / "boxes.json").write_text(json.dumps(entries))
    task = make("keypoints", crop=(64, 48), channels=16)
    chosen = keypoints.EvalOptions(boxes=str(tmp_path / "boxes.json"))
    chosen.prepare(task)
    samples = chosen.samples(task, scenes)
    assert (len(samples), task.scoring.note, task.scoring.samples) == (1, "in detected boxes", "crops")
    assert samples.dataset.pairs == [(1, ObjectBox((5, 5, 35, 35), 1, 0.75))]
    assert len(keypoints.EvalOptions().samples(make("keypoints", crop=(64, 48)), scenes)) == 3


def test_another_metric_may_be_chosen(make):
    task = make("detect")
    detect.EvalOptions().prepare(task)
    assert task.scoring.monitor == "box_AP"
    detect.EvalOptions(metric="voc07").prepare(task)
    assert (task.scoring.monitor, task.options.metric) == ("box_AP50_11_point", "voc07")
    detect.EvalOptions(metric="coco", results="found.json").prepare(task)
    assert task.scoring.monitor == "box_AP"
    sentence = "The task detect has no results in COCO's format with the metric voc: leave out --results, or add"
    with pytest.raises(InputError, match=sentence):
        detect.EvalOptions(metric="voc", results="found.json").prepare(task)


def test_what_an_evaluation_found_is_written(make, scenes, tmp_path):
    task = make("instance")
    metric = task.metric()
    samples = instance.EvalOptions().samples(task, scenes)
    with torch.inference_mode():
        task.validate(*collate([samples[index] for index in range(3)]), metric)
    instance.EvalOptions().finish(task, scenes, metric)
    file = tmp_path / "found.json"
    instance.EvalOptions(results=str(file)).finish(task, scenes, metric)
    entries = json.loads(file.read_text())
    assert entries
    assert {one["category_id"] for one in entries} <= set(range(20, 36))
    assert set(entries[0]) >= {"image_id", "bbox", "score", "segmentation"}
