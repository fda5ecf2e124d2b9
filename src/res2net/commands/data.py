"""`res2net data`: check a data set, or convert it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from res2net.commands.arguments import PAGES, check_output
from res2net.commands.parser import parse
from res2net.console import Console
from res2net.errors import check_choice, check_range

if TYPE_CHECKING:
    from res2net.engine.data_tools import Part

ABOUT = """Check a data set before training: `res2net data check PATH` recognises its format, counts images and labels
and lists problems; --out FILE shows images with their labels. `res2net data prepare PATH --to semantic --out FOLDER`
converts object masks to label maps (see `res2net data prepare --help`)."""
SHOWN = 20
"""Largest number of classes and problems in the terminal; a page lists all."""


@dataclass(frozen=True)
class Arguments:
    """The data set, and the file to draw it to."""

    action: tyro.conf.Positional[str]
    """check, or a conversion such as prepare."""
    source: tyro.conf.Positional[str]
    """A folder or file: COCO, PASCAL VOC, YOLO, Penn-Fudan, label maps, volumes, graphs of roads, pairs of images,
    folders of classes, tables of labels, or CIFAR."""
    out: Annotated[str | None, "FILE"] = None
    """A page (.html) or an image (.png) to write, which shows some images with their labels."""
    count: int = 12
    """Number of images to show."""
    full: bool = False
    """Decode all images, not a sample, and compare those of different splits even where there are many."""
    overwrite: bool = False
    """Replace an existing file."""


def run(arguments: Sequence[str]) -> int:
    """Check a data set, print and draw it, or convert it; returns 1 if the data have problems."""
    words = list(arguments)
    if words and words[0] != "check" and not words[0].startswith("-"):
        return convert(words[0], words[1:])
    chosen = parse(Arguments, "data", arguments, ABOUT)
    check_range("count", chosen.count, 1, 100)
    if chosen.out is not None:
        check_output(Path(chosen.out), PAGES, overwrite=chosen.overwrite)

    from res2net.engine.data_tools import open_parts

    parts = open_parts(chosen.source)
    console = Console()
    for part in parts:
        part.inspect(console, full=chosen.full)
        for table in part.tables(SHOWN):
            console.print(table.to_rich())
        for note in part.notes:
            console.out(note, highlight=False)
    faults = sum(part.faults for part in parts)
    if chosen.out is not None:
        write(parts, chosen, Path(chosen.out))
    found = f"{faults} {'problem' if faults == 1 else 'problems'} found" if faults else "no problems found"
    summary = f"{chosen.source} is {' and '.join(part.about for part in parts)}: {found}."
    for line in (summary, *([f"Images: {chosen.out}"] if chosen.out else [])):
        console.out(line, highlight=False)
    return int(faults > 0)


def convert(name: str, words: Sequence[str]) -> int:
    """Make a data set from another by one of the conversions that tasks register."""
    from res2net.engine.data_tools import CONVERSIONS

    check_choice("Action", name, ("check", *CONVERSIONS))
    conversion = CONVERSIONS[name]
    sentence = conversion.run(parse(conversion.Arguments, f"data {name}", words, conversion.about))
    Console().out(sentence, highlight=False)
    return 0


def write(parts: Sequence[Part], chosen: Arguments, path: Path) -> None:
    """Write the page with all tables and images, or one image of all images."""
    from res2net.report import Report, image_grid, save_figure

    each = -(-chosen.count // len(parts))
    drawn = [part.images(each) for part in parts]
    if path.suffix.lower() == ".png":
        cells = [cell for part in drawn for cell in part][: chosen.count]
        figure = image_grid([image for image, _ in cells], [caption for _, caption in cells], columns=3)
        save_figure(figure, path)
        return
    report = Report(f"Data set {Path(chosen.source).absolute().name}", " and ".join(part.about for part in parts))
    for part, cells in zip(parts, drawn, strict=True):
        report.add_section(part.about)
        counts, *more = part.tables(None)
        report.add_table(counts)
        if cells:  # before the tables that may be long
            report.add_images([image for image, _ in cells], [caption for _, caption in cells], "Some images")
        for table in more:
            report.add_table(table)
    report.write(path)
