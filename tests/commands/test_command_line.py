"""The frame of all commands: help, version, verbs."""

import pytest

from res2net import __version__
from res2net.cli import COMMANDS


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
        ("train", ["--model", "--epochs", "--lr", "--batch-size", "--config", "--resume", "--mixup", "--bad-images"]),
        ("train", ["[OPTIONS] SOURCE", *(f" {group} options " for group in ("task", "model", "data", "optim"))]),
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
    answer = program("train", "nowhere")
    assert answer.returncode == 2
    assert answer.stderr.startswith("res2net: There is no file or folder 'nowhere'")
    assert answer.stderr.count("\n") == 1
