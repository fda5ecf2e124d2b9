"""`res2net recipes` and `res2net reproduce`: complete configurations of runs, and published tables, repeated."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from res2net.commands.compare import separated
from res2net.commands.parser import HELP, divide_words, parse
from res2net.commands.train import given_options, parse_run, stopped, stopped_together
from res2net.console import Console
from res2net.engine.config import TrainConfig
from res2net.errors import InputError, check_choice
from res2net.options import check_ranges

if TYPE_CHECKING:
    from res2net.recipes.ledger.experiment import Experiment

ABOUT = """List the recipes, or print one as YAML, to be edited and passed to `res2net train TASK SOURCE --config FILE`.
`res2net train --recipe NAME SOURCE` trains by a recipe, and `res2net reproduce NAME` repeats it."""
REPRODUCE = """usage: res2net reproduce --list [--json]
       res2net reproduce ROW [--json]
       res2net reproduce ROW --scale {small,full} [SOURCE] [--models NAME ...] [--seeds N] [--jobs N]
       res2net reproduce RECIPE [SOURCE]
       (SOURCE and all options of `res2net train` apply)

Repeat a published table or figure, or a recipe. --list prints all rows, such as table4 and fig5: what is published,
what small runs gave, and what the full ones cost. A row alone prints its numbers, commands and known faults; --scale
small compares networks of the same cost in minutes, --scale full trains as published and prints both numbers side by
side. A recipe is repeated beside its baselines and goals.

