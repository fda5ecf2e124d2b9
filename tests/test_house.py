"""Rules of the house that hold for every file, now and later."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from res2net.cli import COMMANDS
from res2net.task import task_names
from res2net.task.base import TASKS, Task

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
PROGRAMS = Path(sys.executable).parent

# A folder or file of the package imports only from those before it, and from itself.
ORDER = [
    # networks
    *(
        "_version",
        "errors",
        "registry",
        "options",
        "optional",
        "console",
        "files",
        "kernels",
        "nn",
        "measure",
        "backbones",
        "weights",
        "surgery",
    ),
    *("zoo", "adapters"),
    # what tasks stand on
    *("images", "report", "task", "engine", "explain", "export"),
    "tasks",
    # doors
    *("api", "bench", "recipes", "serve", "commands", "cli", "__main__"),
]

LONGEST = 400
"""Lines of a file: more is more than one job."""
HANGS = 60
"""Seconds after which a program that prints help is taken to hang, on however busy a machine."""


def module_name(path):
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}
PYTHON_FILES = [path for folder in ("src", "tests", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported_modules(path):
    """Our modules that a file imports, also inside functions and for types alone."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports by a relative name"
            # A name that is imported can be a module of its own.
            found |= {
                name if (name := f"{node.module}.{alias.name}") in MODULES else node.module for alias in node.names
            }
    return {name for name in found if name.split(".")[0] == "res2net"}


def test_every_part_of_the_package_has_its_place_in_the_order():
    parts = {name.split(".")[1] for name in MODULES if "." in name}
    assert parts <= set(ORDER), "add new folders to the order, where they belong"


@pytest.mark.parametrize("name", MODULES)
def test_imports_come_from_earlier_folders(name):
    own = name.split(".")[1] if "." in name else ORDER[-1]
    for imported in imported_modules(MODULES[name]) - {"res2net"}:
        part = imported.split(".")[1]
        assert ORDER.index(part) <= ORDER.index(own), f"{name} imports {imported}"


TASK_ORDER = ["classify", "objects", "pixels", "roads", "translate", "volumes"]
"""A folder of tasks imports only from those before it, and from itself; so do the tasks of a family."""
FAMILIES = ("objects", "pixels")
NAME_NO_TASK = ("images", "report", "task", "engine", "explain", "export", "api", "bench", "serve", "commands")


def folder_of_task(name):
    """The folder of a module below `tasks`, such as `objects`, and its task within a family, such as `detect`."""
    parts = name.split(".")[2:]
    family = parts[0] if parts else ""
    inner = parts[1] if family in FAMILIES and f"res2net.tasks.{family}.{'.'.join(parts[1:2])}.task" in MODULES else ""
    return family, inner


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("res2net.tasks.")])
def test_a_task_imports_no_other_task(name):
    family, inner = folder_of_task(name)
    for imported in imported_modules(MODULES[name]):
        if not imported.startswith("res2net.tasks."):
            continue
        other, its_inner = folder_of_task(imported)
        assert TASK_ORDER.index(other) <= TASK_ORDER.index(family), f"{name} imports {imported}"
        if its_inner:
            assert (other, its_inner) == (family, inner), f"{name} imports {imported}, which is of another task"


@pytest.mark.parametrize(
    "name", [name for name in MODULES if name.split(".")[1:2] and name.split(".")[1] in NAME_NO_TASK]
)
def test_shared_folders_name_no_task(name):
    named = {imported for imported in imported_modules(MODULES[name]) if imported.startswith("res2net.tasks")}
    assert named == set()
    assert "res2net.tasks." not in MODULES[name].read_text(encoding="utf-8")


IMPORT_TASK = """
import sys
from res2net.task import task_modules
from res2net.task.base import TASKS
modules = {{name: f"{{module}}.task" for name, module in task_modules().items()}}
assert not [module for module in modules.values() if module in sys.modules]
TASKS[{task!r}]
print([name for name, module in modules.items() if module in sys.modules])
"""


@pytest.mark.parametrize("task", task_names())
def test_only_the_task_that_is_asked_for_is_imported(fresh, task):
    assert fresh(IMPORT_TASK.format(task=task)) == f"['{task}']\n"


def test_the_contract_is_small():
    own = {name for name in {**vars(Task), **Task.__annotations__} if not name.startswith("_")}
    own |= {"model", "preprocessing", "options", "facts", "class_names"}  # what its constructor sets
    assert len(own) <= 25, sorted(own)


@pytest.mark.parametrize("task", task_names())
def test_tasks_are_at_most_three_deep(task):
    parents = [
        kind for kind in TASKS[task].__mro__ if issubclass(kind, torch.nn.Module) and kind is not torch.nn.Module
    ]
    assert len(parents) <= 3


def test_no_imports_go_in_circles():
    # It raises `CycleError`, which names the circle.
    TopologicalSorter({name: imported_modules(path) - {name} for name, path in MODULES.items()}).prepare()


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_names_of_test_files_are_unique():
    """Without packages of tests, pytest takes two files of one name for the same module."""
    names = sorted(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, following in pairwise(names) if name == following] == []


@pytest.mark.parametrize("name", MODULES)
def test_no_option_is_swallowed(name):
    """A constructor names its options, so that a misspelt one raises."""
    for node in ast.walk(parsed(MODULES[name])):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.args.kwarg:
            swallowed = node.args.kwarg.arg
            assert node.name != "__init__", f"line {node.lineno}: a constructor takes **{swallowed}"
            assert not swallowed.startswith("_"), f"line {node.lineno}: {node.name} ignores **{swallowed}"


def repository_files():
    """Files that are tracked, or would be with `git add --all`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git repository")
    return [ROOT / name for name in listed.split("\0") if (ROOT / name).is_file()]


def test_no_file_names_a_machine_or_a_mirror():
    # In pieces, so that this file does not name them.
    folders = [f"/{name}/" for name in ("work", "root")]
    hosts = [".".join(parts) for parts in (("pypi", "org"), ("files", "pythonhosted", "org"))]
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in repository_files()
        for word in folders + hosts
        if word.encode() in path.read_bytes()
    ]
    assert found == []


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], pytest.param(["mypy"], marks=pytest.mark.slow)],
    ids=lambda command: " ".join(command),
)
def test_the_code_is_checked(command):
    result = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


# All in one process: the first that imports torch is named, and ends it.
PRINT_HELP = """
import sys
from res2net.cli import main
for verb in sys.argv[1:]:
    try:
        main([*verb.split(), "--help"])
    except SystemExit as end:
        assert not end.code, verb
    slow = [name for name in ("torch", "torchvision", "numpy", "PIL", "matplotlib", "lightning") if name in sys.modules]
    assert not slow, f"{verb} imports {slow}"
"""


def test_help_imports_no_slow_library():
    verbs = ["", *COMMANDS, *(f"{verb} {task}" for verb in ("train", "eval", "predict") for task in task_names())]
    command = [sys.executable, "-c", PRINT_HELP, *verbs]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANGS)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("usage: res2net ") == len(verbs)


def test_the_program_answers():
    """How fast it does is measured by `benchmarks/startup.py`."""
    command = [PROGRAMS / "res2net", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANGS)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("usage: res2net ")
