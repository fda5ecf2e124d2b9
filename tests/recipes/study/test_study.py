"""Studies: runs that are trained once, scores of the right epoch, and sentences that say no more than the seeds do."""

import json
import re
from dataclasses import replace
from typing import ClassVar

import pytest
from rich.console import Console

from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from res2net.engine.folder import RunFolder
from res2net.errors import InputError
from res2net.recipes.study import Cost, Study, run_study, tune
from res2net.recipes.study.report import cost_figure, epoch_figure, write_study
from res2net.recipes.study.result import FinishedRun
from res2net.recipes.study.runs import held_out
from res2net.tasks.classify.options import ClassifyOptions


class Made(Study):
    """A study whose networks cost what the test says."""

    costs: ClassVar = {
        name: Cost(1_000_000 * (1 + i), 2_000_000 * (1 + i), 0.5) for i, name in enumerate(("ResNet", "Res2Net"))
    }


def rows(*scores):
    return [
        {"epoch": epoch, "val_top1": score, "val_loss": 9.0 - epoch, "seconds": 30.0}
        for epoch, score in enumerate(scores, start=1)
    ]


def config(**optim):
    options = OptimConfig(**{"epochs": 2, "optimizer": "adamw", "lr": 3e-3, **optim})
    model = ModelConfig("resnet20_tiny")
    return TrainConfig(
        "classify", "shapes:64,16", ClassifyOptions(), model, DataConfig(batch_size=16, workers=0), options
    )


def made(resnet, res2net, tmp_path, **options):
    """A study of two models with these epochs of each seed."""
    runs = {
        name: [FinishedRun(seed, RunFolder(tmp_path), rows(*scores)) for seed, scores in enumerate(seeds)]
        for name, seeds in (("ResNet", resnet), ("Res2Net", res2net))
    }
    return Made({name: config() for name in runs}, range(len(resnet)), runs, **options)


@pytest.fixture
def study(tmp_path):
    return made([(50, 40), (50, 41), (50, 42)], [(30, 42), (60, 43), (30, 44.5)], tmp_path)


def test_the_last_epoch_is_scored_unless_the_best_is_asked_for(study):
    assert study.scores() == {"ResNet": [40, 41, 42], "Res2Net": [42, 43, 44.5]}
    best = replace(study, epoch="best")
    assert best.scores() == {"ResNet": [50, 50, 50], "Res2Net": [42, 60, 44.5]}
    assert best.scores("loss")["ResNet"] == [7, 7, 7], "the lowest"
    with pytest.raises(InputError, match=r"no metric 'top5': choose one of top1, loss"):
        study.scores("top5")


def test_the_others_are_compared_with_the_first(study):
    (pair,) = study.differences().values()
    assert pair.mean == pytest.approx(13 / 6)
    assert pair.wins == 3
    assert study.verdicts() == [
        f"Res2Net is better than ResNet ({pair.mean:+.2f} [{pair.low:+.2f}, {pair.high:+.2f}], p = {pair.p:.2g})."
    ]


def test_who_is_worse_is_called_so(study):
    turned = replace(study, runs={"ResNet": study.runs["Res2Net"], "Res2Net": study.runs["ResNet"]})
    assert turned.verdicts()[0].startswith("Res2Net is worse than ResNet (-2.17")


def test_chance_and_few_seeds_are_called_so(tmp_path):
    even = made([(40,), (41,), (42,)], [(42,), (41,), (40.5,)], tmp_path)
    assert even.verdicts()[0].startswith("Res2Net and ResNet differ by no more than chance would explain (+0.17")
    assert made([(40,)], [(50,)], tmp_path).verdicts() == [
        "Res2Net: one seed says too little of its difference from ResNet (+10.00)."
    ]
    two = made([(40,), (41,)], [(50,), (51,)], tmp_path)
    assert two.verdicts() == ["Res2Net: 2 seeds say too little of its difference from ResNet (+10.00)."]


