"""Which detections are kept in prediction, evaluation and exported files, and what is said of the others."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.ops import box_iou

import res2net
from res2net.api import Model
from res2net.engine.predict import results_table
from res2net.errors import InputError
from res2net.images.shapes.dataset import CLASS_NAMES, POINTS, Shapes
from res2net.images.sources import DataSource
from res2net.task.base import TASKS
from res2net.task.result import Prediction
from res2net.tasks.objects.heads.fixed import FixedDetector
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.tasks.objects.result import Objects
from res2net.weights import Preprocessing

LABELS = ("boxes", "labels", "masks", "keypoints", "visibility", "semantic", "stuff")
HEAD = {"fpn_channels": 32, "head_channels": 16, "proposals": 50, "anchor_sizes": (8, 16, 32, 64), "detections": 20}


@pytest.fixture(scope="module")
def scenes():
    train, val = (Shapes(3, size=64, sizes=(0.3, 0.6), split=split, labels=LABELS) for split in ("train", "val"))
    look = Preprocessing(size=64, crop=1.0, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    return DataSource("scenes", train, val, CLASS_NAMES, look, keypoints=POINTS, stuff_names=("wall", "floor"))


@pytest.fixture
def model(scenes):
    """A function that makes an untrained model, whose scores lie around 1 / 17."""

    def build(name, score_threshold=0.05, **options):
        head = DetectorOptions(**HEAD, score_threshold=score_threshold)
        chosen = TASKS[name].Options(head=head, max_size=96, **options)
        torch.manual_seed(0)
        create = partial(res2net.create_model, "res2net20_26w_4s_tiny")
        return Model(TASKS[name].build(create, scenes, scenes.preprocessing, chosen).eval(), {}, Path("x"), "cpu")

    return build


@pytest.fixture(scope="module")
def photo():
    return Image.effect_noise((64, 48), 80).convert("RGB")


@pytest.mark.parametrize(("name", "detector"), [("detect", "faster_rcnn"), ("detect", "cascade_rcnn"), ("instance", 0)])
def test_a_higher_score_threshold_leaves_out_and_a_lower_one_lets_in(model, photo, name, detector):
    made = model(name, **({"detector": detector} if detector else {}))
    (usual,) = made.predict(photo)
    middle = float(usual.scores[len(usual.scores) // 2 - 1 :][:2].mean())  # between two scores
    (fewer,) = made.predict(photo, score_threshold=middle)
    assert torch.equal(fewer.boxes, usual.boxes[usual.scores >= middle])
    assert 0 < len(fewer.boxes) < len(usual.boxes)
    assert len(fewer.rows()) == len(fewer.boxes)  # what is asked for is shown
    assert len(made.predict(photo, score_threshold=0.01, detections=500)[0].boxes) > len(usual.boxes)
    assert torch.equal(made.predict(photo)[0].scores, usual.scores)


def test_two_predictions_at_once_keep_their_own_limits(model, photo):
    made = model("detect", detector="fcos", score_threshold=0.005)
    pairs = zip(made.stream([photo] * 2, detections=1), made.stream([photo] * 2, detections=3), strict=True)
    assert [(len(one.result.boxes), len(two.result.boxes)) for one, two in pairs] == [(1, 3), (1, 3)]


def test_non_maximum_suppression(model, photo):
    made = model("detect")
    for threshold in (0.1, 0.8):
        (found,) = made.predict(photo, nms_threshold=threshold)
        same = found.labels[:, None] == found.labels
        overlaps = (box_iou(found.boxes, found.boxes) * same).fill_diagonal_(0)
        assert 0.1 * (threshold > 0.5) < overlaps.max() <= threshold


def test_evaluation_has_the_same_limits(model, scenes):
    found = [
        int(model("detect").evaluate(scenes, batch_size=2, workers=0, **limits).records["found"].sum())
        for limits in ({}, {"score_threshold": 0.9})
    ]
    assert found == [0, 0]
    made = model("detect", min_score=0.05)
    assert made.evaluate(scenes, batch_size=2, workers=0, detections=1).records["found"].max() == 1
    assert made.evaluate(scenes, batch_size=2, workers=0).records["found"].max() > 1


def test_things_of_a_panoptic_segmentation(model, photo):
    made = model("panoptic", stuff_channels=8)
    assert not any(one["thing"] for one in made.predict(photo)[0].segments)
    assert any(one["thing"] for one in made.predict(photo, score_threshold=0.02)[0].segments)
    assert not any(one["thing"] for one in made.predict(photo)[0].segments)


def test_keypoints_in_given_boxes_have_scores_but_no_suppression(model, photo):
    made = model("keypoints", crop=(32, 32), channels=8)
    (found,) = made.predict(photo)
    assert len(found.boxes) == len(found.rows()) == 1
    assert len(made.predict(photo, score_threshold=float(found.scores) + 0.01)[0].boxes) == 0
    for name in ("nms_threshold", "detections"):
        with pytest.raises(InputError, match=f"'{name}' of keypoints cannot change after training.*flip_test, refine"):
            made.predict(photo, **{name: 1})


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"score_threshold": 1.5}, "score threshold 1.5"),
        ({"nms_threshold": -1}, "nms threshold -1"),
        ({"detections": 0}, "detections 0"),
        ({"score": 0.3}, "did you mean 'score_threshold'"),
    ],
)
def test_limits_that_do_not_fit(model, photo, limits, sentence):
    with pytest.raises(InputError, match=sentence):
        model("detect").predict(photo, **limits)


class Constant(torch.nn.Module):
    def forward(self, images):
        boxes = torch.tensor([[0.0, 0, 30, 30], [5, 5, 20, 20], [0, 0, 9, 9], [0, 0, 0, 0]])
        return boxes[None], torch.tensor([[0.9, 0.4, 0.2, 0.0]]), torch.tensor([[0, 1, 1, 0]])


def test_an_exported_detector_can_only_leave_out_more():
    options = DetectorOptions(score_threshold=0.1, detections=4)
    fixed = FixedDetector(Constant(), (32, 32), 2, ("boxes", "scores", "labels"), options)
    counts = []
    for limits in ({}, {"score_threshold": 0.3}, {"detections": 1}, {"score_threshold": 0.1}):
        fixed.set_thresholds(replace(options, **limits))
        counts.append(len(fixed.detect(torch.zeros(1, 3, 32, 32), [(32, 32)])[0]["boxes"]))
    assert counts == [3, 2, 1, 3]
    for limits, allowed in (
        ({"score_threshold": 0.05}, "at least 0.1: export it again with --score-threshold 0.05"),
        ({"detections": 5}, "at most 4: export it again with --detections 5"),
        ({"nms_threshold": 0.4}, "only 0.5: export it again with --nms-threshold 0.4"),
    ):
        with pytest.raises(InputError, match=allowed):
            fixed.set_thresholds(replace(options, **limits))


def objects(scores, **options):
    boxes = torch.tensor([[1.25, 2, 30, 40]]).repeat(len(scores), 1)
    return Objects(boxes, torch.zeros(len(scores), dtype=torch.int64), ["cat"], torch.tensor(scores), **options)


@pytest.mark.parametrize(
    ("scores", "options", "hidden"),
    [
        ([0.9, 0.4, 0.33, 0.31], {}, "3 more below 0.5: --score-threshold 0.3 shows them"),
        ([0.2, 0.07], {"min_score": 0.1}, "1 more below 0.1: --score-threshold 0.05 shows them"),
        ([0.9, 0.5], {}, ""),
        ([], {}, ""),
    ],
)
def test_what_is_hidden_is_said(scores, options, hidden):
    found = objects(scores, **options)
    assert found.hidden == hidden
    shown = sum(score >= found.min_score for score in scores)
    assert len(found.rows()) == shown
    table = results_table([Prediction("a.jpg", found)])
    assert [row[1] for row in table.rows][-1] == ("cat" if shown else None)
    assert table.notes == ([f"a.jpg: {hidden}"] if hidden else [])
    canvas = Image.new("RGB", (400, 300), "grey")
    said = found.draw(canvas) != replace(found, min_score=found.min_score).select(range(shown)).draw(canvas)
    assert said == bool(hidden)


def test_boxes_of_a_table_are_corners_in_pixels():
    found = objects([0.9])
    assert [(column.heading, column.unit) for column in found.columns][2:] == [
        (corner, "px") for corner in ("x1", "y1", "x2", "y2")
    ]
    assert found.rows() == [("cat", pytest.approx(90), 1.25, 2.0, 30.0, 40.0)]