`res2net recipes` lists the recipes; `res2net reproduce RECIPE --help` lists the options."""


@dataclass(frozen=True)
class Arguments:
    """The recipe."""

    name: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="NAME")] = None
    """The recipe to print: its description, expected time and score, and its configuration."""


@dataclass(frozen=True, kw_only=True)
class RowArguments:
    """How a row of the ledger is repeated."""

    scale: Literal["small", "full"] | None = None
    """Compare small networks in minutes, or train as published; by default print what there is."""
    models: Annotated[tuple[str, ...], "NAME ..."] = ()
    """Only these networks, separated by spaces or commas; at full scale those of the table."""
    seeds: int | None = None
    """Seeds of each network: 0, 1, ...; by default three in small runs and one in full ones."""
    jobs: int = 1
    """Runs at a time."""
    json: bool = False
    """Print JSON instead of tables."""
    list: bool = False
    """Print all rows."""


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
    """Repeat a recipe or a row of the ledger; returns 1 if it was stopped and can be resumed."""
    words = list(arguments)
    if not words or words[0] in HELP:
        print(REPRODUCE)
        return 0

    from res2net.engine.recipes import RECIPES
    from res2net.recipes.ledger.experiment import LEDGER

    if words[0].startswith("-"):
        return _list_rows(words)
    if words[0] in RECIPES:
        return _reproduce_recipe(words)
    check_choice("recipe, table or figure", words[0], (*LEDGER, *RECIPES))
    return _reproduce_row(words[0], words[1:])


def _reproduce_recipe(words: list[str]) -> int:
    from res2net.engine.recipes import RECIPES

    config = _config(words[0], words[1:], f"reproduce {words[0]}")

    from res2net.engine.reproduce import reproduce as repeat
    from res2net.engine.stop import StoppedError

    console = Console()
    try:
        console.print(repeat(RECIPES[words[0]], config, console).to_rich())
    except StoppedError as stop:
        return stopped(stop)
    return 0


def _config(recipe: str, words: Sequence[str], verb: str) -> TrainConfig[Any]:
    """The configuration of a recipe with the options of the command; how a schedule is scaled is printed."""
    from res2net.engine.changes import scaled_to
    from res2net.engine.recipes import RECIPES

    config, scaled = scaled_to(given_options(words), RECIPES[recipe].configure())
    parsed = parse_run(verb, words, config)
    if (parsed.config, parsed.recipe, parsed.resume) != (None, None, None):
        raise InputError(
            "reproduce repeats one recipe: leave out --recipe and --config, and resume runs with `res2net train`."
        )
    if scaled:
        Console().out(scaled)
    return parsed.run


def _list_rows(words: Sequence[str]) -> int:
    chosen = parse(RowArguments, "reproduce", words, "")
    if not chosen.list or chosen.scale is not None:
        raise InputError("`res2net reproduce` needs the name of a row or a recipe before its options, or --list.")

    from res2net.recipes.ledger.experiment import LEDGER
    from res2net.recipes.ledger.tables import ledger_table, to_dict

    if chosen.json:
        print(json.dumps([to_dict(name) for name in LEDGER], indent=1))
    else:
        Console().print(ledger_table().to_rich())
    return 0


def _reproduce_row(name: str, arguments: Sequence[str]) -> int:
    own, words = divide_words(RowArguments, arguments)
    if chosen_help := [word for word in arguments if word in HELP]:
        own, words = chosen_help, []
    chosen = parse(
        RowArguments,
        f"reproduce {name}",
        own,
        "Repeat a published table or figure; all options of `res2net train` apply.",
    )
    check_ranges(chosen, seeds=(1, 1000), jobs=(1, 1024))
    if chosen.list:
        raise InputError(f"--list prints all rows: leave out {name}, or leave out --list.")
    if chosen.scale is None:
        if words or chosen.models or chosen.seeds is not None:
            raise InputError(f"`res2net reproduce {name}` prints what there is: add --scale small or --scale full.")
        return _explain(name, chosen)

    from res2net.engine.stop import StoppedError
    from res2net.recipes.ledger.experiment import LEDGER

    try:
        if chosen.scale == "small":
            _run_small(name, chosen, words, shlex.join(["res2net", "reproduce", name, *arguments]))
        else:
            _run_full(name, LEDGER[name], chosen, words)
    except StoppedError as stop:
        return stopped_together(stop)
    return 0


def _explain(name: str, chosen: RowArguments) -> int:
    from res2net.recipes.ledger import tables
    from res2net.recipes.ledger.experiment import LEDGER, small_command, small_of

    if chosen.json:
        print(json.dumps(tables.to_dict(name), indent=1))
        return 0
    experiment = LEDGER[name]
    console = Console()
    console.out(f"{experiment.title} ({experiment.origin})", style="bold", highlight=False)
    for text in (experiment.claim, experiment.missing):
        if text:
            console.out(text, highlight=False)
    if experiment.entries:
        console.print(tables.published_table(name).to_rich())
    if experiment.full is not None:
        console.out(f"{tables.cost_note(name)} Full runs: {tables.full_status(experiment)}.", highlight=False)
    for note in experiment.notes:
        console.out(f"- {note}", highlight=False)
    for what, lines in tables.commands(experiment):
        console.out(f"\n{what}:", style="bold", highlight=False)
        for line in lines:
            console.out(f"  {line}", highlight=False)
    owner, small = small_of(name)
    if small is None:
        return 0
    console.out(f"\nSmall runs{'' if owner == name else f', those of {owner}'}:", style="bold", highlight=False)
    console.out(f"  {small_command(name)}\n{small.says}", highlight=False)
    if (table := tables.recorded_table(name)) is not None:
        console.print(table.to_rich())
    console.out(tables.recorded_note(name), highlight=False)
    return 0


def _run_small(name: str, chosen: RowArguments, words: Sequence[str], command: str) -> None:
    from res2net.recipes.ledger.experiment import SEEDS, small_of

    owner, small = small_of(name)
    if small is None:
        raise InputError(f"{name} has no small runs: `res2net reproduce {name}` says why.")
    base = _config(small.recipe, [*shlex.split(small.options), *words], f"reproduce {name} --scale small")

    from res2net.commands.sweep import print_study
    from res2net.recipes.ledger.recorded import read
    from res2net.recipes.ledger.run import run_small
    from res2net.recipes.ledger.tables import scores_table

    folder, console = _folder(base, owner, "small"), Console()
    study = run_small(
        owner,
        small,
        base,
        range(chosen.seeds or len(SEEDS)),
        folder,
        command=command,
        models=separated(chosen.models),
        jobs=chosen.jobs,
        console=console,
    )
    print_study(study, console)
    console.print(scores_table(small, read(folder / "record.json")).to_rich())
    console.out(f"{small.says}\nReport: {folder / 'report.html'}, record: {folder / 'record.json'}", highlight=False)


def _run_full(name: str, experiment: Experiment, chosen: RowArguments, words: Sequence[str]) -> None:
    from res2net.recipes.ledger.experiment import find_entries

    if experiment.full is None:
        raise InputError(f"{name} cannot be run at full scale: {experiment.missing}")

    from res2net.recipes.ledger.run import beside_published, grouped, run_full

    console = Console()
    for (recipe, options), entries in grouped(experiment, find_entries(experiment, separated(chosen.models))).items():
        base = _config(recipe, [*shlex.split(options), *words], f"reproduce {name} --scale full")
        folder = _folder(base, name, "full") / recipe
        study = run_full(entries, base, range(chosen.seeds or 1), folder, jobs=chosen.jobs, console=console)
        console.print(beside_published(experiment, entries, study).to_rich())
        console.out(f"Report: {folder / 'report.html'}", highlight=False)
    for command in experiment.full.then:
        console.out(f"Then: {command}", highlight=False)


def _folder(base: TrainConfig[Any], name: str, scale: str) -> Path:
    return Path(base.out or f"runs/{name}-{scale}")
