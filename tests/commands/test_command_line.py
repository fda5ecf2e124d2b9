"""The frame of all commands: help, version, verbs."""

import re

import pytest

from res2net import __version__
from res2net.cli import COMMANDS
from res2net.task import task_names


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_every_verb(run, words):
    answer = run(*words)
    assert (answer.status, answer.err) == (0, "")
    for verb, command in COMMANDS.items():
        assert f"  {verb} " in answer.out
        assert command.about in answer.out


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(run, option):
    assert run(option).out == f"res2net {__version__}\n"


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("quickstart", ["--seeds", "--epochs", "--out"]),
        ("models", ["res2net50*"]),
        ("info", ["--size", "--num-classes", "--options", "--batch-size", "--plot", "--images"]),
        ("weights", ["--to", "--model", "--options", "--overwrite"]),
        ("solve-width", ["--like", "--scale", "--of", "--model", "--size"]),
        ("train", ["--model", "--epochs", "--lr", "--batch-size", "--config", "--resume", "--mixup"]),
        ("train", ["[OPTIONS] SOURCE", "{sgd,adam,adamw,lamb}", "--weights FILE|TAG", "--out FOLDER", "--size N"]),
        ("eval", ["--weights", "--batch-size", "--val-fraction"]),
        ("predict", ["--weights", "--json", "--draw", "--bad-images"]),
    ],
)
def test_every_verb_tells_its_options(run, verb, options):
    answer = run(verb, "--help")
    assert answer.status == 0
    assert f"usage: res2net {verb}" in answer.out
    for option in options:
        assert option in answer.out


GROUPS = [f" {group} options " for group in ("task", "model", "data", "optim")]


@pytest.mark.parametrize("task", task_names())
def test_help_of_training_is_one_screen(run, task, monkeypatch):
    """The other options are in the long help."""
    monkeypatch.setenv("COLUMNS", "100")
    short, long = run("train", task, "--help").out, run("train", task, "--help-all").out
    assert len(short.splitlines()) < 60
    command = "train" if task == "classify" else f"train {task}"
    hidden = int(re.search(rf"`res2net {command} --help-all` lists (\d+) more.", short)[1])
    listed = [set(re.findall(r"^\W+?(--(?!no-)[\w-]+)", text, re.MULTILINE)) for text in (short, long)]
    assert listed[0] < listed[1]
    assert len(listed[1] - listed[0]) == hidden
    assert all(group in long for group in GROUPS)
    for text in (short, long):
        assert "None" not in text
        assert "STR" not in text
        assert "(default: )" not in text
    assert "--bad-images {stop,skip}" in long


def test_an_unknown_verb(refused):
    assert refused("trian").startswith("There is no verb 'trian': did you mean 'train'?")
    assert "see `res2net --help`" in refused("xyzzy")


def test_a_path_that_cannot_be_looked_at(refused):
    name = "x" * 300
    sentence = refused("info", "resnet14", "--plot", "a.png", "--size", 32, "--weights", name)
    assert sentence == f"Cannot use {name} (File name too long): check its name and permissions."


def test_as_a_program(program):
    answer = program("--version")
    assert (answer.returncode, answer.stdout) == (0, f"res2net {__version__}\n")


def test_as_a_program_a_mistake_is_one_sentence(program):
    answer = program("trian")
    assert answer.returncode == 2
    assert answer.stderr.startswith("res2net: There is no verb 'trian': did you mean 'train'?")
    assert answer.stderr.count("\n") == 1
