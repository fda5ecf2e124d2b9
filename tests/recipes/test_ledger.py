"""The ledger: every table and figure has numbers, commands that parse, costs and small runs, and pages say the same."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from res2net.backbones.registry import VARIANTS
from res2net.cli import COMMANDS
from res2net.commands import cam, compare
from res2net.commands.arguments import parse_for_task, split_task
from res2net.commands.evaluate import Arguments as EvalArguments
from res2net.commands.parser import parse
from res2net.commands.train import parse_train
from res2net.console import Console
from res2net.engine.options import eval_options_type
from res2net.engine.recipes import RECIPES
from res2net.engine.reproduce import reproduce
from res2net.errors import InputError
from res2net.recipes.ledger.cost import PATH, count_macs, counted, epochs_of, hours
from res2net.recipes.ledger.experiment import LEDGER, arms_of, find_entries, gpu_hours, small_command, small_of
from res2net.recipes.ledger.markdown import page
from res2net.recipes.ledger.recorded import FOLDER, from_study, read, record, recorded, write
from res2net.recipes.ledger.run import grouped
from res2net.recipes.ledger.tables import commands, ledger_table, published, to_dict, total_hours, weights_to_check
from res2net.weights import find_record

ROOT = Path(__file__).parents[2]
TABLES = [f"table{number}" for number in (*range(1, 11),)] + [f"fig{number}" for number in range(4, 8)]
NOT_HERE = ("speakers", "people", "proteins")
"""Uses that the authors' page names, and for which there is no task."""
HERE = [name for name in LEDGER if name not in NOT_HERE]


def test_every_table_and_figure_of_the_paper_and_of_the_page_is_a_row():
    page_rows = ("v1b", "ssld", "mmdet", "mmdet_zoo", "panoptic", "poolnet", "res2netplus", "roads", "clicks")
    page_rows += ("volumes", "depth", "translation", "single_stage", *NOT_HERE)
    assert sorted(LEDGER) == sorted((*TABLES, "res2net50_299", *page_rows))


@pytest.mark.parametrize("name", LEDGER)
def test_a_row_is_whole(name):
    experiment = LEDGER[name]
    for entry in experiment.entries:
        assert len(entry.published) == len(experiment.metrics), entry.label
        assert entry.model.partition(":")[0] in VARIANTS or (not entry.model and entry.label), entry.label
        if entry.weights:
            assert find_record(entry.model, entry.weights)
    assert len({entry.label for entry in experiment.entries}) == len(experiment.entries)
    numbers = [value for entry in experiment.entries for value in entry.published if value is not None]
    assert numbers or experiment.claim
    if name in NOT_HERE:
        assert experiment.missing
        return
    assert total_hours(name) > 0
    assert experiment.full.recipe in RECIPES
    small = small_of(name)[1]
    if small is None:
        assert experiment.missing
        return
    config = RECIPES[small.recipe].configure()
    assert list(arms_of(config, small.models)) == list(small.models)
    assert bool(config.source) != bool(small.source)
    assert small.says


def flags(command):
    """What matters to the parser: the recipe or task, and the names of the options."""
    words = shlex.split(command)
    return tuple(word for word in words if word.startswith("--") or word in RECIPES or word in ("saliency", "click"))


ALL_COMMANDS = [command for name in HERE for _, lines in commands(LEDGER[name]) for command in lines]
DIFFERENT = list({flags(command): command for command in ALL_COMMANDS}.values())


@pytest.mark.parametrize("command", DIFFERENT)
def test_commands_parse(command):
    program, verb, *words = shlex.split(command)
    assert program == "res2net"
    assert verb in COMMANDS
    if verb == "train":
        run = parse_train(verb, words)[0].run
        assert run.source.startswith("PATH/TO/")
        model = words[words.index("--model") + 1] if "--model" in words else None
        assert model in (None, run.model.model)
    elif verb == "eval":
        task, rest = split_task(words)
        assert parse_for_task(EvalArguments, "eval", task, rest, eval_options_type, "").source
    else:
        kind = {"cam": cam, "compare": compare}[verb]
        parse(kind.Arguments, verb, split_task(words)[1], "")


