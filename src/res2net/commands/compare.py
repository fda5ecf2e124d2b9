"""`res2net compare`: images, their ground truth and the results of several models in one sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from res2net.commands.arguments import (
    PAGES,
    RunningArguments,
    TrainedArguments,
    check_output,
    load_trained,
    split_task,
)
from res2net.commands.parser import parse
from res2net.console import Console
from res2net.engine.options import Pick
from res2net.errors import InputError
from res2net.options import check_ranges

if TYPE_CHECKING:
    from res2net.api import Model
    from res2net.engine.sheet import Compared
    from res2net.images.sources import DataSource
    from res2net.report import Table

ABOUT = """Draw a sheet like the figures of papers: each row shows an image, its ground truth and the results of several
trained models, with the score of the image alone below each result."""
BEST = "best.safetensors"
SIDE = 320
"""Side of an image in the sheet, points; the sheet has two pixels per point."""


@dataclass(frozen=True, kw_only=True)
class Arguments(RunningArguments):
    """Models, and the images to compare them on."""

    source: tyro.conf.Positional[str]
    """A data set; or an image or a folder of images without ground truth."""
    split: str | None = None
    """Split to compare on, such as test; by default as in eval."""
    models: Annotated[tuple[str, ...], "FILE ..."]
    """Two or more checkpoints, folders of runs or exported files, separated by spaces or commas."""
    names: Annotated[tuple[str, ...], "NAME ..."] = ()
    """Titles of the models' columns; by default the names of the backbones, runs or files."""
    out: Annotated[str, "FILE"] = "comparison.png"
    """The sheet to write: an image (.png) or a page (.html)."""
    overwrite: bool = False
    """Replace an existing file."""
    count: int = 6
    """Number of images."""
    pick: Pick = "first"
    """Show the first images, random ones, or those where the scores of the models differ most."""
    among: int = 200
    """Number of random images among which `--pick differ` chooses."""
    seed: int = 0
    """Seed of random choices."""


def run(arguments: Sequence[str]) -> None:
    """Compare the models, write the sheet and print the scores."""
    name, words = split_task(arguments)
    chosen = parse(Arguments, "compare", words, ABOUT)
    files = separated(chosen.models)
    if len(files) < 2:
        raise InputError(f"compare needs at least two models, and got {len(files)}: add to --models.")
    check_ranges(chosen, count=(1, 40), among=(1, math.inf))
    out = Path(chosen.out)
    check_output(out, PAGES, overwrite=chosen.overwrite)

    from res2net.engine.module import describe_skipped
    from res2net.engine.sheet import choose, compare_images, difference_of, image_scores, is_readable
    from res2net.report.progress import progress_bar

    models = load_all(files, name, chosen)
    tasks = [model.task for model in models]
    titles = titles_of([model.name for model in models], files, separated(chosen.names))
    source, unknown = open_compared(chosen.source, models, chosen.bad_images, chosen.split)
    console = Console()
    if unknown:
        console.out(f"Without ground truth: {unknown}", highlight=False)
    for note in source.notes:
        console.out(note, highlight=False)
    scores = None if unknown else image_scores(tasks, source)
    total = len(source.val)
    broken: dict[str, str] = {}
    with progress_bar(Console(stderr=True)) as bar:
        watched = bar.add_task("scores", total=min(total, chosen.among), note="", visible=chosen.pick == "differ")

        def difference(index: int) -> float:
            assert scores is not None
            bar.advance(watched)
            return difference_of(scores(index))

        indices = choose(
            chosen.count,
            total,
            chosen.pick,
            seed=chosen.seed,
            among=chosen.among,
            difference=None if scores is None else difference,
            usable=partial(is_readable, source, broken) if chosen.bad_images == "skip" else lambda _: True,
        )
        skipped = [f"{path} ({reason})" for path, reason in broken.items()]
        if skipped and not indices:
            raise InputError(f"No image could be read: fix {skipped[0]} and the others.")
        drawing = bar.add_task("images", total=len(indices), note="")
        rows = []
        for row in compare_images(tasks, source, indices, scores):
            rows.append(row)
            bar.advance(drawing)
    title = f"{name}: {', '.join(titles)} on {source.name}" + (f" ({source.val_about})" if source.val_about else "")
    table = None if scores is None else score_table(rows, titles)
    write(rows, titles, title, table, out)
    if table is not None:
        console.print(table.to_rich())
    if skipped:
        console.out(describe_skipped(skipped), highlight=False)
    console.out(f"Sheet: {out}", highlight=False)


def separated(words: Sequence[str]) -> list[str]:
    """Words that may have commas between them; a file whose name has one stays whole."""
    return [part for word in words for part in ([word] if Path(word).exists() else word.split(",")) if part]


