"""Rules of the house that hold for every file, now and later."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

from res2net.cli import COMMANDS

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
SLOWEST_START = 0.5
"""Seconds until the command line answers `--help`."""
SLOWEST_VERB = 1.0
"""Seconds until a verb does, which lists its options."""


def module_name(path):
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}
PYTHON_FILES = [path for folder in ("src", "tests", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported_modules(path):
    """Our modules that a file imports when it runs, also inside functions."""
    found = set()
    waiting = [parsed(path)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports by a relative name"
            # A name that is imported can be a module of its own.
            found |= {
                name if (name := f"{node.module}.{alias.name}") in MODULES else node.module for alias in node.names
            }
        waiting += ast.iter_child_nodes(node)
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
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=lambda command: " ".join(command),
)
def test_the_code_is_checked(command):
    result = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("verb", "most"), [([], SLOWEST_START), (["train"], SLOWEST_VERB), (["info"], SLOWEST_VERB)])
def test_help_answers_at_once(verb, most):
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        result = subprocess.run([PROGRAMS / "res2net", *verb, "--help"], capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - start)
        assert result.returncode == 0, result.stderr
        assert "res2net" in result.stdout
    assert min(seconds) < most


@pytest.mark.parametrize("verb", [[], *([verb] for verb in COMMANDS)], ids=" ".join)
def test_help_needs_no_torch(verb):
    """It takes seconds to import."""
    ask = """
import sys
from res2net.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code
assert "torch" not in sys.modules
"""
    command = [sys.executable, "-c", ask, *verb, "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
