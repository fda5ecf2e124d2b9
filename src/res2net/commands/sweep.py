"""`res2net sweep`: train several models with several seeds, and compare them with the statistics that this allows."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from res2net.commands.compare import separated
from res2net.commands.parser import HELP, divide_words, parse
from res2net.commands.train import parse_train, stopped_together
from res2net.console import Console
from res2net.engine.config import TrainConfig
from res2net.errors import InputError
from res2net.options import check_ranges

if TYPE_CHECKING:
    from res2net.recipes.study import Study

ABOUT = """Train several models, or one model with options varied one at a time, each with several seeds, and compare
them: means, confidence intervals and paired tests, a figure of score against cost, and a page. The first model is the
one that the others are compared with. All options of `res2net train` apply. The same command goes on with a sweep that
was stopped, and reads the runs that are finished."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What is compared."""

    models: Annotated[tuple[str, ...], "NAME ..."] = ()
    """Models to compare, separated by spaces or commas; options of the architecture follow a colon, as in
    res2net20_26w_4s_small:scale=6:base_width=20."""
    vary: Annotated[tuple[str, ...], "OPTION=VALUE,..."] = ()
    """Options of --model to vary, each around the same base: `--vary scale=1,2,4 depth=29,56`."""
    seeds: int = 5
    """Seeds of each model: 0, 1, ..."""
    jobs: int = 1
    """Runs at a time; small networks train faster side by side, each with its share of the processors."""
    tune: Annotated[str | None, "OPTION=VALUE,..."] = None
    """First choose an option of the training for each model by itself, as `--tune lr=0.1,0.2,0.4`: each value is
    trained with the first seed on nine tenths of the training split and scored on the rest."""
    tune_epochs: int | None = None
    """Epochs of these runs; by default as many as in the others."""
    epoch: Literal["last", "best"] = "last"
    """Which epoch is scored; the best favours models whose scores vary more."""
    time: bool = False
    """Measure the time of an inference too; the machine has to be quiet."""
    out: Annotated[str | None, "FOLDER"] = None
    """Folder of the runs, of report.html and of study.json; by default runs/sweep-NUMBER."""


def run(arguments: Sequence[str]) -> int:
    """Train, print the comparison and write the page; returns 1 if it was stopped and can be continued."""
    own, words = divide_words(Arguments, arguments)
    if any(word in HELP for word in words):
        parse(Arguments, "sweep [TASK] SOURCE", ["--help"], ABOUT)
    chosen = parse(Arguments, "sweep", own, ABOUT)
    check_ranges(chosen, seeds=(1, 1000), jobs=(1, 1024), tune_epochs=(1, math.inf))
    models = separated(chosen.models)
    if bool(models) == bool(chosen.vary):
        raise InputError("A sweep compares models or varies options: give either --models or --vary with --model.")
    parsed, folder, note = parse_train("sweep", words)
    if folder is not None:
        raise InputError("A sweep goes on by the same command with the same --out: leave out --resume.")

    from res2net.engine.folder import new_folder
    from res2net.engine.stop import StoppedError
    from res2net.recipes.study import models_of, run_study, swept
    from res2net.recipes.study.report import write_study
    from res2net.recipes.study.timing import timed

    console = Console()
    if note:
        console.out(note)
    base = parsed.run
    lines = None
    if models:
        arms = models_of(base, models)
    else:
        arms, lines = swept(base, dict(_values(text, "--vary") for text in chosen.vary))
    out = Path(chosen.out) if chosen.out else new_folder("sweep")
    seeds = range(chosen.seeds)
    try:
        if chosen.tune is not None:
            arms = _tuned(arms, chosen, out, console)
        study = replace(run_study(arms, seeds, out, jobs=chosen.jobs, console=console), epoch=chosen.epoch)
    except StoppedError as stop:
        return stopped_together(stop, f"the same command{'' if chosen.out else f' and --out {out}'}")
    if chosen.time:
        study = replace(study, milliseconds=timed(study))
    title = f"{base.model.model if lines else f'{len(arms)} models'} on {Path(base.source).name}"
    report = write_study(study, out, title, shlex.join(["res2net", "sweep", *arguments]), lines)
    print_study(study, console)
    console.out(f"Report: {report}", highlight=False)
    return 0


def print_study(study: Study, console: Console) -> None:
    """Print the tables of a study and a sentence for each comparison."""
    console.print()
    console.print(study.score_table().to_rich())
    console.print(study.cost_table().to_rich())
    for sentence in study.verdicts():
        console.out(sentence, highlight=False)


def _tuned(
    arms: Mapping[str, TrainConfig[Any]], chosen: Arguments, out: Path, console: Console
) -> dict[str, TrainConfig[Any]]:
    """The arms, each with the value of the option that scored best for it on a part of the training split."""
    from res2net.recipes.study import tune
    from res2net.report import Column, Table

    option, values = _values(str(chosen.tune), "--tune")
    arms, scores = tune(
        arms, option, values, out / "tuning", epochs=chosen.tune_epochs, jobs=chosen.jobs, console=console
    )
    columns = (Column("model"), *(Column(f"{option} {value}") for value in values))
    console.print(Table("Scores on the part held out of the training split", columns, scores).to_rich())
    return arms


def _values(text: str, option: str) -> tuple[str, list[Any]]:
    """The name and the values in `NAME=VALUE,VALUE`."""
    from res2net.recipes.study.plan import parse_value

    name, equals, listed = text.partition("=")
    values = [parse_value(value) for value in listed.split(",") if value]
    if not equals or not name or not values:
        raise InputError(f"{option} {text!r} does not fit: give NAME=VALUE,VALUE, such as {option} scale=2,4.")
    if len(set(map(str, values))) < len(values):
        raise InputError(f"{option} {text!r} has a value twice: leave one out.")
    return name, values
