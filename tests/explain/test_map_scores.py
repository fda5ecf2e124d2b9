"""Scores of activation maps against masks: worked examples, and the whole way through a network."""

from __future__ import annotations

import csv
import io
import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap

from res2net import create_model
from res2net.errors import InputError
from res2net.explain import MaskedImages, class_activation_maps, map_scores, open_masked, score_maps
from res2net.explain.masked import known_classes, read_class_map
from res2net.explain.score import THRESHOLDS, MapScores, interval, on_common_images
from res2net.explain.score_report import difference_table, score_table, size_figure, size_table, to_csv, to_dict
from res2net.images.splits import DataSettings
from res2net.images.transforms import eval_transform
from res2net.tasks.classify.options import ClassifyOptions
from res2net.tasks.classify.task import Classify

HEAT = torch.tensor([[1.0, 0.6, 0.0, 0.0], [0.4, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 0.5], [0.0, 0.0, 0.0, 0.0]])


def mask_of(*pixels):
    mask = torch.zeros(4, 4, dtype=torch.bool)
    for row, column in pixels:
        mask[row, column] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "threshold", "expected"),
    [
        # area, pointing, energy, IoU and coverage; the energy of the whole map is 3
        (mask_of((0, 0), (0, 1), (1, 0), (1, 1)), 0.5, (4 / 16, 1, 2.5 / 3, 3 / 5, 3 / 4)),
        (mask_of((0, 0), (0, 1), (1, 0), (1, 1)), 0.4, (4 / 16, 1, 2.5 / 3, 4 / 5, 1)),
        (mask_of((2, 3), (3, 3)), 0.5, (2 / 16, 0, 0.5 / 3, 1 / 5, 1 / 2)),
        (mask_of((3, 0)), 0.5, (1 / 16, 0, 0, 0, 0)),
    ],
)
def test_scores_of_a_map(mask, threshold, expected):
    area, pointing, energy, iou, covered, ious = map_scores(HEAT, mask, threshold=threshold)
    assert (area, pointing, energy, iou, covered) == pytest.approx(expected)
    assert len(ious) == len(THRESHOLDS)
    assert ious[THRESHOLDS.index(0.5)] == pytest.approx(map_scores(HEAT, mask, threshold=0.5)[3])


def test_of_several_maxima_the_share_in_the_object_counts():
    heat = torch.zeros(4, 4)
    heat[0, :3] = 1
    assert map_scores(heat, mask_of((0, 0)))[1] == pytest.approx(1 / 3)


def test_a_map_of_zeros_scores_zero():
    assert map_scores(torch.zeros(4, 4), mask_of((0, 0)))[1:5] == (0, 0, 0, 0)


def test_a_map_of_ones_scores_the_area():
    area, pointing, energy, iou, covered, _ = map_scores(torch.ones(4, 4), mask_of((0, 0), (1, 1)))
    assert area == pointing == energy == iou == 1 / 8
    assert covered == 1


def test_ignored_pixels_do_not_count():
    found = map_scores(HEAT, mask_of((0, 1)), mask_of((0, 0), (2, 3)))
    assert found[:5] == pytest.approx((1 / 14, 1, 0.6 / 1.5, 1 / 2, 1))


def made(pointing, indices=None, sizes=None):
    """Scores whose other values follow from those of the pointing game."""
    values = np.array(pointing, dtype=np.float64)
    count = len(values)
    ious = np.tile(np.linspace(0, 0.9, len(THRESHOLDS)), (count, 1)) * values[:, None]
    return MapScores(
        np.arange(count) if indices is None else np.array(indices),
        [f"{index}.png" for index in range(count)],
        ["cat"] * count,
        np.full(count, 0.2) if sizes is None else np.array(sizes),
        ["dog"] * count,
        np.zeros(count, dtype=np.bool_),
        *(values / 10, values, values / 2, values / 4, values / 3, ious),
        threshold=0.5,
    )


def test_the_best_threshold_is_that_of_the_highest_mean_iou():
    threshold, values = made([1, 0, 1]).best
    assert threshold == THRESHOLDS[-1]
    assert values.tolist() == pytest.approx([0.9, 0, 0.9])


def test_groups_of_sizes():
    scores = made([1] * 6, sizes=[0.001, 0.02, 0.0999, 0.1, 0.5, 1.0])
    groups = {(low, high): np.flatnonzero(chosen).tolist() for low, high, chosen in scores.by_size()}
    assert groups == {(0.02, 0.1): [0, 1, 2], (0.1, 0.2): [3], (0.2, 0.3): [], (0.3, 0.45): [], (0.45, 1.0): [4, 5]}


