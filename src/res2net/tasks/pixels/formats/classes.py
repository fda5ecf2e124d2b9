"""The numbers and names of the classes of label maps, from a file in the data set or from the maps themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from res2net.errors import InputError
from res2net.images.decode import BadImage
from res2net.images.samples import UNLABELLED
from res2net.images.text import read_json, read_lines
from res2net.tasks.objects.formats.masks import read_ids
from res2net.tasks.pixels.formats.codings import MAX_CLASSES, SemanticMaps
from res2net.tasks.pixels.formats.images import Pair, PixelFiles

CLASS_FILES = ("classes.json", "classes.txt", "objectInfo150.txt")
"""Files that list the classes, in the root of a data set; the last is that of ADE20K."""

UNLABELLED_NAMES = ("unlabelled", "unlabeled", "void", "ignore")
"""Names that mark a class as unlabelled: its pixels are ignored in training and evaluation."""


@dataclass(frozen=True)
class Classes:
    """The names of the classes, and the class index (or `UNLABELLED`) of each value in the files."""

    names: tuple[str, ...]
    index_of: Mapping[int, int]

    def files(self, name: str, pairs: Sequence[Pair]) -> PixelFiles:
        """A split of images with maps of these classes."""
        return PixelFiles(name, "semantic", self.names, pairs, SemanticMaps(self.index_of))


def numbered(names: Mapping[int, str], unlabelled: Iterable[int] = ()) -> Classes:
    """Assign indices to classes in the order of their numbers in the files, leaving out unlabelled ones."""
    ignored = {number for number, name in names.items() if name.lower() in UNLABELLED_NAMES} | set(unlabelled)
    kept = [number for number in sorted(names) if number not in ignored]
    if len(kept) > MAX_CLASSES:
        raise InputError(f"There are {len(kept)} classes of pixels, and at most {MAX_CLASSES} can be: join some.")
    kept_names = tuple(names[number] for number in kept)
    duplicate = next((name for name in kept_names if kept_names.count(name) > 1), None)
    if duplicate is not None:
        raise InputError(f"Two classes of pixels have the name {duplicate!r}: give each a name of its own.")
    return Classes(
        kept_names, {number: index for index, number in enumerate(kept)} | dict.fromkeys(ignored, UNLABELLED)
    )


def find_class_file(root: Path) -> Path | None:
    """The file that lists the classes of a data set; None if there is none."""
    return next((root / name for name in CLASS_FILES if (root / name).is_file()), None)


def read_classes(file: Path) -> Classes:
    """Read one of `CLASS_FILES`.

    - `classes.txt`: one name per line; the first has the number 0.
    - `classes.json`: a list of names, numbered from 0, or a mapping `{"7": "road", "8": "pavement"}`; or an object with
      either of them as `"classes"` and the numbers of unlabelled pixels as `"unlabelled": [0]`.
    - `objectInfo150.txt` of ADE20K: the classes have the numbers 1 to 150, and 0 is unlabelled.
    """
    if file.suffix == ".json":
        return _from_json(file)
    lines = [line for line in read_lines(file) if line]
    if file.name == "objectInfo150.txt":
        rows = [line.split("\t") for line in lines]
        return numbered(_unique({int(row[0]): row[-1].split(",")[0] for row in rows if row[0].isdigit()}), [0])
    return numbered(dict(enumerate(lines)))


def _unique(names: Mapping[int, str]) -> dict[int, str]:
    """Append the number to names that several classes share, as in ADE20K."""
    values = list(names.values())
    return {number: name if values.count(name) == 1 else f"{name} ({number})" for number, name in names.items()}


def _from_json(file: Path) -> Classes:
    content = read_json(file)
    unlabelled: Any = []
    if isinstance(content, dict) and "classes" in content:
        content, unlabelled = content["classes"], content.get("unlabelled", [])
    if isinstance(content, list):
        content = {str(number): name for number, name in enumerate(content)}
    usable = isinstance(content, dict) and all(
        key.isdecimal() and int(key) < 2**16 and isinstance(name, str) for key, name in content.items()
    )
    if (
        not usable
        or not isinstance(unlabelled, list)
        or not all(type(number) is int and 0 <= number < 2**16 for number in unlabelled)
    ):
        raise InputError(
            f'{file} lists no classes: write ["background", "cat"], or '
            '{"classes": {"7": "road"}, "unlabelled": [0]}.'
        )
    return numbered({int(key): name for key, name in content.items()}, unlabelled)


def found_classes(maps: Iterable[str], *, zero_is_unlabelled: bool) -> Classes:
    """Classes named by their numbers, up to the highest number in the maps, which are all read; 255 is unlabelled.

    Maps that cannot be read are ignored here, and reported when the data set is checked.
    """
    highest, where = 0, ""
    for path in maps:
        try:
            numbers = np.unique(read_ids(path, rgb=False))
        except BadImage:
            continue
        inside = numbers[(numbers != UNLABELLED) & (numbers != 65535)]
        if inside.max(initial=0) > highest:
            highest, where = int(inside.max()), path
    if highest >= MAX_CLASSES:
        raise InputError(
            f"The label map {where} has the number {highest}, and classes have 0 to {MAX_CLASSES - 1}: list the "
            "numbers and the names of the classes in classes.json."
        )
    first = int(zero_is_unlabelled)
    return numbered({number: str(number) for number in range(first, highest + 1)}, range(first))
