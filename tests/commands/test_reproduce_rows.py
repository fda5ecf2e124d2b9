"""`res2net reproduce` of tables and figures: what it prints, what it refuses, and what a run leaves."""

import json

import pytest

from res2net.commands.parser import divide_words
from res2net.commands.recipes import RowArguments
from res2net.recipes.ledger.experiment import LEDGER
from res2net.recipes.ledger.recorded import recorded

SHORT = ["shapes:16,4", "--epochs", 1, "--warmup", 0, "--size", 32, "--batch-size", 8, "--workers", 0]
SHORT += ["--accelerator", "cpu"]


def test_all_rows_are_listed(run):
    answer = run("reproduce", "--list")
    assert answer.status == 0, answer.err
    for name in LEDGER:
        assert f" {name} " in answer.out
    rows = json.loads(run("reproduce", "--list", "--json").out)
    assert [row["row"] for row in rows] == [*LEDGER]
    assert rows[0]["networks"][0]["published"] == {"top-1 error": 23.85, "top-5 error": 7.13}


def test_a_row_explains_what_there_is(run):
    answer = run("reproduce", "table10")
    for text in (
        "paper, Table 10",
        "res2net train --recipe simple_baseline_256x192 PATH/TO/COCO",
        "res2net reproduce table10 --scale small",
        "like for like the gains are about 1.1",
        "GPU hours: multiply-accumulates",
        "Seed 0, best epoch",
    ):
        assert text in answer.out
    assert "those of table7" in run("reproduce", "fig6").out
    assert ("Not yet run." in run("reproduce", "table9").out) == (recorded("table9") is None)
    assert json.loads(run("reproduce", "table10", "--json").out)["row"] == "table10"


def test_help_names_the_options(run):
    assert "res2net reproduce ROW --scale {small,full}" in run("reproduce").out
    assert "--seeds N" in run("reproduce", "table3", "--help").out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("tabel4",), "did you mean 'table4'?"),
        (("--json",), "needs the name of a row or a recipe"),
        (("--list", "--scale", "small"), "needs the name of a row or a recipe"),
        (("table4", "--list"), "leave out table4, or leave out --list"),
        (("table4", "--scale", "medium"), "choose one (allowed: small, full)"),
        (("table4", "--seeds", "2"), "add --scale small or --scale full"),
        (("table4", "somewhere"), "add --scale small or --scale full"),
        (("table4", "--scale", "small"), "SOURCE is missing"),
        (("table4", "--scale", "full"), "SOURCE is missing"),
        (("table3", "--scale", "small", "--seeds", "0"), "seeds"),
        (("table3", "--scale", "small", "--models", "resnet51"), "resnet51"),
        (("table3", "--scale", "full", "shapes", "--models", "resnet18"), "There is no 'resnet18' in the table"),
        (("table8", "--scale", "full", "x"), "resnet50 has no published weights 'in1k' to start from"),
        (("speakers", "--scale", "full", "x"), "speakers cannot be run at full scale: This library has no task"),
        (("speakers", "--scale", "small"), "speakers has no small runs"),
    ],
)
def test_mistakes_are_answered_by_a_sentence(refused, words, sentence):
    assert sentence in refused("reproduce", *words)


def test_words_are_divided():
    words = ["--scale", "small", "x", "--models", "a", "b", "--lr", "0.1", "--json", "--seeds=2"]
    own, others = divide_words(RowArguments, words)
    assert own == ["--scale", "small", "--models", "a", "b", "--json", "--seeds=2"]
    assert others == ["x", "--lr", "0.1"]


@pytest.mark.slow
def test_small_networks_are_compared(run, tmp_path):
    words = ["reproduce", "table1", "--scale", "small", *SHORT, "--seeds", 1, "--out", tmp_path / "small"]
    words += ["--models", "resnet20_tiny,res2net20_26w_4s_tiny"]
    answer = run(*words)
    assert answer.status == 0, answer.err
    assert "one seed says too little" in answer.out
    found = json.loads((tmp_path / "small" / "record.json").read_text())
    assert list(found["scores"]) == ["resnet20_tiny", "res2net20_26w_4s_tiny"]
    assert all(0 <= scores["top1"][0] <= 100 for scores in found["scores"].values())
    assert found["commands"][0].startswith("res2net reproduce table1 --scale small shapes:16,4 --epochs 1")
    assert (tmp_path / "small" / "report.html").is_file()
    assert run(*words).out.count("2 of 2 runs are finished.") == 1


@pytest.mark.slow
def test_full_scale_prints_both_numbers(run, tmp_path):
    """Shortened, on other data: the error is that of our run, beside the published one."""
    words = [*SHORT, "--out", tmp_path / "full", "--models", "ResNet-50"]
    answer = run("reproduce", "table1", "--scale", "full", *words)
    assert answer.status == 0, answer.err
    study = json.loads((tmp_path / "full" / "imagenet_100e" / "study.json").read_text())
    error = 100 - study["arms"]["resnet50"]["scores"][0]
    line = next(line for line in answer.out.splitlines() if "top-1 error" in line)
    assert line.split()[-3:] == ["23.85", f"{error:.2f}", f"{error - 23.85:.2f}"]