def test_the_interval_is_that_of_a_percentile_bootstrap():
    values = np.random.default_rng(1).random(60) ** 2
    expected = bootstrap((values,), np.mean, n_resamples=5000, method="percentile").confidence_interval
    assert interval(values) == pytest.approx(tuple(expected), abs=0.01)
    rng = np.random.default_rng(2)
    means = [values[rng.integers(60, size=60)].mean() for _ in range(5000)]
    assert interval(values) == pytest.approx(np.quantile(means, (0.025, 0.975)), abs=0.01)
    assert interval(values) == interval(values.copy())
    assert interval(np.full(9, 0.25)) == (0.25, 0.25)
    assert all(math.isnan(limit) for limit in interval(np.ones(1)))


def test_models_are_compared_on_the_images_that_all_scored():
    scores = on_common_images({"a": made([1, 0, 1], [0, 1, 4]), "b": made([1, 1], [1, 4])})
    assert scores["a"].pointing.tolist() == [0, 1]
    assert scores["a"].images == ["1.png", "2.png"]
    assert scores["b"].pointing.tolist() == [1, 1]
    with pytest.raises(InputError, match="no scored image in common"):
        on_common_images({"a": made([1], [0]), "b": made([1], [1])})


def test_tables_figure_and_records():
    scores = {
        "a": made([1, 0, 1, 1], sizes=[0.05, 0.15, 0.5, 0.6]),
        "b": made([0, 0, 1, 1], sizes=[0.05, 0.15, 0.5, 0.6]),
    }
    rows = {name: cells for name, *cells in score_table(scores).rows}
    assert [cell.partition(" ")[0] for cell in rows["pointing game"]] == ["75.0", "50.0", "7.5"]
    assert [cell.partition(" ")[0] for cell in rows["covered at 0.5"]] == ["25.0", "16.7", "100.0"]
    assert rows["... which is at"] == ["0.95", "0.95", None]
    by_size = size_table(scores).rows
    assert by_size[0] == ("2 to 10", "1", "pointing game", "100", "0")
    assert by_size[8] == ("20 to 30", "0", "pointing game", "–", "–")  # noqa: RUF001
    assert by_size[18] == ("", "", "IoU", "25 [25, 25]", "25 [25, 25]")
    table = difference_table(scores)
    assert table.columns[1].heading == "b - a"
    assert table.rows[0][1].startswith("-25.0 [-75.0, ")
    figure = size_figure(scores)
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "pointing game (%)",
        "energy in object (%)",
        "IoU at 0.5 (%)",
        "object covered at 0.5 (%)",
    ]
    found = to_dict(scores, {"method": "gradcam"})
    assert found["models"]["a"]["pointing"]["mean"] == 0.75
    assert found["models"]["a"]["best_threshold"] == 0.95
    assert [group["pointing"]["low"] for group in found["models"]["a"]["by_size"]] == [None, None, 1.0]
    rows = list(csv.DictReader(io.StringIO(to_csv(scores))))
    assert [row["pointing"] for row in rows] == [
        "1.0000",
        "0.0000",
        "1.0000",
        "1.0000",
        "0.0000",
        "0.0000",
        "1.0000",
        "1.0000",
    ]
    assert (rows[4]["model"], rows[4]["image"], rows[4]["class"], rows[4]["size"]) == ("b", "0.png", "cat", "0.0500")


# Data with masks.