def load_all(files: Sequence[str], name: str, chosen: RunningArguments) -> list[Model]:
    """Load the trained models; raises `InputError` if they have different classes, or the options do not fit them."""
    from res2net.engine.predict import accelerator_device

    models: list[Model] = []
    for file in files:
        # --runtime applies to the exported files among the models.
        trained = TrainedArguments(
            weights=file, accelerator=chosen.accelerator, task_options=chosen.task_options, trust=chosen.trust
        )
        model = load_trained(trained, name)
        if chosen.runtime is not None and model.exported:
            model = load_trained(replace(trained, runtime=chosen.runtime), name)
        model.task.eval().to(accelerator_device(model.accelerator))
        models.append(model)
        for fact in ("class_names", "stuff_names"):
            first, here = (one.task.facts.get(fact, ()) for one in (models[0], model))
            if list(first) != list(here):
                raise InputError(
                    f"{files[0]} and {file} have different classes ({shown(first)}; {shown(here)}): compare models "
                    "that were trained on the same classes."
                )
    if chosen.runtime is not None and not any(model.exported for model in models):
        raise InputError("None of the models is a file of `res2net export`: leave out --runtime.")
    return models


def shown(names: Sequence[str]) -> str:
    """The first three names, and the number of all."""
    return ", ".join(names[:3]) + (f" ... {len(names)} in all" if len(names) > 3 else "") or "none"


def titles_of(backbones: Sequence[str], files: Sequence[str], names: Sequence[str]) -> list[str]:
    """The titles that were given, or the backbones; where these are the same, the runs or the files."""
    if names:
        if len(names) != len(files):
            raise InputError(
                f"There are {len(files)} models and {len(names)} names: give one name per model in --names."
            )
        return list(names)
    paths = [Path(file).absolute() for file in files]
    runs = [path.parent.name if path.name == BEST else path.stem for path in paths]
    candidates = (backbones, runs, files)
    return list(next((found for found in candidates if len(set(found)) == len(found)), files))


def open_compared(
    text: str, models: Sequence[Model], bad_images: str = "stop", split: str | None = None
) -> tuple[DataSource, str]:
    """Open the images as the first model does to evaluate, and state why they have no ground truth, if so."""
    from res2net.engine.predict import InputSamples
    from res2net.engine.restore import with_classes_of
    from res2net.images.sources import DataSource

    task = models[0].task
    try:
        source = models[0].open(text, split=split, bad_images=bad_images)
    except InputError as error:
        path = Path(text)
        if not path.exists() or split is not None:
            raise
        paths = task.inputs.list_files(path)  # it states where there is no image at all
        # Images that lie in folders of their own are parts of a data set in which something is wrong.
        if path not in (paths[0], *(file.parent for file in paths)):
            raise
        files = InputSamples(task, paths)
        return DataSource(path.absolute().name, files, files, task.class_names), str(error)
    for model in models:
        source = with_classes_of(model.task, source)
        model.task.datasets(source)
    return source, ""


def score_table(rows: Sequence[Compared], titles: Sequence[str]) -> Table:
    """The table of the scores of the images in the sheet."""
    from res2net.report import Column, Table

    names = dict.fromkeys(score[0] for row in rows for score in row.scores if score is not None)
    heading = f"{', '.join(names) or 'nothing to measure'}, of each image alone"
    columns = (Column("image"), *(Column(title, "%", digits=1) for title in titles))
    cells = [(row.name, *(None if score is None else score[1] for score in row.scores)) for row in rows]
    return Table(heading, columns, cells)


def write(rows: Sequence[Compared], titles: Sequence[str], title: str, table: Table | None, out: Path) -> None:
    """Write an image or a page with all rows."""
    from res2net.report import Report, image_rows, save_figure

    heads = ["image", *([] if table is None else ["ground truth"]), *titles]
    images = [[row.image, *([] if row.truth is None else [row.truth]), *row.found] for row in rows]
    captions = [
        [row.name, *([] if row.truth is None else [""]), *(caption(score) for score in row.scores)] for row in rows
    ]
    if out.suffix.lower() == ".png":
        save_figure(image_rows(images, heads, captions, side=SIDE), out)
        return
    report = Report(title)
    if table is not None:
        report.add_table(table)
    for row, below in zip(images, captions, strict=True):
        below_each = [f"{head}\n{text}" if text else head for head, text in zip(heads, below, strict=True)]
        report.add_images(row, below_each, below[0], len(row))
    report.write(out)


def caption(score: tuple[str, float] | None) -> str:
    """The score below an image."""
    return "" if score is None else f"{score[0]} {score[1]:.1f} %"