def test_published_numbers_and_commands_of_some_rows():
    """Against the paper: first and last rows of tables, and what is easily mixed up."""
    first, *_, last = LEDGER["table4"].entries
    assert (first.published, last.published) == ((36.5, 20.50), (36.9, 16.56))
    mask = {entry.label: entry.published for entry in LEDGER["table8"].entries}
    assert mask["Res2Net-50 26w4s"] == (
        *(39.6, 35.6, 57.6, 37.6, 15.7, 37.9, 53.7, 60.9, 43.1, 22.0, 42.3, 52.8),
        *(26.7, 50.3, 63.7, 47.2),
    )
    experiment = LEDGER["table8"]
    assert experiment.command(experiment.entries[0]) == (
        "res2net train --recipe mask_rcnn_2x PATH/TO/COCO --model resnet50 --weights PATH/TO/resnet50.pth"
    )
    assert experiment.command(experiment.entries[2]) == "res2net train --recipe mask_rcnn_2x PATH/TO/COCO"
    experiment = LEDGER["fig5"]
    assert experiment.command(find_entries(experiment, ["depth 56"])[0]) == (
        "res2net train --recipe cifar100_resnext29 PATH/TO/cifar-100-python --options scale 1 depth 56"
    )
    assert LEDGER["ssld"].check(LEDGER["ssld"].entries[0]) == (
        "res2net eval PATH/TO/IMAGENET --model res2net200d --weights paddle_ssld"
    )


def test_errors_are_published_and_accuracies_measured():
    top1 = LEDGER["table1"].metrics[0]
    assert top1.published_from(77.994) == pytest.approx(22.006)
    assert LEDGER["ssld"].metrics[0].published_from(85.13) == 85.13


def test_gpu_hours_by_hand():
    """ResNet-50: 4.09 GMACs are 8.18 GFLOPs, three times as many with the backward pass."""
    assert gpu_hours(4_090_000_000, 1_281_167, 100) == pytest.approx(3 * 8.18e9 * 1.281167e8 / 60e12 / 3600)
    resnet = LEDGER["table1"].entries[0]
    assert hours("table1", resnet) == pytest.approx(14.55, abs=0.05)
    zoo = LEDGER["mmdet_zoo"]
    assert [epochs_of(zoo, entry) for entry in zoo.networks()] == [24, 24, 24, 24, 20, 20, 20, 20]


@pytest.mark.parametrize(
    ("name", "label", "macs"),
    [("table1", "Res2Net-50", 4_255_166_464), ("table4", "Wide ResNet", None), ("table8", "ResNet-50", None)],
)
def test_costs_are_those_that_are_counted(name, label, macs):
    entry = find_entries(LEDGER[name], [label])[0]
    found = count_macs(LEDGER[name], entry)
    assert found == counted()[name][label]
    assert macs in (None, found)


def test_masks_cost_what_their_layers_do():
    """The mask head by hand: four convolutions, an upsampling and a prediction, for 128 of 512 regions."""
    faster, mask = (counted()["mmdet_zoo"][f"{name}, Res2Net-101"] for name in ("Faster R-CNN", "Mask R-CNN"))
    convolutions = 4 * 256 * 256 * 9 * 14 * 14
    upsampled = 256 * 256 * 4 * 14 * 14
    assert mask - faster == 128 * (convolutions + upsampled + 256 * 81 * 28 * 28)


@pytest.mark.slow
def test_all_costs_are_those_that_are_counted():
    for name, experiment in LEDGER.items():
        assert {one.label: count_macs(experiment, one) for one in experiment.networks()} == counted().get(name, {})
    assert json.loads(PATH.read_text())


def test_records_are_of_the_small_runs_of_their_rows():
    files = sorted(FOLDER.glob("*.json"))
    assert files
    for file in files:
        owner, small = small_of(file.stem)
        assert owner == file.stem
        found = read(file)
        assert set(found.scores) <= set(small.models)
        for scores in found.scores.values():
            assert small.shown[0] in scores
            assert all(len(values) == len(found.seeds) for values in scores.values())
        assert found.commands
        assert found.date
        assert found.commit


