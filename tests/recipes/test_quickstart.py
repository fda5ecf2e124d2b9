"""The first run: a setting that was recorded with many seeds, told as it came out."""

import base64
import io
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from res2net import create_model
from res2net.engine.recipes import SMALL_PAIR
from res2net.engine.train import open_data
from res2net.measure import count
from res2net.recipes.quickstart import (
    beside_recorded,
    by_size,
    configs,
    evaluations,
    quickstart,
    same_setting,
    write_report,
)
from res2net.recipes.study import mean_interval, recorded
from res2net.task.base import Evaluation
from res2net.tasks.classify.report import SIZES, count_by_size

SOURCE = "shapes:64,4"


def test_both_models_cost_the_same():
    options = configs()["Res2Net"].model.options
    costs = [count(create_model(name, num_classes=16, **options), (3, 64, 64)) for name in SMALL_PAIR.values()]
    assert costs[0].parameters == pytest.approx(costs[1].parameters, rel=0.02)
    assert costs[0].macs == pytest.approx(costs[1].macs, rel=0.02)


def test_both_models_are_trained_as_was_recorded():
    study = recorded("shapes")
    for name, arm in SMALL_PAIR.items():
        assert configs()[name] == study.arms[arm]
        assert configs()[name].model.model == arm
    first, second = configs(SOURCE, epochs=3).values()
    assert replace(second, model=first.model, optim=first.optim) == first
    assert (first.source, first.optim.epochs) == (SOURCE, 3)
    assert replace(second.optim, lr=first.optim.lr) == first.optim, "but for the rate, each has its own"


def test_the_recorded_study_has_enough_seeds():
    study = recorded("shapes")
    assert len(study.seeds) >= 3
    assert {len(values) for values in study.scores().values()} == {len(study.seeds)}
    assert "res2net sweep shapes" in study.command
    assert 0 < study.costs[SMALL_PAIR["Res2Net"]].parameters < 1e6


def test_the_documentation_says_what_is_recorded():
    page = (Path(__file__).parents[2] / "docs" / "studies.md").read_text("utf-8")
    study = recorded("shapes")
    for name, values in study.scores().items():
        interval = mean_interval(values)
        assert f"| `{name}` | {interval.mean:.2f} | {interval.std:.2f} |" in page
    (pair,) = study.differences().values()
    text = " ".join(page.split())
    assert (
        f"{pair.mean:+.2f} points with a confidence interval from {pair.low:.2f} to {pair.high:+.2f} (p = {pair.p:.3f})"
        in text
    )
    assert " ".join(study.command.split()) in " ".join(page.replace("\\\n", " ").split())


def run(**records):
    """A made-up evaluation."""
    return Evaluation({}, {name: torch.as_tensor(values) for name, values in records.items()})


def test_accuracy_by_size_is_the_mean_over_the_seeds():
    random = np.random.default_rng(0)
    sizes = random.uniform(SIZES[0], SIZES[-1], 300)
    sizes = sizes[(sizes < SIZES[1]) | (sizes >= SIZES[2])]  # no image in the second group
    label = random.integers(3, size=len(sizes))
    predicted = {name: [random.integers(3, size=len(sizes)) for _ in range(3)] for name in ("ResNet", "Res2Net")}
    table = by_size(
        {
            name: [run(size=sizes, label=label, predicted=guess) for guess in guesses]
            for name, guesses in predicted.items()
        }
    )
    assert [column.heading for column in table.columns] == [
        *("object size", "images", "ResNet", "Res2Net", "difference")
    ]
    assert [row[0] for row in table.rows] == ["6 - 10 %", "10 - 16 %", "16 - 26 %", "26 - 42 %", "42 - 90 %"]
    for group, row in enumerate(table.rows):
        places = [i for i, size in enumerate(sizes) if SIZES[group] <= size < SIZES[group + 1]]
        assert row[1] == len(places)
        if group == 1:
            assert all(math.isnan(value) for value in row[2:])
            continue
        means = []
        for guesses in predicted.values():
            shares = [sum(guess[i] == label[i] for i in places) / len(places) for guess in guesses]
            means.append(100 * sum(shares) / 3)
        assert row[2:4] == pytest.approx(means, rel=1e-5)
        assert row[4] == pytest.approx(means[1] - means[0], rel=1e-4)


class Page(HTMLParser):
    """The elements of a page, and the text of its headings."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.headings, self._heading = [], [], False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._heading = tag in ("h1", "h2")

    def handle_data(self, data):
        if self._heading:
            self.headings.append(data.strip())
        self._heading = False


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def study(folder):
    """Both models, one seed, one epoch of so few images that some groups of sizes have none."""
    return quickstart(folder, source=SOURCE, epochs=1, jobs=1, console=Console(quiet=True))


@pytest.fixture(scope="module")
def source(study):
    return open_data(study.arms["ResNet"])


@pytest.fixture(scope="module")
def evaluated(study, source):
    return evaluations(study, source)


def test_the_last_weights_are_evaluated(study, evaluated):
    for name, (evaluation,) in evaluated.items():
        assert evaluation.metrics["top1"] == pytest.approx(study.scores()[name][0])


def test_runs_of_other_data_are_not_put_beside_recorded_ones(study):
    assert not same_setting(study)
    assert same_setting(replace(study, arms=configs()))
    assert not same_setting(replace(study, arms=configs(epochs=3)))


def test_one_seed_is_put_beside_the_recorded_ones(study):
    before = recorded("shapes")
    first, second, last = beside_recorded(replace(study, arms=configs()), before)
    interval = mean_interval(before.scores()[SMALL_PAIR["ResNet"]])
    assert first.startswith(
        f"ResNet: {study.scores()['ResNet'][0]:.2f} % here; recorded with {len(before.seeds)} seeds: "
    )
    assert f"{interval.mean:.2f} % (standard deviation {interval.std:.2f})" in first
    assert second.startswith("Res2Net: ")
    pair = before.differences()[SMALL_PAIR["Res2Net"]]
    assert f"Res2Net minus ResNet is {pair.mean:+.2f} points [{pair.low:+.2f}, {pair.high:+.2f}]" in last


@pytest.mark.parametrize("is_recorded", [True, False])
def test_the_report_is_one_page_with_everything_in_it(study, source, evaluated, tmp_path, is_recorded):
    assert 0 in count_by_size(evaluated["ResNet"][0])
    if is_recorded:
        study = replace(study, arms=configs())
    path = write_report(study, source, evaluated, tmp_path)
    html = path.read_text("utf-8")
    page = Page(html)
    sections = ["Accuracy by the size of the object", "Training", "What the networks look at"]
    assert page.headings[0] == "ResNet and Res2Net of the same cost"
    assert [heading for heading in page.headings if heading in sections] == sections
    before = recorded("shapes")
    assert str(by_size(evaluated).to_html()) in html
    assert (str(before.score_table().to_html()) in html) == is_recorded
    images = [attributes["src"] for tag, attributes in page.elements if tag == "img"]
    assert len(images) == 3 + is_recorded
    for image in images:
        kind, _, content = image.partition(",")
        assert kind == "data:image/png;base64"
        Image.open(io.BytesIO(base64.b64decode(content))).verify()
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "link", "iframe", "object", "base"})
    assert all(attributes.get("href", "#").startswith("#") for _, attributes in page.elements)
    assert "://" not in re.sub(r'"data:[^"]*"', "", html)
