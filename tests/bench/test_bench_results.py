"""Results as numbers, tables and figures."""

import json

import pytest
from matplotlib.colors import to_hex

from res2net.bench import Benchmark, Case, Result, Samples, Setting
from res2net.bench.plot import LOOKS, apart, latency_figure
from res2net.bench.results import doubts
from res2net.measure import Counts


def result(model, runtime="eager", seconds=(0.01, 0.02, 0.03), base=None, **given):
    samples = Samples(seconds=dict(enumerate(seconds)))
    case = Case(model, runtime, given.pop("precision", "fp32"), given.pop("batch", 1), 224, **given)
    return Result(case, Counts(25_000_000, 10**9, 1), samples, base or samples, peak=400e9)


def test_numbers_of_a_result():
    first = result("a")
    second = result("b", seconds=(0.02, 0.04, 0.06), base=first.samples, batch=4)
    assert second.operations == 8e9
    assert second.ratio.median == pytest.approx(2)
    assert second.of_peak == pytest.approx(100)  # 8 GFLOP in 20 ms are all that the machine can do
    said = json.loads(json.dumps(second.to_dict()))
    assert said["seconds"]["median"] == 0.04
    assert said["samples_by_round"] == {"0": 0.02, "1": 0.04, "2": 0.06}
    assert said["images_per_second"] == pytest.approx(100)
    assert result("a", training=True).operations == 6e9


def test_a_table_for_each_group():
    results = [result("a"), result("b"), result("a", batch=8), result("a", batch=8, training=True)]
    found = Benchmark(results, {"fp32": 4e11}, Setting(1), {})
    titles = [table.title for table in found.tables()]
    assert [title.partition(";")[0] for title in titles] == [
        "Latency, 1 image of 224 px",
        "Latency, 8 images of 224 px",
        "Training step, 8 images of 224 px",
    ]
    assert "fp32 400 GFLOP/s" in found.peak_line()


def test_samples_that_lie_apart_are_doubted():
    assert doubts([result("a", seconds=(1.0, 1.0, 1.01))]) == []
    (sentence,) = doubts([result("a", seconds=(1.0, 1.0, 1.01)), result("b")])
    assert sentence.startswith("The interquartile range of 1 of 2 cases")
    assert "b, eager fp32" in sentence


def test_places_are_moved_apart_as_little_as_needed():
    assert apart([0.0, 1.0], 0.5).tolist() == [0.0, 1.0]
    assert apart([0.0, 0.1], 0.5).tolist() == pytest.approx([-0.2, 0.3])
    spread = apart([0.0, 0.1, 0.2, 5.0], 0.5).tolist()
    assert spread == pytest.approx([-0.4, 0.1, 0.6, 5.0])


def test_the_figure_has_a_row_for_each_model_and_a_colour_for_each_runtime():
    results = [result(name, runtime) for name in ("a", "timm:a", "b") for runtime in ("eager", "openvino")]
    axes = latency_figure(results).axes[0]
    assert axes.get_ylabel() == "parameters, million"
    assert axes.get_xlabel() == "latency of 1 image of 224 px, ms"
    assert sorted(text.get_text() for text in axes.texts) == ["a", "b"]  # timm's stands in the row of ours
    low, high = axes.get_yticks()
    assert high - low >= 0.44
    assert {to_hex(line.get_color()) for line in axes.lines} == {LOOKS["eager"].lower(), LOOKS["openvino"].lower()}


def test_the_figure_has_accuracies_where_all_are_known():
    results = [result("a"), result("b")]
    assert latency_figure(results, {"a": 70.0, "b": 80.0}).axes[0].get_ylabel() == "top-1 accuracy, %"
    assert latency_figure(results, {"a": 70.0}).axes[0].get_ylabel() == "parameters, million"
