"""Panoptic segmentation of drawn scenes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from faster_coco_eval.core import mask as coco_mask
from PIL import Image

import res2net
from res2net.engine.callbacks import save_task
from res2net.engine.config import TrainConfig
from res2net.engine.restore import restore_task
from res2net.errors import InputError
from res2net.images import collate
from res2net.images.shapes.dataset import STUFF_NAMES, Shapes, shapes_source
from res2net.images.shapes.silhouettes import SILHOUETTES
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.tasks.objects.panoptic.metric import segments_of
from res2net.tasks.objects.panoptic.task import Panoptic, PanopticOptions
from res2net.tasks.objects.segments import PanopticSegments, segments_to_coco

HEAD = DetectorOptions(
    anchor_sizes=(12.0, 24.0, 48.0, 96.0),
    fpn_channels=16,
    head_channels=32,
    proposals_train=40,
    proposals=20,
    anchors_per_image=16,
    rois_per_image=16,
)
THINGS = len(SILHOUETTES)


@pytest.fixture
def scenes():
    """`shapes` with four images to train and three to validate, which the network sees at 64 pixels."""
    source = Panoptic.open("shapes:4,3")
    return replace(source, preprocessing=replace(source.preprocessing, size=64))


@pytest.fixture
def make(scenes):
    """A function that builds the task."""

    def build(source=scenes, **options):
        create = partial(res2net.create_model, "res2net20_26w_4s_tiny", zero_init_last=False)
        chosen = PanopticOptions(stuff_channels=16, head=HEAD, **options)
        return Panoptic.build(create, source, source.preprocessing, chosen)

    return build


def batch(task, scenes, train=False):
    samples = task.datasets(scenes)[0 if train else 1]
    return collate([samples[index] for index in range(len(samples))])


def evaluated(task, images, targets):
    metric = task.metric()
    records = task.validate(images, targets, metric)
    return metric.compute(), records


def listed(results):
    """The segments of each image as JSON has them."""
    return [one.to_dict()["segments_info"] for one in results]


def nothing(size, semantic):
    """An image's detections: none, and these logits of stuff."""
    empty = {"boxes": torch.zeros(0, 4), "scores": torch.zeros(0), "labels": torch.zeros(0, dtype=torch.int64)}
    return empty | {"masks": torch.zeros(0, 28, 28), "semantic": semantic}