class Listed:
    """Samples in memory."""

    def __init__(self, *samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


IMAGE = torch.zeros(3, 4, 4, dtype=torch.uint8)


def test_the_instances_of_a_class_are_one_mask():
    masks = torch.stack([mask_of((0, 0)), mask_of((1, 1)), mask_of((3, 3), (3, 2))])
    target = {"masks": masks, "labels": torch.tensor([2, 0, 2])}
    found = MaskedImages(Listed((IMAGE, target)), ["a", "b", "c"])[0][1]
    assert found["labels"].tolist() == [0, 2]
    assert found["masks"].flatten(1).sum(1).tolist() == [1, 3]
    assert found["sizes"].tolist() == pytest.approx([(1 / 16) ** 0.5, (3 / 16) ** 0.5])
    assert not found["ignored"].any()


def test_label_maps_have_a_background_and_unlabelled_pixels():
    semantic = torch.zeros(4, 4, dtype=torch.uint8)
    semantic[0] = 2
    semantic[3] = 255
    found = MaskedImages(Listed((IMAGE, {"semantic": semantic})), ["Background", "a", "b"])[0][1]
    assert found["labels"].tolist() == [2]
    assert found["masks"][0].sum() == 4
    assert found["ignored"].sum() == 4


def test_images_with_classes_alone():
    several = torch.tensor([0, 1, 1])
    images = MaskedImages(Listed((IMAGE, {"label": 2}), (IMAGE, {"label": several})), ["a", "b", "c"])
    assert images[0][1]["labels"].tolist() == [2]
    assert images[1][1]["labels"].tolist() == [1, 2]
    assert "masks" not in images[0][1]


def test_no_object_at_all():
    target = {"masks": torch.zeros(0, 4, 4, dtype=torch.bool), "labels": torch.zeros(0, dtype=torch.int64)}
    found = MaskedImages(Listed((IMAGE, target)), ["a"])[0][1]
    assert found["labels"].tolist() == []
    assert found["masks"].shape == (0, 4, 4)


def test_classes_have_the_same_or_mapped_names():
    names = ["teddy", "Orange", "traffic light", "crane", "crane"]
    assert known_classes(["person", "orange", "traffic_light", "crane"], names) == {1: [1], 2: [2], 3: [3, 4]}
    mapped = known_classes(["person", "background"], names, {"person": ["teddy", "crane"]})
    assert mapped == {0: [0, 3, 4]}
    with pytest.raises(InputError, match="knows none of the classes of the data"):
        known_classes(["person"], names)
    with pytest.raises(InputError, match="Unknown class of the network 'teddi': did you mean 'teddy'"):
        known_classes(["person"], names, {"person": ["teddi"]})
    with pytest.raises(InputError, match="Unknown class of the data 'persons'"):
        known_classes(["person"], names, {"persons": ["teddy"]})


@pytest.mark.parametrize("text", ["[]", '{"person": 3}', '{"person": [1]}', "no"])
def test_a_class_map_that_is_none(tmp_path, text):
    (tmp_path / "map.json").write_text(text)
    with pytest.raises(InputError, match=r"is no class map|is not valid JSON"):
        read_class_map(tmp_path / "map.json")


def test_a_class_map(tmp_path):
    (tmp_path / "map.json").write_text('{"person": ["man", "woman"], "dog": "beagle"}')
    assert read_class_map(tmp_path / "map.json") == {"person": ["man", "woman"], "dog": ["beagle"]}
    with pytest.raises(InputError, match="There is no file"):
        read_class_map(tmp_path / "none.json")


@pytest.mark.parametrize(("name", "classes", "count"), [("penn_fudan", ["person"], 170), ("coco_mini", None, 79)])
def test_real_photographs_with_masks(real_data, name, classes, count):
    source = open_masked(real_data(name))
    assert len(source.val) == count
    assert classes is None or list(source.class_names) == classes
    target = MaskedImages(source.val, source.class_names)[0][1]
    assert target["masks"].flatten(1).any(1).all()
    assert len(target["masks"]) == len(set(target["labels"].tolist())) > 0


@pytest.mark.parametrize("source", ["nowhere", "volumes:2,2", "."])
def test_what_has_no_masks_is_told(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match=r"There is no file or folder|has no classes with masks|has no masks|labels of voxels alone"
    ):
        open_masked(source)


# Through a network.


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    source = open_masked("shapes:2,6", DataSettings())
    create = partial(create_model, "res2net20_26w_4s_tiny", zero_init_last=False)
    return Classify.build(create, source, source.preprocessing, ClassifyOptions()).eval(), source


@pytest.mark.parametrize("method", ["gradcam", "eigen"])
def test_scores_are_those_of_the_map_of_the_true_class(classifier, method):
    task, source = classifier
    scores = score_maps(task, MaskedImages(source.val, source.class_names), method=method, accelerator="cpu")
    assert len(scores) == 6
    for index in range(6):
        image, target = source.val[index]
        x = eval_transform(task.preprocessing)(image)[None].as_subclass(torch.Tensor)
        heat = class_activation_maps(task.model, x, target["label"], method=method)[0]
        expected = map_scores(heat, target["saliency"].as_subclass(torch.Tensor))
        found = [getattr(scores, name)[index] for name in ("area", "pointing", "energy", "iou", "covered", "ious")]
        assert found[:5] == pytest.approx(expected[:5], abs=1e-5)
        assert found[5].tolist() == pytest.approx(expected[5], abs=1e-5)
        assert scores.classes[index] == source.class_names[target["label"]]
        assert scores.predicted[index] == source.class_names[int(task.model(x).argmax())]
        assert scores.correct[index] == (scores.predicted[index] == scores.classes[index])


def test_the_predicted_class_needs_no_names_in_common(classifier):
    task, source = classifier
    images = MaskedImages(source.val, [f"other {name}" for name in source.class_names])
    with pytest.raises(InputError, match="knows none of the classes"):
        score_maps(task, images)
    scores = score_maps(task, images, target="predicted", accelerator="cpu")
    assert len(scores) == 6
    assert not scores.correct.any()


def test_images_of_unknown_classes_are_left_out(classifier):
    task, source = classifier
    names = list(source.class_names)
    kept = int(source.val[2][1]["label"])
    images = MaskedImages(source.val, [name if index == kept else f"x{index}" for index, name in enumerate(names)])
    scores = score_maps(task, images, accelerator="cpu")
    assert set(scores.classes) == {names[kept]}
    assert len(scores) + len(scores.skipped) == 6
    assert all("no object of a known class" in one for one in scores.skipped)
