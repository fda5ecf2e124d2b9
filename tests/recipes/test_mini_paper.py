"""The comparison on six tasks: equal but for the network, and told as it came out."""

from dataclasses import replace

import pytest

from res2net import create_model
from res2net.engine.folder import RunFolder
from res2net.engine.recipes import SMALL_PAIR
from res2net.errors import InputError
from res2net.measure import count
from res2net.recipes.mini_paper import TASKS, MiniPaper, configs, mini_paper, write
from res2net.recipes.study import Cost, Study
from res2net.recipes.study.result import FinishedRun
from res2net.task.base import TASKS as ALL_TASKS


@pytest.mark.parametrize("part", TASKS)
def test_both_networks_are_trained_alike(part):
    first, second = configs(part, epochs=0.5, images=(40, 8)).values()
    assert replace(second, model=first.model) == first
    assert replace(second.model, model=first.model.model) == first.model
    assert (first.model.model, second.model.model) == tuple(SMALL_PAIR.values())
    assert first.source == "shapes:40,8"
    assert first.optim.epochs == max(1, round(0.5 * configs(part)["ResNet"].optim.epochs))
    assert first.task_name in ALL_TASKS


def test_both_networks_cost_the_same():
    resnet, res2net = (count(create_model(name, num_classes=16), (3, 64, 64)) for name in SMALL_PAIR.values())
    assert res2net.parameters == pytest.approx(resnet.parameters, rel=0.02)
    assert res2net.macs == pytest.approx(resnet.macs, rel=0.02)


def test_an_unknown_task_is_refused():
    with pytest.raises(InputError, match="task of the mini-paper 'keypoint': did you mean 'keypoints'"):
        mini_paper("nowhere", parts=["keypoint"])


def study(part, resnet, res2net, tmp_path):
    arms = configs(part)
    metric = ALL_TASKS[arms["ResNet"].task_name].scoring.monitor
    runs = {
        name: [
            FinishedRun(seed, RunFolder(tmp_path), [{"epoch": 1, f"val_{metric}": score, "seconds": 6.0}])
            for seed, score in enumerate(scores)
        ]
        for name, scores in (("ResNet", resnet), ("Res2Net", res2net))
    }
    made = Study(arms, range(len(resnet)), runs)
    made.__dict__["costs"] = {name: Cost(1_000_000, 2_000_000) for name in arms}
    return made


def test_losses_are_left_in(tmp_path):
    paper = MiniPaper(
        {
            "classification": study("classification", (60, 61, 62), (65, 66.1, 67), tmp_path),
            "semantic": study("semantic", (80, 81, 82), (78, 79.1, 80), tmp_path),
            "detection": study("detection", (50, 51, 52), (51, 50, 52.5), tmp_path),
        }
    )
    assert paper.verdict() == "Res2Net is better in 1 of 3 tasks and worse in 1; in 1 the seeds show no difference."
    rows = {row[0]: row[1:] for row in paper.table().rows}
    assert rows["semantic"][:3] == ("mIoU", "81.00 ± 1.00", "79.03 ± 1.00")
    assert rows["semantic"][3].startswith("-1.97 [-2.11, -1.82]")
    assert rows["semantic"][4] == pytest.approx(2 * paper.studies["semantic"].differences()["Res2Net"].p)
    (axes,) = paper.figure().axes
    assert [label.get_text() for label in axes.get_yticklabels()] == list(paper.studies)
    page, text = write(paper, tmp_path, "res2net mini-paper")
    written = text.read_text("utf-8")
    for wanted in (paper.verdict(), "`res2net mini-paper`", "## Semantic", "Res2Net is worse than ResNet (-1.97"):
        assert wanted in written
    assert (tmp_path / "differences.png").stat().st_size > 10_000
    assert paper.verdict() in page.read_text("utf-8")


def test_two_seeds_show_nothing_as_in_the_verdicts_of_each_task(tmp_path):
    paper = MiniPaper({"semantic": study("semantic", (80, 81), (78, 79.001), tmp_path)})
    assert paper.pairs["semantic"].p < 0.05
    assert paper.verdict() == "Res2Net is better in 0 of 1 tasks and worse in 0; in 1 the seeds show no difference."
    assert "2 seeds say too little" in paper.studies["semantic"].verdicts()[0]
