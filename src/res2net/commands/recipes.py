"""`res2net recipes` and `res2net reproduce`: list complete configurations of runs, and repeat one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from res2net.commands.parser import parse
from res2net.commands.train import given_options, parse_run, stopped
from res2net.console import Console
from res2net.errors import InputError

ABOUT = """List the recipes, or print one as YAML, to be edited and passed to `res2net train TASK SOURCE --config FILE`.
`res2net train --recipe NAME SOURCE` trains by a recipe, and `res2net reproduce NAME` repeats it."""


@dataclass(frozen=True)
class Arguments:
    """The recipe."""

    name: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="NAME")] = None
    """The recipe to print: its description, expected time and score, and its configuration."""


def run(arguments: Sequence[str]) -> None:
    """Print the table of all recipes, or one recipe."""
    name = parse(Arguments, "recipes", arguments, ABOUT).name

    from res2net.engine.config import to_yaml
    from res2net.engine.recipes import RECIPES
    from res2net.report import Column, Table

    if name is not None:
        found = RECIPES[name]
        for line in found.about.splitlines():
            print(f"# {line}".rstrip())
        print(to_yaml(found.configure()), end="")
        return
    rows = [(name, found.configure().task_name, found.about.splitlines()[0]) for name, found in sorted(RECIPES.items())]
    Console().print(Table("", (Column("recipe"), Column("task"), Column("run")), rows).to_rich())


def reproduce(arguments: Sequence[str]) -> int:
    """Repeat a recipe and print its table; returns 1 if it was stopped and can be resumed."""
    words = list(arguments)
    if not words or words[0] in ("-h", "--help"):
        print(
            "usage: res2net reproduce NAME [SOURCE] [options of `res2net train`]\n\n"
            "Repeat a recipe: evaluate what needs no training, train, and print both beside the goals.\n"
            "`res2net recipes` lists the recipes; `res2net reproduce NAME --help` lists the options."
        )
        return 0

    from res2net.engine.changes import scaled_to
    from res2net.engine.recipes import RECIPES

    found = RECIPES[words[0]]
    config, scaled = scaled_to(given_options(words), found.configure())
    parsed = parse_run(f"reproduce {words[0]}", words[1:], config)
    if (parsed.config, parsed.recipe, parsed.resume) != (None, None, None):
        raise InputError(
            "reproduce repeats one recipe: leave out --recipe and --config, and resume runs with `res2net train`."
        )

    from res2net.engine.reproduce import reproduce as repeat
    from res2net.engine.stop import StoppedError

    console = Console()
    if scaled:
        console.out(scaled)
    try:
        console.print(repeat(found, parsed.run, console).to_rich())
    except StoppedError as stop:
        return stopped(stop)
    return 0
