"""Every option and command that a message of the package names exists."""

import ast
import dataclasses
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import res2net
import res2net.commands
from res2net.cli import COMMANDS
from res2net.engine.data_tools import CONVERSIONS
from res2net.engine.options import eval_options_type, options_type, predict_options_type
from res2net.task import task_names

ROOT = Path(res2net.__file__).parent
OTHERS = {"--shm-size", "--short", "--no"}
"""Options of docker and git that are named, and the beginning of those that turn others off."""


def fields_of(kind):
    """The names of all fields of a dataclass and of those nested in it."""
    for entry in dataclasses.fields(kind):
        yield entry.name
        if entry.default_factory is not dataclasses.MISSING and dataclasses.is_dataclass(entry.default_factory):
            yield from fields_of(entry.default_factory)


@pytest.fixture(scope="module")
def options():
    kinds = [kind(task) for task in task_names() for kind in (options_type, predict_options_type, eval_options_type)]
    for module in pkgutil.iter_modules(res2net.commands.__path__):
        values = vars(importlib.import_module(f"res2net.commands.{module.name}")).values()
        kinds += [one for one in values if isinstance(one, type) and dataclasses.is_dataclass(one)]
    kinds += [conversion.Arguments for conversion in CONVERSIONS.values()]
    names = {f"--{name.replace('_', '-')}" for kind in kinds for name in fields_of(kind)}
    return names | {f"--no-{name[2:]}" for name in names} | {"--help", "--help-all", "--backbone", "--version"}


def texts_of(path):
    """The string constants of a module, without docstrings, each with its line."""
    tree = ast.parse(path.read_text())
    comments = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in comments:
            yield node.lineno, node.value


@pytest.fixture(scope="module")
def texts():
    paths = sorted(ROOT.rglob("*.py"))
    return [(f"{path.relative_to(ROOT)}:{line}", text) for path in paths for line, text in texts_of(path)]


def test_every_option_that_is_named_exists(options, texts):
    named = [(place, found) for place, text in texts for found in re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]\b", text)]
    assert len(named) > 100
    assert [one for one in named if one[1] not in options | OTHERS] == []


def test_every_command_that_is_named_exists(texts):
    named = [(place, found) for place, text in texts for found in re.findall(r"`res2net ([a-z]+)", text)]
    assert len(named) > 10
    assert [one for one in named if one[1] not in COMMANDS] == []


@pytest.mark.parametrize("text", ["leave out --scores", "run `res2net learn`"])
def test_what_does_not_exist_is_found(text, options):
    """The patterns above find what they are to find."""
    assert not {*re.findall(r"--[a-z-]+", text)} & options
    assert not {*re.findall(r"`res2net ([a-z]+)", text)} & set(COMMANDS)
