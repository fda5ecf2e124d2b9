"""`res2net recipes`: the runs that are ready to be started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.console import Console

from res2net.commands.arguments import parse

__all__ = ["run"]

ABOUT = """List the recipes, runs that `res2net train --recipe NAME SOURCE` starts, or write one as YAML, to be changed
and given to `res2net train TASK SOURCE --config FILE`."""


@dataclass(frozen=True)
class Arguments:
    """Which recipe."""

    name: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="NAME")] = None
    """One that is told in full: what it is, with time and score, and its configuration as YAML."""


def run(arguments: Sequence[str]) -> None:
    """Print the table of all recipes, or one of them."""
    name = parse(Arguments, "recipes", arguments, ABOUT).name

    from res2net.engine.config import to_yaml
    from res2net.recipes.runs import about, find_recipe, recipes
    from res2net.report import Column, Table

    if name is not None:
        build = find_recipe(name)
        for line in about(build).splitlines():
            print(f"# {line}".rstrip())
        print(to_yaml(build()), end="")
        return
    rows = [(name, build().task_name, about(build).splitlines()[0]) for name, build in recipes().items()]
    Console().print(Table("", (Column("recipe"), Column("task"), Column("run")), rows).to_rich())
