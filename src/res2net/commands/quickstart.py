"""`res2net quickstart`: train, compare and explain two small networks."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from res2net.commands.parser import parse
from res2net.console import Console
from res2net.errors import InputError

ABOUT = """Train a small ResNet and a Res2Net of the same cost on synthetic images, compare them by object size and show
what they look at. Needs no data and no network connection; takes about four minutes on two cores."""


@dataclass(frozen=True)
class Arguments:
    """Length and folder of the runs."""

    seeds: int = 2
    """Number of runs per model."""
    epochs: int = 3
    """Epochs per run."""
    source: Annotated[str, "NAME"] = "shapes"
    """The synthetic images; shapes:TRAIN,VAL sets their numbers."""
    out: Annotated[str | None, "FOLDER"] = None
    """Folder of the runs and the report; by default runs/quickstart-NUMBER."""


def run(arguments: Sequence[str]) -> int:
    """Train and compare, write the report, and print what to do next; returns 1 if it was stopped."""
    chosen = parse(Arguments, "quickstart", arguments, ABOUT)
    if not 1 <= chosen.seeds <= 100 or not 1 <= chosen.epochs <= 1000:
        raise InputError(f"{chosen.seeds} seeds and {chosen.epochs} epochs do not fit: give 1 to 100 and 1 to 1000.")
    folder = _folder(chosen.out)
    started = time.monotonic()

    from res2net.engine.stop import StoppedError
    from res2net.recipes.quickstart import MODELS, SEEDS, by_size, compare, quickstart, verdict, write_report

    console = Console()
    console.print(
        "Two networks of the same cost, a ResNet and a Res2Net, learn to classify silhouettes filled with textures, "
        "whose sizes range from 6 % to 90 % of the image's side.",
        highlight=False,
    )
    configs = {name: quickstart(model, epochs=chosen.epochs, source=chosen.source) for name, model in MODELS.items()}
    seeds = [SEEDS[0] + number for number in range(chosen.seeds)]
    try:
        comparison = compare(configs, seeds, folder, console)
    except StoppedError as stop:
        again = f"res2net train --resume {shlex.quote(str(stop))}"
        Console(stderr=True).out(f"Stopped and saved. Resume this run with:\n  {again}", highlight=False)
        return 1
    report = write_report(comparison, folder, chosen.source)
    console.print()
    console.print(comparison.table("top1").to_rich())
    console.print(by_size(comparison).to_rich())
    console.print(verdict(comparison), highlight=False)
    best = comparison.runs["Res2Net"][0].folder.best
    console.out(
        f"\n{time.monotonic() - started:.0f} s in all. Report, with plots and what the networks look at:\n"
        f"  {report}\n\n"
        "Next, with your own images (a folder with a folder of images for each class):\n"
        "  res2net train PATH/TO/IMAGES --model res2net50_26w_4s\n"
        "  res2net train PATH/TO/IMAGES --model res2net50_26w_4s --weights in1k --adapt-classifier"
        "    (fine-tune; non-commercial weights)\n"
        f"  res2net eval {chosen.source} --weights {best}\n"
        "  res2net models",
        highlight=False,
    )
    return 0


def _folder(out: str | None) -> Path:
    if out is None:
        from res2net.engine.folder import new_folder

        return new_folder("quickstart")
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{out} exists and is not empty: choose another --out.")
    return folder
