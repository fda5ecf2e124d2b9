"""Keypoints of drawn scenes, top-down and with detected boxes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from PIL import Image

import res2net
from res2net.engine.callbacks import save_task
from res2net.engine.config import TrainConfig
from res2net.engine.restore import restore_task
from res2net.errors import InputError
from res2net.images import collate
from res2net.images.keypoints import Keypoints as Points
from res2net.images.keypoints import mirrored_order
from res2net.images.shapes.dataset import CLASS_NAMES, POINTS, Shapes
from res2net.images.shapes.scene import Thing, draw_scene
from res2net.images.sources import DataSource
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.tasks.objects.keypoints.task import Keypoints, KeypointsOptions
from res2net.weights import Preprocessing

HEAD = DetectorOptions(
    anchor_sizes=(12.0, 24.0, 48.0, 96.0),
    fpn_channels=16,
    head_channels=32,
    proposals_train=40,
    proposals=20,
    anchors_per_image=16,
    rois_per_image=16,
)
KINDS = ("simple_baseline", "keypoint_rcnn")


@pytest.fixture(scope="module")
def scenes():
    """Images of 72 pixels with one or two things, four to train and three to validate."""
    train, val = (
        Shapes(length, size=72, things=(1, 2), sizes=(0.3, 0.6), split=split, labels=labels(), keep=True)
        for split, length in (("train", 4), ("val", 3))
    )
    look = Preprocessing(size=64, crop=1.0, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    return DataSource("scenes", train, val, CLASS_NAMES, look, keypoints=POINTS)


def labels():
    return [label for label in Keypoints.labels if label not in ("crowd", "area")]


@pytest.fixture
def make(scenes):
    """A function that builds the task with a detector."""

    def build(detector="simple_baseline", source=scenes, **options):
        chosen = KeypointsOptions(detector=detector, crop=(64, 48), channels=16, head=HEAD, **options)
        create = partial(res2net.create_model, "res2net20_26w_4s_tiny", zero_init_last=False)
        return Keypoints.build(create, source, source.preprocessing, chosen)

    return build


def batch(task, scenes, train=False, count=None):
    samples = task.datasets(scenes)[0 if train else 1]
    return collate([samples[index] for index in range(count or len(samples))])


def evaluated(task, images, targets):
    metric = task.metric()
    task.validate(images, targets, metric)
    return metric.compute()


@pytest.mark.parametrize(("kind", "boxes"), [(KINDS[0], "ground truth"), (KINDS[1], "detected")])
def test_whose_boxes_were_used_is_said(make, kind, boxes):
    task = make(kind)
    assert (task.top_down is not None) == (kind == "simple_baseline")
    assert task.metric().describe() == f"OKS-AP of 5 keypoints in {boxes} boxes"
    assert task.scoring.note == f"in {boxes} boxes"
    assert task.scoring.samples == ("objects" if task.top_down else "images")


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_steps_lower_the_loss(make, scenes, kind):
    task = make(kind, rotate=0.0, flip=0.0, crop_scale=0.0).train().to(memory_format=torch.channels_last)
    images, targets = batch(task, scenes, train=True)
    images = images.to(memory_format=torch.channels_last)  # as training does
    optimizer = torch.optim.AdamW(task.parameters(), lr=3e-3)
    totals = []
    for _ in range(8):
        torch.manual_seed(0)
        total = torch.stack(list(task.losses(images, targets).values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.8 * totals[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_gives_the_same_results(make, scenes, kind, tmp_path):
    task = make(kind, flip_test=False, sigma=1.25, refine="quarter").eval()
    save_task(tmp_path / "best.safetensors", task, {}, TrainConfig("keypoints", "scenes", task.options))
    again, _ = restore_task(tmp_path / "best.safetensors", name="keypoints")
    assert type(again.top_down) is type(task.top_down)
    assert (again.options, again.keypoints, again.class_names) == (task.options, POINTS, CLASS_NAMES)
    images, targets = batch(task, scenes)
    with torch.no_grad():
        found, expected = again.predict(images, targets), task.predict(images, targets)
    assert [one.to_dict() for one in found] == [one.to_dict() for one in expected]


def test_true_heat_maps_are_perfect(make, scenes):
    """Also for objects of one image in different batches, and in images that are no crops."""
    task = make(flip_test=False, sigma=1.5).eval()
    samples = task.datasets(scenes)[1]
    assert len(samples) > len(scenes.val)
    metric = task.metric()
    found = []
    for index in range(len(samples)):
        images, targets = collate([samples[index]])
        task.model = Fixed(task.top_down.codec.encode(targets["keypoints"], targets["visibility"])[0])
        found += task.detections(images, targets)
        records = task.validate(images, targets, metric)
        assert records["score"] > 0.8
    assert metric.compute()["keypoint_AP"] == 1.0
    (image, place), result = samples.dataset.people[0], found[0]
    truth = scenes.val[image][1]
    points = truth["keypoints"][place].as_subclass(torch.Tensor)
    torch.testing.assert_close(result["keypoints"][0], points, atol=1, rtol=0)
    torch.testing.assert_close(result["boxes"][0], truth["boxes"][place].as_subclass(torch.Tensor))


class Fixed(torch.nn.Module):
    """Not a network: always the same heat maps."""

    stride = 4

    def __init__(self, heatmaps):
        super().__init__()
        self.heatmaps = heatmaps

    def forward(self, images):
        return self.heatmaps


def test_the_flip_test_sees_mirrored_points(make, scenes):
    """A network that knows mirrored crops only: both halves of the mean must find the same places."""
    task = make(flip_test=True, sigma=1.5).eval()
    images, targets = batch(task, scenes)
    maps = task.top_down.codec.encode(targets["keypoints"], targets["visibility"])[0]
    once, order = [], mirrored_order(len(POINTS), POINTS.flips)

    class Model(torch.nn.Module):
        stride = 4

        def forward(self, seen):
            once.append(seen)
            return maps if len(once) % 2 else maps.flip(-1)[:, order]

    task.model = Model()
    assert evaluated(task, images, targets)["keypoint_AP"] == 1.0
    assert torch.equal(once[1], images.flip(-1))


def test_a_whole_image_is_the_box_of_one_object(make):
    task = make().eval()
    full_image = Image.new("RGB", (120, 90), "grey")
    image, noted = task.transform(False)(full_image, {"index": 0, "label": 0})
    assert image.shape == (3, 64, 48)
    with torch.no_grad():
        (result,) = task.predict(*collate([(image, noted)]))
    (found,) = result.to_dict()["objects"]
    assert found["label"] == "object"
    assert found["box"] == [0, 0, 120, 90]
    assert len(found["keypoints"]) == 3 * len(POINTS)
    assert result.rows()[0][0] == "object"
    assert result.draw(full_image).size == (600, 450)


def test_the_only_class_has_its_name(make, scenes):
    task = make(source=replace(scenes, class_names=("person",))).eval()
    sample = task.transform(False)(Image.new("RGB", (30, 40)), {"index": 0, "label": 0})
    with torch.no_grad():
        (result,) = task.predict(*collate([sample]))
    assert result.to_dict()["objects"][0]["label"] == "person"


def true_detections(targets):
    """What a perfect detector finds in images of these sizes."""
    found = []
    for truth, now, before in zip(targets["truth"], targets["size_now"], targets["original_size"], strict=True):
        scale = torch.tensor([now[1] / before[1], now[0] / before[0]])
        count = len(truth["labels"])
        found.append(
            {
                "boxes": truth["boxes"].as_subclass(torch.Tensor) * scale.repeat(2),
                "labels": truth["labels"],
                "scores": torch.linspace(0.9, 0.6, count),
                "keypoints": truth["keypoints"].as_subclass(torch.Tensor) * scale,
                "keypoint_scores": torch.ones(count, len(POINTS)),
            }
        )
    return found


def test_true_detections_are_perfect_in_pixels_of_the_file(make, scenes, monkeypatch):
    task = make("keypoint_rcnn").eval()
    images, targets = batch(task, scenes)
    assert targets["size_now"][0] != targets["original_size"][0]
    monkeypatch.setattr(task.model, "detect", lambda images, sizes: true_detections(targets))
    assert evaluated(task, images, targets)["keypoint_AP"] == 1.0
    results = task.predict(images, targets)
    points = torch.tensor(results[0].to_dict()["objects"][0]["keypoints"]).view(-1, 3)[:, :2]
    torch.testing.assert_close(points, scenes.val[0][1]["keypoints"][0].as_subclass(torch.Tensor))


def test_nothing_found_is_no_precision(make, scenes, monkeypatch):
    task = make("keypoint_rcnn").eval()
    images, targets = batch(task, scenes)
    nothing = [{name: value[:0] for name, value in one.items()} for one in true_detections(targets)]
    monkeypatch.setattr(task.model, "detect", lambda images, sizes: nothing)
    assert evaluated(task, images, targets)["keypoint_AP"] == 0.0
    results = task.predict(images, targets)
    assert [one.to_dict() for one in results] == [{"objects": []}] * len(images)
    assert results[0].rows() == []


def test_data_without_key_points_are_refused(make, scenes):
    for kind in KINDS:
        with pytest.raises(InputError, match="The data have no keypoints: give"):
            make(kind, source=replace(scenes, keypoints=None))
        with pytest.raises(InputError, match=r"knows the keypoints centre, .* and scenes has others \(nose\): give"):
            make(kind).datasets(replace(scenes, keypoints=Points(("nose",))))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"crop": (64, 50)}, r"The crop \(64, 50\) does not fit: give a height and a width, multiples of 4"),
        ({"detector": "mask_rcnn"}, "Unknown detector 'mask_rcnn'"),
        ({"rotation": 100.0}, "rotation 100.0 is out of range"),
        ({"sigma": 0.0}, "sigma 0.0 is out of range"),
    ],
)
def test_options_that_do_not_fit(options, sentence):
    with pytest.raises(InputError, match=sentence):
        KeypointsOptions(**options)


def test_a_refinement_that_is_not_known(make):
    with pytest.raises(InputError, match="Unknown refine 'tailor': did you mean 'taylor'"):
        make(refine="tailor")


@pytest.mark.parametrize("seed", range(8))
def test_a_mirrored_shape_swaps_left_and_right_alone(seed):
    """A silhouette that is turned by some angle and mirrored is the same one, turned the other way."""
    import numpy as np

    (thing,) = draw_scene(np.random.default_rng(seed), 1).things
    x, y = thing.centre
    twin = Thing(thing.silhouette, thing.pattern, (1 - x, y), thing.half_extent, -thing.angle)
    mirrored = np.stack([1 - thing.keypoints[:, 0], thing.keypoints[:, 1]], 1)
    corners = np.stack([1 - thing.corners[:, 0], thing.corners[:, 1]], 1)
    np.testing.assert_allclose(twin.keypoints, mirrored[mirrored_order(len(POINTS), POINTS.flips)])
    assert [POINTS.names[left] for left in mirrored_order(len(POINTS), POINTS.flips)] == [
        "centre",
        "top",
        "left",
        "bottom",
        "right",
    ]
    np.testing.assert_allclose(sorted(map(tuple, twin.corners.round(9))), sorted(map(tuple, corners.round(9))))
