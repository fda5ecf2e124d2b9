"""The examples of the documentation work, and its commands exist."""

import contextlib
import importlib
import re
import shlex
import sys
import types
from pathlib import Path
from unittest import mock

import pytest
from res2net.commands.data_prepare import Arguments as PrepareArguments

from res2net.backbones.registry import VARIANTS
from res2net.cli import COMMANDS
from res2net.commands.arguments import parse, split_task
from res2net.commands.train import Arguments as TrainArguments
from res2net.engine.config import TrainConfig
from res2net.task import base as tasks

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MARK = r"(?:<!-- (?P<mark>not run|not checked) -->\n+)?"
BLOCK = re.compile(rf"^{MARK}```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page, *languages):
    """The blocks of these languages: their first line, their code, and the mark above them."""
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        if found["language"] in languages:
            yield text.count("\n", 0, found.start("code")) + 1, found["code"], found["mark"]


def commands(page):
    """The words behind `res2net` in every command of a page, and where it stands."""
    for first, code, mark in blocks(page, "sh", "bash"):
        if mark == "not checked":
            continue
        for number, line in enumerate(code.replace("\\\n", " ").splitlines()):
            words = shlex.split(line, comments=True)
            if "res2net" in words[:4]:
                yield pytest.param(words[words.index("res2net") + 1 :], id=f"{page.name}:{first + number}")


@contextlib.contextmanager
def nothing_stays_registered():
    tasks.task_type("classify")
    with VARIANTS.restored(), mock.patch.dict(tasks._TASKS):
        yield


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_work(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("example")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look for the module of a class
    with nothing_stays_registered():
        for line, code, mark in blocks(page, "python"):
            # Tracebacks then tell the line of the page.
            compiled = compile("\n" * (line - 1) + code, str(page), "exec", dont_inherit=True)
            if mark is None:
                exec(compiled, module.__dict__)


@pytest.mark.parametrize("words", [command for page in PAGES for command in commands(page)])
def test_commands_exist(words):
    verb, *rest = words
    if verb in ("--help", "--version"):
        return
    assert verb in COMMANDS
    task, rest = split_task(rest) if verb in ("train", "eval", "predict", "compare", "export") else ("", rest)
    if verb == "train":
        kind = TrainConfig[options := tasks.task_type(task).Options]
        default = TrainArguments(kind(task_name=task, source="", task=options()))
        parse(TrainArguments[options], verb, rest, "", default)
    elif (verb, *rest[:1]) == ("data", "prepare"):
        parse(PrepareArguments, "data prepare", rest[1:], "")
    else:
        module = importlib.import_module(COMMANDS[verb].target.split(":")[0])
        parse(module.Arguments, verb, rest, "")


def test_the_layout_is_the_order_of_imports():
    from test_house import ORDER

    rows = re.findall(r"^\| (`[^|]+`) \|", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    names = [name.removesuffix("/").removesuffix(".py") for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert names == ORDER
