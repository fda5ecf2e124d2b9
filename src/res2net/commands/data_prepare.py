"""`res2net data prepare`: labels of pixels out of the masks of objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tyro
from rich.console import Console

from res2net.commands.arguments import parse

__all__ = ["run"]

ABOUT = """Make a data set with a label for each pixel out of one with masks of objects, such as COCO or Penn-Fudan:
`res2net data prepare PATH --to semantic --out FOLDER`."""


@dataclass(frozen=True)
class Arguments:
    """What is made of what."""

    source: tyro.conf.Positional[str]
    """A data set with masks of objects: a folder or file."""
    to: str
    """semantic (the classes of the objects, and background) or saliency (large objects, whatever their class)."""
    out: str
    """The folder to write, which must not be there yet."""
    classes: tuple[str, ...] = ()
    """Only objects of these classes; all else is background. By default all classes."""
    least: float = 0.03
    """Share of the image that an object must cover to be salient."""
    val_fraction: float = 0.2
    """Share of the validation where the data set is not split."""
    seed: int = 0
    """Of that split."""
    bad_annotations: str = "stop"
    """What wrong annotations and broken images do: stop, or skip to leave them out."""


def run(arguments: Sequence[str]) -> int:
    """Write the data set and say what is in it; the arguments are those behind `prepare`."""
    chosen = parse(Arguments, "data prepare", arguments, ABOUT)

    from res2net.tasks.pixels.formats.prepare import prepare_pixels

    made = prepare_pixels(
        chosen.source,
        chosen.to,
        chosen.out,
        classes=chosen.classes,
        least=chosen.least,
        val_fraction=chosen.val_fraction,
        seed=chosen.seed,
        bad_annotations=chosen.bad_annotations,
    )
    said = f"{chosen.out} has {made.train} images for training and {made.val} for validation"
    if chosen.to == "semantic":
        said += f", and {len(made.class_names)} classes of pixels"
    if made.left_out:
        said += f"; {made.left_out} were left out"
    Console().print(f"{said}.", markup=False, highlight=False, soft_wrap=True)
    return 0