@pytest.mark.slow
@pytest.mark.parametrize(("name", "model", "within"), [("table10", "res2net20_26w_4s_tiny", 2.0)])
def test_a_recorded_score_is_printed_again(name, model, within, tmp_path):
    """The cheapest of them, some minutes; another processor adds in another order, and so trains another network."""
    found, small = recorded(name), small_of(name)[1]
    config = RECIPES[small.recipe].configure()
    table = reproduce(RECIPES[small.recipe], replace(config, out=str(tmp_path / "run")), Console(quiet=True))
    assert found.commands[0] == f"res2net reproduce {small.recipe}"
    assert (config.model.model, config.seed, found.epoch) == (model, *found.seeds, "best")
    trained = {row[0]: row[2] for row in table.rows}
    for metric in small.metrics:
        assert trained[metric] == pytest.approx(found.scores[model][metric][0], abs=within)


def test_a_record_is_read_as_it_was_written(tmp_path):
    made = record({"a": {"top1": (1.0, 3.0)}, "b": {"top1": (2.0, 4.0)}}, (0, 1), "res2net reproduce table1")
    write(tmp_path / "record.json", made)
    assert read(tmp_path / "record.json") == made
    assert made.summary("top1") == "top1: 2.0 ± 1.4, 3.0 ± 1.4 (2 seeds)"


def test_a_study_is_read_for_the_networks_of_a_row(tmp_path):
    arms = {"a": {"scores": [70.0, 72.0]}, "b": {"scores": [71.0, 75.0]}, "other": {"scores": [1.0, 1.0]}}
    written = {"command": "res2net sweep shapes", "metric": "top1", "epoch": "last", "seeds": [0, 1], "arms": arms}
    path = tmp_path / "study.json"
    path.write_text(json.dumps(written))
    found = from_study(path, ("a", "b", "c"))
    assert (found.seeds, found.epoch, found.values("top1")) == ((0, 1), "last", {"a": [70.0, 72.0], "b": [71.0, 75.0]})
    alone = from_study(path, ("b",))
    assert alone.summary("top1") == "top1: b 73.0 ± 2.8 (2 seeds)"


def test_rows_without_runs_say_so():
    table = {row[0]: row[1:] for row in ledger_table().rows}
    for name in LEDGER:
        _, small = small_of(name)
        if small is not None and recorded(name) is None:
            assert table[name][1].startswith("not yet run")
        assert table[name][2].startswith("no recipe" if name in NOT_HERE else "not run")
    assert weights_to_check(LEDGER["table3"]) == 5
    assert weights_to_check(LEDGER["table4"]) is None
    assert published(LEDGER["table10"]).endswith("AP: ResNet-50 70.4, Res2Net-50 73.7")
    assert small_command("fig6") == "res2net reproduce table7 --scale small"


def test_networks_of_one_recipe_are_trained_together():
    experiment = LEDGER["table4"]
    groups = grouped(experiment, experiment.networks())
    assert {key: len(entries) for key, entries in groups.items()} == {
        ("cifar100_wide_resnet", ""): 1,
        ("cifar100_resnext29", ""): 9,
        ("cifar100_densenet", ""): 1,
    }
    zoo = grouped(LEDGER["mmdet_zoo"], LEDGER["mmdet_zoo"].networks())
    assert list(zoo)[:2] == [("faster_rcnn_1x", "--epochs 24 --neck hrfpn"), ("faster_rcnn_1x", "--epochs 24")]
    with pytest.raises(InputError, match="There is no 'resnet18' in the table"):
        find_entries(experiment, ["resnet18"])


def test_rows_are_plain_values():
    row = json.loads(json.dumps(to_dict("table3")))
    assert row["networks"][0]["published"] == {"top-1 error": 23.85, "top-5 error": 7.13}
    assert row["networks"][2]["check"].endswith("--weights in1k")


def test_the_page_is_that_of_the_ledger():
    """`python -m res2net.recipes.ledger.markdown docs/reproduction.md` writes it."""
    assert (ROOT / "docs" / "reproduction.md").read_text(encoding="utf-8") == page()