def halves(size, left, right):
    """Logits of two kinds of pixels beside each other."""
    logits = torch.zeros(len(STUFF_NAMES) + 1, *size)
    logits[left, :, : size[1] // 2] = 20
    logits[right, :, size[1] // 2 :] = 20
    return logits


def test_the_stuff_of_shapes_is_the_colour_of_the_background():
    labels = ("masks", "semantic", "stuff")
    images = Shapes(6, size=48, things=(1, 3), labels=labels)
    for index in range(6):
        _, target = images[index]
        covered = target["masks"].any(0)
        assert (target["stuff"][covered] == 255).all()
        first, second = images.scene(index).background.colours
        sums = [one + other for one, other in zip(first, second, strict=True)]
        assert (target["stuff"][~covered] == sums.index(max(sums))).all()
        assert torch.equal(target["semantic"] > 0, covered)
    source = Panoptic.open("shapes:2,2")
    assert source.stuff_names == STUFF_NAMES
    assert STUFF_NAMES == ("red wall", "green wall", "blue wall")
    _, target = source.val[1]
    assert "stuff" not in target
    assert set(target["semantic"].unique().tolist()) <= {0, 1, 2, 255}
    assert torch.equal(target["semantic"] == 255, target["masks"].any(0))
    assert source.val[1][1]["semantic"].equal(target["semantic"])  # a second time, from memory
    assert shapes_source(("semantic",)).stuff_names == ()


def test_a_few_steps_lower_the_loss(make, scenes):
    task = make(flip=0.0).train()
    images, targets = batch(task, scenes, train=True)
    optimizer = torch.optim.AdamW(task.parameters(), lr=3e-3)
    totals = []
    for _ in range(8):
        torch.manual_seed(0)
        losses = task.losses(images, targets)
        assert {"loss_mask", "loss_semantic", "loss_classifier"} <= set(losses)
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.8 * totals[0]


def test_a_image_without_things_can_be_learnt(make, scenes):
    task = make().train()
    images, targets = batch(task, scenes, train=True)
    for name in ("boxes", "labels", "masks"):
        targets[name] = [value[:0] for value in targets[name]]
    losses = task.losses(images, targets)
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert losses["loss_semantic"] > 0


def test_a_checkpoint_gives_the_same_results(make, scenes, tmp_path):
    task = make(segment_score=0.01, stuff_area=100, segment_overlap=0.4, scale_stuff_area=False).eval()
    save_task(tmp_path / "best.safetensors", task, {}, TrainConfig("panoptic", "shapes", task.options))
    again, _ = restore_task(tmp_path / "best.safetensors", name="panoptic")
    assert (again.options, again.class_names, again.stuff_names) == (task.options, SILHOUETTES, STUFF_NAMES)
    images, targets = batch(task, scenes)
    with torch.no_grad():
        results = listed(task.predict(images, targets))
        assert listed(again.predict(images, targets)) == results
    assert any(results)


def test_the_truth_is_perfect(make, scenes, monkeypatch):
    task = make().eval()
    images, targets = batch(task, scenes)
    true = []
    for one in targets["truth"]:
        known = segments_of(one, THINGS, len(STUFF_NAMES))
        entries = [
            {"label": label if label < THINGS else label - THINGS, "thing": label < THINGS}
            for label in known["labels"].tolist()
        ]
        true.append((known["segments"] + 1, entries))
    monkeypatch.setattr(task, "segments", lambda images, targets: true)
    numbers, records = evaluated(task, images, targets)
    for name in ("PQ", "SQ", "RQ", "PQ_things", "PQ_stuff"):
        assert numbers[name] == 1.0
    assert torch.equal(records["objects"], records["found"])


def test_nothing_found_is_no_quality(make, scenes, monkeypatch):
    task = make().eval()
    images, targets = batch(task, scenes)
    none = torch.full((len(STUFF_NAMES) + 1, 64, 64), -5.0)
    none[-1] = 5.0  # a thing that was not detected
    monkeypatch.setattr(task.model, "detect", lambda images, sizes: [nothing(size, none) for size in sizes])
    numbers, records = evaluated(task, images, targets)
    assert numbers["PQ"] == 0.0
    assert records["found"].tolist() == [0, 0, 0]
    results = task.predict(images, targets)
    assert listed(results) == [[], [], []]
    assert results[0].draw(Image.new("RGB", (128, 128))).size == (640, 640)
    assert results[0].rows() == []


def test_results_are_in_pixels_of_the_file(make, monkeypatch):
    """An image of 100 x 60 pixels, which the network sees at 106 x 64 in a batch of 128 x 64."""
    task = make().eval()
    image = Image.new("RGB", (100, 60), "grey")
    images, targets = collate([task.transform(False)(image, {"index": 0, "label": 0})])
    assert targets["size_now"] == [(64, 106)]
    detect = lambda images, sizes: [nothing(sizes[0], halves(sizes[0], 2, 0))]  # noqa: E731
    monkeypatch.setattr(task.model, "detect", detect)
    (found,) = task.predict(images, targets)
    (result,) = listed([found])
    assert [one["label"] for one in result] == ["red wall", "blue wall"]
    assert [one["bbox"] for one in result] == [[50, 0, 50, 60], [0, 0, 50, 60]]
    assert [one["area"] for one in result] == [3000, 3000]
    assert [one["category_id"] for one in result] == [THINGS + 1, THINGS + 3]
    assert [(one["isthing"], one["iscrowd"]) for one in result] == [(0, 0), (0, 0)]
    masks = coco_mask.decode([one["segmentation"] for one in result])
    assert masks.shape == (60, 100, 2)
    assert masks.sum(-1).max() == 1
    assert found.draw(image).size == (600, 360)
    assert found.rows()[0][0] == "red wall"


def test_segments_have_the_numbers_of_the_data_set(make, scenes, tmp_path, monkeypatch):
    """Also after the checkpoint, and in COCO's own form they are read back as the same classes."""
    things, stuff = tuple(range(20, 20 + THINGS)), (92, 93, 200)
    task = make(replace(scenes, category_ids=things, stuff_category_ids=stuff))
    save_task(tmp_path / "best.safetensors", task, {}, TrainConfig("panoptic", "shapes", task.options))
    again, _ = restore_task(tmp_path / "best.safetensors", name="panoptic")
    images, targets = collate([again.transform(False)(Image.new("RGB", (100, 60)), {"index": 0, "label": 0})])
    ids = torch.zeros(60, 100, dtype=torch.int64)
    ids[:30], ids[30:, :40] = 1, 2
    entries = [
        {"id": 1, "label": 1, "thing": True, "score": 0.9, "area": 3000},
        {"id": 2, "label": 2, "thing": False, "score": 1.0, "area": 1200},
    ]
    monkeypatch.setattr(again, "segments", lambda images, targets: [(ids, entries)])
    (found,) = again.predict(images, targets)
    (result,) = listed([found])
    assert [one["category_id"] for one in result] == [21, 200]
    assert [one["label"] for one in result] == [SILHOUETTES[1], STUFF_NAMES[2]]
    assert found.draw(Image.new("RGB", (100, 60))).size == (600, 360)
    _, annotation = segments_to_coco(ids, entries, things, stuff, image_id=7, file_name="7.png")
    assert [one["category_id"] for one in annotation["segments_info"]] == [one["category_id"] for one in result]


def test_the_least_area_of_stuff_shrinks_with_the_image(make, monkeypatch):
    """4096 of 640 x 480 pixels are 80 of 100 x 60."""
    sample = make().transform(False)(Image.new("RGB", (100, 60)), {"index": 0, "label": 0})
    counts = []
    for options in ({}, {"scale_stuff_area": False}, {"stuff_area": 4096 * 40}):
        task = make(**options).eval()
        monkeypatch.setattr(task.model, "detect", lambda _, sizes: [nothing(sizes[0], halves(sizes[0], 2, 0))])
        counts.append(len(task.predict(*collate([sample]))[0].segments))
    assert counts == [2, 0, 0]


def test_things_count_before_stuff(make, scenes, monkeypatch):
    """A detection with a full mask in the upper half, twice: the second one has nothing left."""
    task = make().eval()
    images, targets = batch(task, scenes)
    upper = {
        "boxes": torch.tensor([[0.0, 0, 64, 32], [0.0, 0, 64, 32]]),
        "scores": torch.tensor([0.9, 0.8]),
        "labels": torch.tensor([3, 2]),
        "masks": torch.ones(2, 28, 28),
        "semantic": halves((64, 64), 1, 1),
    }
    monkeypatch.setattr(task.model, "detect", lambda images, sizes: [upper] * len(sizes))
    result = listed(task.predict(images, targets))[0]
    assert [(one["label"], one["isthing"]) for one in result] == [(SILHOUETTES[3], 1), ("green wall", 0)]
    thing, stuff = result
    assert thing["area"] + stuff["area"] == 128**2
    assert thing["area"] == pytest.approx(128 * 64, rel=0.02)  # masks are a little round
    assert coco_mask.decode([one["segmentation"] for one in result]).sum(-1).max() == 1
    assert result[0]["score"] == pytest.approx(0.9)


def test_the_ground_truth_is_a_result(make, scenes):
    """Each pixel belongs to the thing of its mask, else to its stuff."""
    image, target = scenes.val[0]
    truth = make().truth(image, target)
    assert isinstance(truth, PanopticSegments)
    known = {one["id"]: one for one in truth.segments}
    for mask, label in zip(target["masks"], target["labels"].tolist(), strict=True):
        (number,) = truth.ids[mask].unique().tolist()
        assert (known[number]["thing"], known[number]["label"]) == (True, label)
        assert known[number]["area"] == int(mask.sum())
    stuff = {one["id"]: one["label"] for one in truth.segments if not one["thing"]}
    for number, label in stuff.items():
        assert torch.equal(truth.ids == number, torch.as_tensor(target["semantic"]) == label)
    assert [row[1] for row in truth.rows()] == [None] * len(truth.segments)
    assert "score" not in truth.to_dict()["segments_info"][0]
    assert truth.panel(image, truth).size == (640, 640)


def test_data_with_other_stuff_are_refused(make, scenes):
    with pytest.raises(InputError, match="The data have no classes of stuff: give panoptic ones"):
        make(replace(scenes, stuff_names=()))
    with pytest.raises(InputError, match=r"and shapes has other stuff \(sea\): give data with the classes"):
        make().datasets(replace(scenes, stuff_names=("sea",)))


@pytest.mark.parametrize("option", ["segment_score", "segment_overlap"])
def test_options_that_do_not_fit(option):
    with pytest.raises(InputError, match=f"{option.replace('_', ' ')} 2 is out of range"):
        PanopticOptions(**{option: 2})
