"""Regions of activation maps, and the label maps that are made of them."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from res2net import create_model
from res2net.errors import InputError
from res2net.explain import ActivationMap, mine_regions, open_masked, regions
from res2net.explain.mine import label_map
from res2net.images.splits import DataSettings
from res2net.tasks.classify.options import ClassifyOptions
from res2net.tasks.classify.task import Classify
from res2net.tasks.pixels.segment.metric import SegmentationScores
from res2net.tasks.pixels.segment.task import Segment

HEAT = torch.tensor(
    [
        [0.9, 0.5, 0.0, 0.0, 0.6],
        [0.4, 0.7, 0.0, 0.0, 0.7],
        [0.0, 0.0, 0.0, 0.0, 0.8],
        [0.0, 1.0, 0.0, 0.0, 0.3],
    ]
)
"""Parts from 0.5 on: three touching pixels on the left above (also at a corner), three on the right, one below."""


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({"thresholds": [0.5]}, ["11..1", ".1..1", "....1", ".1..."]),
        ({"thresholds": [0.3, 0.5]}, ["11..1", "?1..1", "....1", ".1..?"]),
        ({"thresholds": [0.5], "keep": "largest"}, ["11...", ".1...", ".....", "....."]),
        ({"thresholds": [0.5], "keep": "peak"}, [".....", ".....", ".....", ".1..."]),
        ({"thresholds": [0.3, 0.5], "keep": "peak"}, ["??..?", "??..?", "....?", ".1..?"]),
        ({"thresholds": [0.5], "min_area": 0.1}, ["11..1", ".1..1", "....1", "....."]),
        ({"thresholds": [0.5], "min_area": 0.5}, ["....."] * 4),
    ],
)
def test_regions(options, rows):
    found = regions(HEAT, **options)
    shown = ["".join({0: ".", 1: "1", 255: "?"}[value] for value in row) for row in found.tolist()]
    assert shown == rows


def test_a_map_of_zeros_has_no_region():
    assert not regions(torch.zeros(3, 3), keep="peak").any()


@pytest.mark.parametrize("thresholds", [[], [0.5, 0.3], [0.5, 0.5], [0], [1.2], [0.1, 0.2, 0.3]])
def test_thresholds_that_do_not_fit(thresholds):
    with pytest.raises(InputError, match="give one, or two in ascending order"):
        regions(HEAT, thresholds)


def heat_map(heat):
    return ActivationMap(torch.tensor(heat), torch.zeros(3, 2, 2, dtype=torch.uint8), 0, "a", 1.0, "a", 0)


def test_where_classes_overlap_the_higher_map_counts():
    maps = [heat_map([[1.0, 0.6], [0.0, 0.4]]), heat_map([[0.7, 0.9], [0.0, 0.0]])]
    assert label_map(maps, [3, 5], (2, 2), [0.5]).tolist() == [[3, 5], [0, 0]]
    assert label_map(maps, [3, 5], (2, 2), [0.3, 0.5]).tolist() == [[3, 5], [0, 255]]
    assert label_map(maps[:1], [7], (4, 4), [0.5]).shape == (4, 4)


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    source = open_masked("shapes:5,4", DataSettings())
    create = partial(create_model, "res2net20_26w_4s_tiny", zero_init_last=False)
    return Classify.build(create, source, source.preprocessing, ClassifyOptions()).eval(), source


def maps_in(folder):
    return [np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]


def test_label_maps_are_those_of_the_regions_and_read_by_segmentation(classifier, tmp_path):
    task, source = classifier
    out = tmp_path / "mined"
    mined = mine_regions(task, source, out, method="eigen", thresholds=[0.3, 0.6], accelerator="cpu")
    names = ["background", *source.class_names]
    assert json.loads((out / "classes.json").read_text()) == names
    assert mined.counts == {"train": 5, "val": 4}
    assert mined.validates_on == "true"
    for index, found in enumerate(maps_in(out / "masks" / "train")):
        label = int(source.train[index][1]["label"]) + 1
        assert set(found.ravel().tolist()) <= {0, label, 255}
        assert (found == label).any()
    for index, found in enumerate(maps_in(out / "masks" / "val")):
        _, target = source.val[index]
        assert (found == np.where(target["saliency"].numpy(), int(target["label"]) + 1, 0)).all()
    opened = Segment.open(out)
    assert list(opened.class_names) == names
    assert len(opened.train) == 5
    assert (opened.train[0][1]["semantic"].numpy() == maps_in(out / "masks" / "train")[0]).all()
    image = np.asarray(opened.train[0][0].convert("RGB"))
    assert (image == source.train[0][0].permute(1, 2, 0).numpy()).all()


def test_scores_are_those_of_the_metric_of_segmentation(classifier, tmp_path):
    task, source = classifier
    mined = mine_regions(task, source, tmp_path / "mined", validate_on="mined", accelerator="cpu")
    assert mined.validates_on == "mined"
    for split, samples in (("train", source.train), ("val", source.val)):
        scores = SegmentationScores(mined.class_names)
        for found, index in zip(maps_in(tmp_path / "mined" / "masks" / split), range(len(samples)), strict=True):
            _, target = samples[index]
            true = torch.where(target["saliency"].as_subclass(torch.Tensor), int(target["label"]) + 1, 0)
            scores.update(torch.from_numpy(found.copy()), true)
        expected = scores.compute()
        assert np.nanmean(mined.iou(split)) == pytest.approx(expected["mIoU"])
        found = [expected[f"IoU/{name}"] for name in mined.class_names]
        assert mined.iou(split).tolist() == pytest.approx(found, nan_ok=True)
    assert mined.labelled == {"train": 1.0, "val": 1.0}


def test_folders_of_classes_have_no_true_masks(classifier, tmp_path):
    task, source = classifier
    for index in range(4):
        image, target = source.val[index]
        folder = tmp_path / "data" / source.class_names[target["label"]].replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).resize((90, 60)).save(folder / f"{index}.png")
        Image.fromarray(image.permute(1, 2, 0).numpy()).resize((90, 60)).save(folder / f"{index}-again.jpg")
    opened = task.open(tmp_path / "data", DataSettings(0.5))
    mined = mine_regions(task, opened, tmp_path / "mined", accelerator="cpu")
    assert mined.validates_on == "mined"
    assert mined.confusion == {}
    assert sum(mined.counts.values()) == 8
    assert maps_in(tmp_path / "mined" / "masks" / "train")[0].shape == (60, 90)
    assert mined.class_names[1:] == list(opened.class_names)


def test_mistakes_leave_nothing_behind(classifier, tmp_path):
    task, source = classifier
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="exists: choose another name"):
        mine_regions(task, source, tmp_path / "there")
    with pytest.raises(InputError, match="There is no folder"):
        mine_regions(task, source, tmp_path / "no" / "where")
    with pytest.raises(InputError, match=r"Thresholds \[2\] do not fit"):
        mine_regions(task, source, tmp_path / "mined", thresholds=[2])
    with pytest.raises(InputError, match="Unknown layer 'layer9'"):
        mine_regions(task, source, tmp_path / "mined", layer="layer9", accelerator="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