def test_tables_and_page_show_scores_and_costs(study, tmp_path):
    scores = study.score_table()
    assert [row[:3] for row in scores.rows] == [
        ("ResNet", "41.00 ± 2.48", 1.0),
        ("Res2Net", "43.17 ± 3.13", pytest.approx(1.258, abs=1e-3)),
    ]
    assert scores.rows[0][3:] == (None, None)
    assert study.cost_table().rows == [("ResNet", 1.0, 2.0, 1.0), ("Res2Net", 2.0, 4.0, 1.0)]
    page = write_study(study, tmp_path, "ResNet and Res2Net", "res2net sweep").read_text("utf-8")
    assert study.verdicts()[0].split(" (")[0] in page
    assert page.count("<img") == 2
    saved = json.loads((tmp_path / "study.json").read_text())
    assert saved["arms"]["Res2Net"]["scores"] == [42, 43, 44.5]
    assert saved["arms"]["Res2Net"]["epochs"] == [[30, 42], [60, 43], [30, 44.5]]
    assert saved["arms"]["ResNet"]["difference"] is None
    assert saved["arms"]["ResNet"]["config"]["optim"]["lr"] == 3e-3


def test_figures_show_each_cost_and_join_what_is_varied(study):
    figure = cost_figure(study, {"width": ["ResNet", "Res2Net"]})
    assert [axes.get_xlabel() for axes in figure.axes] == ["parameters, M", "MACs, M", "time per input, ms"]
    (joined,) = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 2 and line.get_linestyle() == "-"]
    assert joined.get_ydata() == pytest.approx([41, 43.1667], abs=1e-3)
    assert len(epoch_figure(study).axes[0].lines) == 2


def test_runs_are_trained_once_and_go_on(tmp_path):
    console = Console(quiet=True)
    arms = {"slow": config(epochs=1, lr=1e-4), "fast": config(epochs=1)}
    first = run_study(arms, (1,), tmp_path, console=console)
    times = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("best.safetensors")}
    assert sorted(path.parent.name for path in times) == ["fast-seed1", "slow-seed1"]
    again = run_study(arms, (1,), tmp_path, console=console)
    assert again.scores() == first.scores()
    assert {file: file.stat().st_mtime_ns for file in times} == times
    assert first.costs["fast"].parameters == first.costs["slow"].parameters > 200_000
    with pytest.raises(InputError, match=r"fast-seed1 has another --lr than this study: choose another --out"):
        run_study({"fast": config(epochs=1, lr=0.5)}, (1,), tmp_path, console=console)
    with pytest.raises(InputError, match="another --epochs than"):
        run_study({"fast": config(epochs=2)}, (1,), tmp_path, console=console)


@pytest.mark.parametrize(
    ("names", "seeds", "message"),
    [
        ((), (0,), "at least one model and one seed"),
        (("a",), (), "at least one model and one seed"),
        (("a",), (1, 1), "The seeds 1, 1 are not all different"),
        (("a b", "a-b"), (0,), "too alike for folders"),
    ],
)
def test_wrong_plans_are_refused(tmp_path, names, seeds, message):
    with pytest.raises(InputError, match=message):
        run_study({name: config() for name in names}, seeds, tmp_path)


def test_tuning_holds_a_part_of_the_training_split_out():
    data = held_out(config())
    assert (data.train_split, data.val_split, data.val_fraction) == ("train", "train", 0.1)


def test_data_without_splits_are_tuned_on_their_validation_part(tmp_path):
    for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    plain = replace(config(), source=str(tmp_path))
    assert held_out(plain) == plain.data


@pytest.mark.slow
def test_each_arm_gets_the_value_that_suits_it(tmp_path):
    arms = {"a": config(epochs=2), "b": config(epochs=2, weight_decay=0.1)}
    best, scores = tune(arms, "lr", (1e-6, 3e-3), tmp_path, epochs=1, console=Console(quiet=True))
    assert [name for name, *_ in scores] == ["a", "b"]
    for name, *row in scores:
        assert best[name] == replace(arms[name], optim=replace(arms[name].optim, lr=(1e-6, 3e-3)[row.index(max(row))]))
    tried = (tmp_path / "a-lr=0.003-seed0" / "config.yaml").read_text()
    assert re.search("val_split: train", tried)
    assert re.search("epochs: 1", tried)
