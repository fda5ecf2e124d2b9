"""Comparisons: equal budgets in turn, and tables that say what was measured."""

import math
from dataclasses import replace

import pytest
from rich.console import Console

from res2net import create_model
from res2net.engine.train import Trained
from res2net.recipes.quickstart import Comparison, compare, quickstart
from res2net.task.base import Evaluation
from res2net.tasks.classify.task import Classify, ClassifyOptions
from res2net.weights import Preprocessing


def trained(model, top1, seconds, speed, size=64):
    """A made-up run of two epochs."""
    network = create_model(model, num_classes=2, in_channels=1)
    preprocessing = Preprocessing(size=size, mean=(0.5,), std=(0.25,))
    task = Classify(network, preprocessing, ClassifyOptions(), {"class_names": ["cat", "dog"]})
    rows = [{"seconds": seconds / 4, "images_per_s": 1.0}, {"seconds": 3 * seconds / 4, "images_per_s": speed}]
    return Trained(None, rows, Evaluation({"top1": top1}, {}), task, None)


@pytest.fixture
def comparison():
    small, large = "resnet20_tiny", "res2net20_26w_4s_tiny"
    runs = {
        "small": [trained(small, 50.0, 10, 100), trained(small, 53.0, 12, 200), trained(small, 56.0, 20, 300)],
        "large": [trained(large, 40.0, 8, 400, 32), trained(large, 40.0, 8, 400, 32), trained(large, 70.0, 8, 400, 32)],
    }
    return Comparison(runs, (0, 1, 2))


def test_scores_are_those_of_the_best_weights_in_the_order_of_the_seeds(comparison):
    assert comparison.scores("top1") == {"small": [50.0, 53.0, 56.0], "large": [40.0, 40.0, 70.0]}


def test_costs_are_of_one_image_as_the_network_sees_it(comparison):
    """By hand for the first convolution's share: a quarter of the pixels cost a quarter, the classifier aside."""
    full = comparison.counts()["large"]
    bigger = Comparison({"large": [trained("res2net20_26w_4s_tiny", 0.0, 1, 1, 64)]}, (0,)).counts()["large"]
    network = comparison.runs["large"][0].task.model
    assert full.parameters == sum(parameter.numel() for parameter in network.parameters())
    classifier = network.fc.weight.numel()
    assert bigger.macs - classifier == 4 * (full.macs - classifier)


def test_the_table_has_means_deviations_and_times(comparison):
    table = comparison.table("top1")
    assert table.title.startswith("3 seeds")
    for row, name in zip(table.rows, ("small", "large"), strict=True):
        counts = comparison.counts()[name]
        assert row[:3] == (name, counts.parameters / 1e3, counts.macs / 1e6)
    # Deviations of a sample: the sums of squares are divided by 2.
    assert table.rows[0][3:] == pytest.approx((53.0, 3.0, 14.0, 200.0))
    assert table.rows[1][3:] == pytest.approx((50.0, math.sqrt((100 + 100 + 400) / 2), 8.0, 400.0))
    html = table.to_html()
    assert "<strong>53.00</strong>" in html
    assert "<strong>8</strong>" in html


def test_one_seed_has_no_deviation():
    table = Comparison({"one": [trained("resnet20_tiny", 50.0, 10, 100)]}, (0,)).table("top1")
    assert table.rows[0][3:5] == (50.0, None)


def test_the_models_take_turns_with_the_same_seeds(tmp_path, monkeypatch):
    asked = []

    def note(config, *, console):
        asked.append(config)
        return config

    monkeypatch.setattr("res2net.recipes.quickstart.train", note)
    base = quickstart("resnet20_tiny")
    # Two recipes of one model are told apart as well.
    configs = {"slow": base, "fast": replace(base, optim=replace(base.optim, lr=1.0))}
    found = compare(configs, (3, 5), tmp_path / "all", Console(quiet=True))
    assert [(config.optim.lr, config.seed) for config in asked] == [(0.005, 3), (1.0, 3), (0.005, 5), (1.0, 5)]
    assert len({config.out for config in asked}) == 4
    assert all(config.out.startswith(str(tmp_path / "all")) for config in asked)
    assert [replace(config, seed=0, out=base.out) for config in asked] == [*configs.values()] * 2
    assert found.seeds == (3, 5)
    assert found.runs == {"slow": asked[0::2], "fast": asked[1::2]}
