"""`res2net mini-paper`: the comparison of the paper on six tasks, at the size of a laptop."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from res2net.commands.compare import separated
from res2net.commands.parser import parse
from res2net.commands.train import stopped_together
from res2net.console import Console
from res2net.errors import InputError
from res2net.options import check_ranges

ABOUT = """Train a small Res2Net and a ResNet of the same cost on six tasks of the synthetic images `shapes`, each with
several seeds, and write one report, as a page and as Markdown. Whatever comes out stands in it. The same command goes
on with what was stopped. All of it takes hours on two cores; --images and --epochs make it shorter."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Parts, length and folder."""

    tasks: Annotated[tuple[str, ...], "TASK ..."] = ()
    """Tasks, separated by spaces or commas: classification, detection, instances, semantic, saliency, keypoints; by
    default all."""
    seeds: int = 3
    """Seeds of each network and task."""
    epochs: float = 1.0
    """Factor of the epochs of each recipe."""
    images: Annotated[tuple[int, int] | None, "N N"] = None
    """Images to train and to validate on; by default 12,000 and 2,000."""
    jobs: int = 1
    """Runs at a time."""
    out: Annotated[str, "FOLDER"] = "runs/mini-paper"
    """Folder of the runs and of report.html and report.md."""


def run(arguments: Sequence[str]) -> int:
    """Train, print the table, and write the reports; returns 1 if it was stopped and can be continued."""
    chosen = parse(Arguments, "mini-paper", arguments, ABOUT)
    check_ranges(chosen, seeds=(1, 1000), jobs=(1, 1024), epochs=(1e-3, 1e3))
    if chosen.images is not None and not all(1 <= number < math.inf for number in chosen.images):
        raise InputError(f"--images {chosen.images[0]} {chosen.images[1]} is out of range: give two numbers above 0.")

    from res2net.engine.stop import StoppedError
    from res2net.recipes.mini_paper import TASKS, mini_paper, write

    console, out = Console(), Path(chosen.out)
    try:
        paper = mini_paper(
            out,
            parts=separated(chosen.tasks) or list(TASKS),
            seeds=range(chosen.seeds),
            epochs=chosen.epochs,
            images=chosen.images,
            jobs=chosen.jobs,
            console=console,
        )
    except StoppedError as stop:
        return stopped_together(stop)
    command = shlex.join(["res2net", "mini-paper", *arguments])
    page, text = write(paper, out, command)
    console.print(paper.table().to_rich())
    console.out(f"{paper.verdict()}\nReport: {page}\n        {text}", highlight=False)
    return 0
