"""`res2net quickstart`: train, compare and explain two small networks, and look at a photograph."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from res2net.commands.parser import parse
from res2net.commands.train import stopped_together
from res2net.console import Console
from res2net.errors import InputError

ABOUT = """Train a small ResNet and a Res2Net of the same cost on synthetic images, side by side, show their scores
beside those of many seeds of the same setting, by object size and with what they look at, and find what is in a
photograph. Needs no data and no network connection; takes at most five minutes on two cores. The same command with
--out goes on where it was stopped."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Length and folder of the runs."""

    seeds: int = 1
    """Number of runs per model."""
    epochs: int | None = None
    """Epochs per run; by default those of the recorded runs."""
    source: Annotated[str | None, "NAME"] = None
    """The synthetic images, by default those of the recorded runs; shapes:TRAIN,VAL sets their numbers."""
    jobs: int = 2
    """Runs at a time, each with its share of the processors."""
    out: Annotated[str | None, "FOLDER"] = None
    """Folder of the runs and the report; by default runs/quickstart-NUMBER."""


def run(arguments: Sequence[str]) -> int:
    """Train and compare, write the report, and print what to do next; returns 1 if it was stopped."""
    chosen = parse(Arguments, "quickstart", arguments, ABOUT)
    epochs_fit = chosen.epochs is None or 1 <= chosen.epochs <= 1000
    if not 1 <= chosen.seeds <= 100 or not epochs_fit or not 1 <= chosen.jobs <= 1024:
        raise InputError(
            f"{chosen.seeds} seeds, {chosen.epochs or 'recorded'} epochs and {chosen.jobs} jobs do not fit: give 1 to "
            "100, 1 to 1000 and 1 to 1024."
        )
    folder = _folder(chosen.out)
    started = time.monotonic()

    from res2net.engine.stop import StoppedError
    from res2net.engine.train import open_data
    from res2net.recipes.quickstart import (
        beside_recorded,
        by_size,
        evaluations,
        quickstart,
        same_setting,
        write_report,
    )
    from res2net.recipes.study import recorded

    console = Console()
    console.print(
        "Two networks of the same cost, a ResNet and a Res2Net, learn to classify silhouettes filled with textures, "
        f"whose sizes range from 6 % to 90 % of the image's side. Run folder {folder}",
        highlight=False,
    )
    try:
        study = quickstart(
            folder,
            seeds=range(chosen.seeds),
            source=chosen.source,
            epochs=chosen.epochs,
            jobs=chosen.jobs,
            console=console,
        )
    except StoppedError as stop:
        return stopped_together(stop, f"res2net quickstart --out {shlex.quote(str(folder))} and the same options")
    data = open_data(study.arms["Res2Net"])
    evaluated = evaluations(study, data)
    report = write_report(study, data, evaluated, folder)
    console.print(by_size(evaluated).to_rich())
    if same_setting(study):
        for line in beside_recorded(study, recorded("shapes")):
            console.out(line, highlight=False)
    else:
        console.print(study.score_table().to_rich())
    drawn = look_at_photograph(folder, console)
    best = study.runs["Res2Net"][0].folder.weights
    source = study.arms["Res2Net"].source
    console.out(
        f"\n{time.monotonic() - started:.0f} s in all. Report, with plots and what the networks look at:\n"
        f"  {report}\n"
        f"The photograph, with what small networks that ship found in it:\n  {drawn}\n\n"
        "Next, with your own images:\n"
        "  res2net predict PATH/TO/PHOTO.jpg\n"
        "  res2net train PATH/TO/IMAGES --model res2net50_26w_4s"
        "    (a folder with a folder of images for each class)\n"
        "  res2net train PATH/TO/IMAGES --model res2net50_26w_4s --weights in1k --adapt-classifier"
        "    (fine-tune; non-commercial weights)\n"
        f"  res2net eval {source} --weights {best}\n"
        "  res2net models",
        highlight=False,
    )
    return 0


def look_at_photograph(folder: Path, console: Console) -> Path:
    """Predict the photograph that ships with all weights that ship; returns the folder of the drawings."""
    from res2net.api import load
    from res2net.weights import shipped
    from res2net.weights.shipped import PHOTOGRAPH

    drawn = folder / "photograph"
    drawn.mkdir(exist_ok=True)
    for card in shipped():
        (result,) = load(card.name).predict(str(PHOTOGRAPH))
        result.draw().save(drawn / f"{card.name}.png")
        console.out(f"{card.name}, which knows {card.knows}: see {drawn / f'{card.name}.png'}", highlight=False)
    return drawn


def _folder(out: str | None) -> Path:
    from res2net.engine.folder import new_folder

    if out is None:
        return new_folder("quickstart")
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{out} is a file: choose another --out.")
    if folder.is_dir() and any(folder.iterdir()) and not any(folder.glob("*-seed*/config.yaml")):
        raise InputError(f"{out} exists and is not empty: choose another --out.")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
