"""The examples of the documentation work, its commands exist, and its reference names what there is."""

import contextlib
import importlib
import re
import shlex
import sys
import types
from pathlib import Path

import pytest
import tyro

from res2net.backbones.registry import VARIANTS
from res2net.cli import COMMANDS
from res2net.commands.arguments import split_task
from res2net.commands.cam import ACTIONS
from res2net.commands.parser import divide_words, parse, value_of
from res2net.commands.recipes import RowArguments
from res2net.commands.sweep import Arguments as SweepArguments
from res2net.commands.train import Arguments as TrainArguments
from res2net.engine.config import TrainConfig
from res2net.engine.data_tools import CONVERSIONS
from res2net.engine.options import eval_options_type, options_type, predict_options_type
from res2net.engine.recipes import RECIPES
from res2net.images import SOURCES
from res2net.recipes.ledger.experiment import LEDGER
from res2net.task import task_names
from res2net.task.base import TASKS

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]
MARK = r"(?:<!-- (?P<mark>not run|not checked|size|file: [^>]+) -->\n+)?"
"""What a page says of a block: not to run it, or not to check its commands; `test_contributing.py` runs `size`
and files."""
BLOCK = re.compile(rf"^{MARK}```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
OF_TASKS = {"train": options_type, "predict": predict_options_type, "eval": eval_options_type}
"""Verbs whose options depend on the task."""


def blocks(page, *languages):
    """The blocks of these languages: their first line, their code, and the mark above them."""
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        if found["language"] in languages:
            yield text.count("\n", 0, found.start("code")) + 1, found["code"], found["mark"]


def commands(page):
    """The words behind `res2net` in every command of a page, and where it stands."""
    for first, code, mark in blocks(page, "sh", "bash"):
        if mark in ("not checked", "size"):
            continue
        for number, line in enumerate(code.replace("\\\n", " ").splitlines()):
            words = shlex.split(line, comments=True)
            if "res2net" in words[:4]:
                yield pytest.param(words[words.index("res2net") + 1 :], id=f"{page.name}:{first + number}")


def named_tests():
    """The tests that the pages on what is checked name, as `path::name` below the folder of tests."""
    for page in (ROOT / "docs" / "checked.md", ROOT / "SECURITY.md"):
        yield from re.findall(r"`(?:tests/)?([\w/]+\.py)::(\w+)`", page.read_text(encoding="utf-8"))


def test_the_tests_that_are_named_exist():
    named = set(named_tests())
    assert len(named) > 50
    for path, name in named:
        text = (ROOT / "tests" / path).read_text(encoding="utf-8")
        assert f"def {name}(" in text, f"{path}::{name}"


@contextlib.contextmanager
def nothing_stays_registered():
    with VARIANTS.restored(), TASKS.restored(), SOURCES.restored(), RECIPES.restored():
        yield


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_work(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("example")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look for the module of a class
    with nothing_stays_registered():
        for line, code, mark in blocks(page, "python"):
            # Tracebacks then give the line of the page.
            compiled = compile("\n" * (line - 1) + code, str(page), "exec", dont_inherit=True)
            if mark is None:
                exec(compiled, module.__dict__)


@pytest.mark.parametrize("words", [command for page in PAGES for command in commands(page)])
def test_commands_exist(words):
    verb, *rest = words
    if verb in ("--help", "--version"):
        return
    assert verb in COMMANDS
    if verb == "sweep":
        own, rest = divide_words(SweepArguments, rest)
        parse(SweepArguments, verb, own, "")
    if verb == "reproduce" and rest[0] not in RECIPES:
        assert rest.pop(0) in ("--list", *LEDGER)
        row, _ = divide_words(RowArguments, rest)
        parse(RowArguments, "reproduce", row, "")
        return
    if verb in ("train", "reproduce", "sweep"):
        recipe = rest.pop(0) if verb == "reproduce" else value_of("--recipe", rest)
        task, rest = split_task(rest)
        default = RECIPES[recipe].configure() if recipe else None
        options = options_type(default.task_name if default else task)
        default = default or TrainConfig[options](task_name=task, source="", task=options())
        parse(TrainArguments[options], verb, rest, "", TrainArguments(default))
        return
    if verb == "data" and rest[0] != "check":
        parse(CONVERSIONS[rest[0]].Arguments, f"data {rest[0]}", rest[1:], "")
        return
    task, rest = split_task(rest) if verb in (*OF_TASKS, "compare", "export") else ("", rest)
    module = COMMANDS[verb].target.split(":")[0]
    if verb == "cam" and rest[0] in ACTIONS:
        module = ACTIONS[rest.pop(0)]
    kind = importlib.import_module(module).Arguments
    default = None
    if verb in OF_TASKS:
        kind = kind[options := OF_TASKS[verb](task)]
        source = "sources" if verb == "predict" else "source"
        weights = {} if verb == "predict" else {"weights": tyro.MISSING_NONPROP}  # some ship for prediction
        default = kind(**weights, options=options(), **{source: tyro.MISSING_NONPROP})
    parsed = parse(kind, verb, rest, "", default)
    if verb == "recipes" and parsed.name:
        RECIPES[parsed.name]


REFERENCES = sorted(
    {name for page in DOCS for name in re.findall(r"(?m)^::: (\S+)$", page.read_text(encoding="utf-8"))}
)
"""The names that the pages show from docstrings."""


@pytest.mark.parametrize("name", REFERENCES)
def test_the_reference_names_what_there_is(name):
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    assert found.__doc__


def test_every_link_within_the_documentation_leads_somewhere():
    anchors = {page.name: {heading_anchor(line) for line in headings(page)} for page in DOCS}
    for page in DOCS:
        for target in re.findall(r"\]\(([\w.]*\.md)?(?:#([\w.-]+))?\)", page.read_text(encoding="utf-8")):
            name, anchor = target[0] or page.name, target[1]
            assert name in anchors, f"{page.name} links to {name}"
            # An anchor with a dot is that of a name in the reference.
            if anchor and "." not in anchor:
                assert anchor in anchors[name], f"{page.name} links to {name}#{anchor}"


def headings(page):
    """The headings of a page, without the lines of its blocks."""
    return re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)


def heading_anchor(heading):
    """The anchor that the site gives a heading."""
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


def test_every_task_has_a_page():
    text = "".join(page.read_text(encoding="utf-8") for page in DOCS)
    for task in task_names():
        assert re.search(rf"res2net predict {task} " if task != "classify" else "res2net predict ", text)


def test_the_layout_is_the_order_of_imports():
    from test_house import ORDER

    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text[text.index("| floor |") :].partition("\n\n")[0]
    rows = re.findall(r"^\|[^|]*\| (`[^|]+`) \|", table, re.MULTILINE)
    names = [name.removesuffix("/").removesuffix(".py") for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert names == ORDER
