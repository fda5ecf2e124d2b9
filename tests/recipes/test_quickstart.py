"""The first run: a fair comparison, told as it came out."""

import base64
import io
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from res2net import create_model
from res2net.engine.config import DataConfig
from res2net.engine.train import Trained
from res2net.images.transforms import TrainAugment
from res2net.measure import count
from res2net.recipes.quickstart import MODELS, SEEDS, Comparison, by_size, compare, quickstart, verdict, write_report
from res2net.task.base import Evaluation
from res2net.tasks.classify.report import SIZES, count_by_size

SOURCE = "shapes:64,4"


def test_both_models_cost_the_same():
    options = quickstart(MODELS["Res2Net"]).model.options
    costs = [count(create_model(name, num_classes=16, **options), (3, 64, 64)) for name in MODELS.values()]
    assert costs[0].parameters == pytest.approx(costs[1].parameters, rel=0.02)
    assert costs[0].macs == pytest.approx(costs[1].macs, rel=0.02)


def test_both_models_are_trained_alike():
    first, second = (quickstart(model, epochs=3) for model in MODELS.values())
    assert (first.model.model, second.model.model) == tuple(MODELS.values())
    assert replace(second, model=first.model) == first
    assert replace(second.model, model=first.model.model) == first.model
    assert first.optim.epochs == 3
    assert first.task.augment(TrainAugment()) == TrainAugment()
    assert len(set(SEEDS)) == len(SEEDS) >= 2


def run(top1, seconds=10.0, **records):
    """A made-up run."""
    evaluation = Evaluation({"top1": top1}, {name: torch.as_tensor(values) for name, values in records.items()})
    return Trained(None, [{"seconds": seconds / 2}, {"seconds": seconds / 2}], evaluation, None, None)


def compared(resnet, res2net, seconds=(10.0, 15.0)):
    runs = {"ResNet": [run(score, seconds[0]) for score in resnet], "Res2Net": [run(s, seconds[1]) for s in res2net]}
    return Comparison(runs, tuple(range(len(resnet))))


@pytest.mark.parametrize(
    ("resnet", "res2net", "sentence"),
    [
        (
            (50.0, 52.0),
            (53.0, 54.0),
            "Res2Net is 2.5 points more accurate than ResNet (top-1, mean of 2 seeds); Res2Net is ahead in 2 of 2 "
            "seeds, and a run of it takes 1.50 times as long.",
        ),
        (
            (53.0, 54.0, 58.0),
            (50.0, 55.0, 51.0),
            "ResNet is 3.0 points more accurate than Res2Net (top-1, mean of 3 seeds); Res2Net is ahead in 1 of 3 "
            "seeds, and a run of it takes 1.50 times as long.",
        ),
        (
            (50.0, 60.0),
            (60.0, 50.02),
            "Res2Net and ResNet are equally accurate (top-1, mean of 2 seeds); Res2Net is ahead in 1 of 2 seeds, and "
            "a run of it takes 1.50 times as long.",
        ),
        (
            (50.0,),
            (50.0,),
            "Res2Net and ResNet are equally accurate (top-1, mean of 1 seed); Res2Net is ahead in 0 of 1 seed, and "
            "a run of it takes 1.50 times as long.",
        ),
    ],
    ids=["Res2Net wins", "ResNet wins", "equal but for rounding", "one seed"],
)
def test_the_verdict_has_no_favourite(resnet, res2net, sentence):
    assert verdict(compared(resnet, res2net)) == sentence


def test_swapping_the_scores_swaps_the_names():
    one, other = verdict(compared((40.0, 41.0), (47.0, 49.0))), verdict(compared((47.0, 49.0), (40.0, 41.0)))
    assert one.startswith("Res2Net is 7.5 points more accurate than ResNet")
    assert other.startswith("ResNet is 7.5 points more accurate than Res2Net")


def test_accuracy_by_size_is_the_mean_over_the_seeds():
    random = np.random.default_rng(0)
    sizes = random.uniform(SIZES[0], SIZES[-1], 300)
    sizes = sizes[(sizes < SIZES[1]) | (sizes >= SIZES[2])]  # no image in the second group
    label = random.integers(3, size=len(sizes))
    predicted = {name: [random.integers(3, size=len(sizes)) for _ in range(3)] for name in ("ResNet", "Res2Net")}
    runs = {
        name: [run(0.0, size=sizes, label=label, predicted=guess) for guess in guesses]
        for name, guesses in predicted.items()
    }
    table = by_size(Comparison(runs, (0, 1, 2)))
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
def comparison(tmp_path_factory):
    """Both models, two seeds, one epoch of so few images that some groups of sizes have none."""
    configs = {
        name: replace(quickstart(model, epochs=1), source=SOURCE, data=DataConfig(batch_size=32), accelerator="cpu")
        for name, model in MODELS.items()
    }
    return compare(configs, SEEDS, tmp_path_factory.mktemp("runs"), Console(quiet=True))


def test_runs_are_what_was_asked_for(comparison):
    assert list(comparison.runs) == list(MODELS)
    assert comparison.seeds == SEEDS
    for name, runs in comparison.runs.items():
        assert [found.task.model.variant_name for found in runs] == [MODELS[name]] * 2
        assert [len(found.rows) for found in runs] == [1, 1]
        first, second = (found.task.model.state_dict() for found in runs)
        assert not torch.equal(first["fc.weight"], second["fc.weight"])
    seen = [found.evaluation.records["label"].tolist() for runs in comparison.runs.values() for found in runs]
    assert seen == [seen[0]] * 4


def test_the_table_says_what_the_runs_scored(comparison):
    table = comparison.table("top1")
    assert [row[0] for row in table.rows] == ["ResNet", "Res2Net"]
    for row, runs in zip(table.rows, comparison.runs.values(), strict=True):
        one, other = (found.evaluation.metrics["top1"] for found in runs)
        assert row[3] == pytest.approx((one + other) / 2)
        assert row[4] == pytest.approx(abs(one - other) / math.sqrt(2))
        assert row[1] * 1e3 == sum(parameter.numel() for parameter in runs[0].task.model.parameters())


def test_the_report_is_one_page_with_everything_in_it(comparison, tmp_path):
    assert 0 in count_by_size(comparison.runs["ResNet"][0].evaluation)
    path = write_report(comparison, tmp_path / "folder", SOURCE)
    assert path == tmp_path / "folder" / "report.html"
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]
    html = path.read_text("utf-8")
    page = Page(html)
    sections = ["Accuracy by the size of the object", "Training", "What the networks look at"]
    assert page.headings[0] == "ResNet and Res2Net of the same cost"
    assert [heading for heading in page.headings if heading in sections] == sections
    assert verdict(comparison) in html
    for table in (comparison.table("top1"), by_size(comparison)):
        assert str(table.to_html()) in html
    images = [attributes["src"] for tag, attributes in page.elements if tag == "img"]
    assert len(images) == 3
    for image in images:
        kind, _, content = image.partition(",")
        assert kind == "data:image/png;base64"
        Image.open(io.BytesIO(base64.b64decode(content))).verify()
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "link", "iframe", "object", "base"})
    assert all(attributes.get("href", "#").startswith("#") for _, attributes in page.elements)
    assert "://" not in re.sub(r'"data:[^"]*"', "", html)
