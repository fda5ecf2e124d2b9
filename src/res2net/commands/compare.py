"""`res2net compare`: images, what is true of them, and what several models make of them, in one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.console import Console

from res2net.commands.arguments import RunningArguments, TrainedArguments, load_trained, split_task
from res2net.commands.data import check_out
from res2net.commands.parser import parse
from res2net.errors import InputError, check_choice, check_range

if TYPE_CHECKING:
    from res2net.api import Model
    from res2net.engine.sheet import Compared, Scores
    from res2net.images.sources import DataSource
    from res2net.report import Table

__all__ = ["run"]

ABOUT = """Draw a sheet as in the figures of papers: images, what is true of them, and what each of several trained
models makes of them. The columns are the models, and below each image stands what the task's metric is of that
image alone."""
BEST = "best.safetensors"
SIDE = 320
"""Side of an image; the sheet has twice as many pixels, 640, to which small images with objects are enlarged."""
MOST = 40
"""Rows of a sheet."""


@dataclass(frozen=True, kw_only=True)
class Arguments(RunningArguments):
    """What is compared on what."""

    source: tyro.conf.Positional[str]
    """A data set, of which the validation images are drawn; or an image or a folder of images without truth."""
    models: tuple[str, ...]
    """Checkpoints of `res2net train`, or the folders of its runs, or with --runtime also files of `res2net export`, two
    or more, with spaces or commas between them."""
    names: tuple[str, ...] = ()
    """What the models are called above their columns; by default as their backbones, or as their runs or files."""
    out: str = "comparison.png"
    """The sheet: an image (.png), or a page (.html)."""
    overwrite: bool = False
    """Replace that file, if there is one."""
    count: int = 6
    """Images."""
    pick: str = "first"
    """The first images, random ones, or those where the scores of the models differ most: first, random, differ."""
    among: int = 200
    """`--pick differ` looks at so many images, chosen at random."""
    seed: int = 0
    """Of random choices."""


def run(arguments: Sequence[str]) -> None:
    """Compare, draw and tell the scores."""
    name, words = split_task(arguments)
    chosen = parse(Arguments, "compare", words, ABOUT)
    files = separated(chosen.models)
    if len(files) < 2:
        raise InputError(f"compare needs at least two models, and {len(files)} is given: add to --models.")
    check_range("count", chosen.count, 1, MOST)
    check_range("among", chosen.among, 1)
    out = Path(chosen.out)
    check_out(out, chosen.overwrite)

    from res2net.engine.module import describe_skipped
    from res2net.engine.progress import progress_bar
    from res2net.engine.sheet import PICKS, Readable, Scores, choose, compare_images
    from res2net.images.samples import BAD_IMAGES

    check_choice("Way to choose images", chosen.pick, PICKS)
    check_choice("Treatment of bad images", chosen.bad_images, BAD_IMAGES)
    models = load_all(files, name, chosen)
    tasks = [model.task for model in models]
    titles = titles_of([model.name for model in models], files, separated(chosen.names))
    source, unknown = open_compared(chosen.source, models, chosen.bad_images)
    console = Console()
    if unknown:
        console.print(f"Without the truth: {unknown}", markup=False, highlight=False, soft_wrap=True)
    scores = None if unknown else Scores(tasks, source)
    total = len(source.val)
    readable = Readable(source)
    with progress_bar(Console(stderr=True)) as bar:
        watched = bar.add_task("scores", total=min(total, chosen.among), note="", visible=chosen.pick == "differ")

        def difference(place: int) -> float:
            assert scores is not None
            bar.advance(watched)
            return scores.difference(place)

        places = choose(
            chosen.count,
            total,
            chosen.pick,
            seed=chosen.seed,
            among=chosen.among,
            difference=None if scores is None else difference,
            usable=readable if chosen.bad_images == "skip" else None,
        )
        skipped = [f"{path} ({reason})" for path, reason in readable.broken.items()]
        if skipped and not places:
            raise InputError(f"No image could be read: fix {skipped[0]} and the others.")
        drawing = bar.add_task("images", total=len(places), note="")
        rows = []
        for row in compare_images(tasks, source, places, scores):
            rows.append(row)
            bar.advance(drawing)
    title = f"{name}: {', '.join(titles)} on {source.name}"
    table = None if scores is None else score_table(rows, titles, scores)
    write(rows, titles, title, table, out)
    if table is not None:
        console.print(table.to_rich())
    if skipped:
        console.print(describe_skipped(skipped), markup=False, highlight=False, soft_wrap=True)
    console.print(f"Sheet: {out}", markup=False, highlight=False, soft_wrap=True)


def separated(words: Sequence[str]) -> list[str]:
    """Words that may have commas between them; a file whose name has one stays whole."""
    return [part for word in words for part in ([word] if Path(word).exists() else word.split(",")) if part]


def load_all(files: Sequence[str], name: str, chosen: RunningArguments) -> list[Model]:
    """The trained models.

    Raises:
        InputError: they know different classes, or what was chosen does not fit them.
    """
    from res2net.engine.predict import accelerator_device

    models: list[Model] = []
    for file in files:
        # A runtime is for those that are exported; the others are checkpoints.
        trained = TrainedArguments(weights=file, accelerator=chosen.accelerator, task_options=chosen.task_options)
        model = load_trained(trained, name, None)
        if chosen.runtime is not None and model.exported:
            model = load_trained(replace(trained, runtime=chosen.runtime), name, None)
        model.task.eval().to(accelerator_device(model.accelerator))
        models.append(model)
        for fact in ("class_names", "stuff_names"):
            first, here = (one.task.facts.get(fact, ()) for one in (models[0], model))
            if list(first) != list(here):
                raise InputError(
                    f"{files[0]} and {file} know different classes ({shown(first)}; {shown(here)}): compare models "
                    "that were trained on the same ones."
                )
    if chosen.runtime is not None and not any(model.exported for model in models):
        raise InputError("None of the models is a file of `res2net export`: leave out --runtime.")
    return models


def shown(names: Sequence[str]) -> str:
    """The first of some names, and how many there are."""
    return ", ".join(names[:3]) + (f" ... {len(names)} in all" if len(names) > 3 else "") or "none"


def titles_of(backbones: Sequence[str], files: Sequence[str], names: Sequence[str]) -> list[str]:
    """What the models are called: as is said, else as their backbones or, where these are the same, their runs."""
    if names:
        if len(names) != len(files):
            raise InputError(f"There are {len(files)} models and {len(names)} names: give one for each in --names.")
        return list(names)
    paths = [Path(file).absolute() for file in files]
    runs = [path.parent.name if path.name == BEST else path.stem for path in paths]
    candidates = (backbones, runs, files)
    return list(next((found for found in candidates if len(set(found)) == len(found)), files))


def open_compared(text: str, models: Sequence[Model], bad_images: str = "stop") -> tuple[DataSource, str]:
    """The source of the images, split as in the training of the first model; and why their truth is not known.

    Raises:
        InputError: it is no data set that fits the task, and has no images itself.
    """
    from res2net.engine.predict import InputSamples
    from res2net.engine.restore import check_classes
    from res2net.images.sources import DataSource

    task = models[0].task
    try:
        source = models[0].open(text, bad_images=bad_images)
    except InputError as error:
        path = Path(text)
        if not path.exists():
            raise
        paths = task.inputs.list_files(path)  # it states where there is no image at all
        # Images that lie in folders of their own are parts of a data set in which something is wrong.
        if path not in (paths[0], *(file.parent for file in paths)):
            raise
        files = InputSamples(task, paths)
        return DataSource(path.absolute().name, files, files, task.class_names), str(error)
    for model in models:
        check_classes(model.task, source)
        model.task.datasets(source)
    return source, ""


def score_table(rows: Sequence[Compared], titles: Sequence[str], scores: Scores) -> Table:
    """The scores of the images in the sheet."""
    from res2net.report import Column, Table

    names = dict.fromkeys(score[0] for row in rows for score in row.scores if score is not None)
    heading = f"{', '.join(names) or 'nothing to measure'}, of each image alone"
    columns = (Column("image"), *(Column(title, "%", digits=1) for title in titles))
    cells = [(row.name, *(None if score is None else score[1] for score in row.scores)) for row in rows]
    return Table(heading, columns, cells)


def write(rows: Sequence[Compared], titles: Sequence[str], title: str, table: Table | None, out: Path) -> None:
    """Write an image of all rows, or a page with them."""
    from res2net.report import Report, image_rows, render
    from res2net.weights import atomic_write

    heads = ["image", *([] if table is None else ["truth"]), *titles]
    images = [[row.image, *([] if row.truth is None else [row.truth]), *row.found] for row in rows]
    captions = [
        [row.name, *([] if row.truth is None else [""]), *(caption(score) for score in row.scores)] for row in rows
    ]
    if out.suffix.lower() == ".png":
        content = render(image_rows(images, heads, captions, side=SIDE), "png")
        atomic_write(out, lambda file: file.write(content))
        return
    report = Report(title)
    if table is not None:
        report.add_table(table)
    for row, below in zip(images, captions, strict=True):
        told = [f"{head}\n{text}" if text else head for head, text in zip(heads, below, strict=True)]
        report.add_images(row, told, below[0], len(row))
    report.write(out)


def caption(score: tuple[str, float] | None) -> str:
    """A line below an image."""
    return "" if score is None else f"{score[0]} {score[1]:.1f} %"
