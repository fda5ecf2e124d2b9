"""The script for GPUs: what it concludes from its results, and that it runs with little installed and little time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
NOT_NEEDED = ("captum", "lightning", "matplotlib", "openvino", "rich", "tensorboard", "torchmetrics", "tyro")
# Their absence is told to the script's own process.
START = "import runpy, sys; sys.modules.update(dict.fromkeys({absent})); sys.argv = {argv}; "
START += "sys.path.insert(0, {folder!r}); runpy.run_path({argv}[0], run_name='__main__')"


@pytest.fixture
def targets(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import gpu_targets

    return gpu_targets


@pytest.fixture
def timing(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import gpu_timing

    return gpu_timing


def result(group, library, model, how, images_per_s=None):
    timed = {} if images_per_s is None else {"images_per_s": images_per_s}
    return {"group": group, "library": library, "model": model, "how": how, "case": f"{library} {model}", **timed}


def test_ratios_are_those_of_the_best_of_ours_to_the_compiled_of_theirs(targets):
    results = [
        result("inference", "timm", "resnet50", "compiled", 100.0),
        result("inference", "timm", "resnet50", "eager", 500.0),
        result("inference", "timm", "res2net50_26w_4s", "compiled", 80.0),
        result("inference", "ours", "res2net50_26w_4s", "graph", 90.0),
        result("more inference", "ours", "res2net50_26w_4s", "autotuned", 110.0),
        result("latency", "ours", "res2net50_26w_4s", "graph", 9999.0),
        result("inference", "ours", "res2net50_14w_8s", "graph", 88.0),
        result("inference", "ours", "res2net50_14w_8s", "compiled"),
        result("training", "ours", "res2net50_26w_4s", "eager", 95.0),
        result("training", "timm", "resnet50", "eager", 100.0),
        result("training", "timm", "resnet50", "compiled", 100.0),
    ]
    rows = targets.target_rows(results)
    assert [row[2] for row in rows] == [pytest.approx(1.1), pytest.approx(1.375), 0.8, 0.95, None]
    assert [row[3] for row in rows] == ["yes", "yes", "NO", "yes", "not measured"]
    assert all(row[3] == "not measured" for row in targets.target_rows([]))


def test_the_distance_to_the_limits(targets):
    results = [result("inference", "ours", "res2net50_26w_4s", "graph", 1000.0)]
    limits = {"flop_per_s": 85.1e12, "bytes_per_s": 260e9}
    assert targets.limit_rows(results, limits) == [
        ("ours res2net50_26w_4s", *(pytest.approx(n) for n in (8.51, 0.1, 26.0, 0.1)))
    ]
    assert targets.limit_rows(results, {}) == []


def test_cases_are_timed_in_turn(timing):
    called = []
    functions = {name: lambda name=name: called.append(name) for name in "abc"}
    seconds = timing.interleaved(functions, "cpu", 2)
    assert "".join(called) == "cba" + "abc" + "cba"
    assert {name: len(each) for name, each in seconds.items()} == {"a": 2, "b": 2, "c": 2}


def test_a_table_is_plain_text(timing):
    text = timing.text_table("Title", ("what", "n"), [("one", 1234.5), ("two", 0.01234), ("three", None)])
    assert text.splitlines()[1:] == [
        "Title",
        "",
        "what   n",
        "-----  ------",
        "one    1234",
        "two    0.0123",
        "three  -",
    ]


@pytest.mark.slow
def test_it_runs_where_little_is_installed_and_skips_what_it_has_no_time_for(tmp_path):
    out = tmp_path / "gpu.json"
    argv = [str(FOLDER / "gpu.py"), "--dry", "--device", "cpu", "--minutes", "0", "--out", str(out)]
    command = START.format(absent=NOT_NEEDED, argv=argv, folder=str(FOLDER))
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    content = json.loads(out.read_text())
    assert {case["status"] for case in content["cases"]} == {"skipped"}
    assert len(content["problems"]) > len(content["cases"])
    assert [row["met"] for row in content["targets"]] == ["not measured"] * 5
    assert "inference: timm resnet50 compiled: skipped" in done.stdout


@pytest.mark.slow
def test_it_runs_to_its_end_on_a_cpu(tmp_path):
    """Without a GPU the cases of the kernel fail, and the others are timed."""
    out = tmp_path / "gpu.json"
    command = [sys.executable, str(FOLDER / "gpu.py"), "--dry", "--device", "cpu", "--minutes", "30", "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    content = json.loads(out.read_text())
    assert {case["status"] for case in content["cases"] if case["kernels"] != "triton"} == {"done"}
    assert all(
        "GPU" in case["said"] or "triton" in case["said"] for case in content["cases"] if case["kernels"] == "triton"
    )
    assert all(check["right"] for check in content["checks"])
    assert "not measured" not in {row["met"] for row in content["targets"]}
