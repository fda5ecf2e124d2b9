"""How the classes of label maps are numbered and called: lists beside them, or what is found in them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from res2net.errors import InputError
from res2net.images.decode import BadImage
from res2net.images.samples import UNLABELLED
from res2net.tasks.objects.formats.masks import read_ids
from res2net.tasks.pixels.formats.codings import MOST_CLASSES, SemanticMaps

__all__ = ["CLASS_FILES", "UNLABELLED_NAMES", "Classes", "find_class_file", "found_classes", "numbered", "read_classes"]

CLASS_FILES = ("classes.json", "classes.txt", "objectInfo150.txt")
"""Lists of classes, in the root of a data set; the last is that of ADE20K."""

UNLABELLED_NAMES = ("unlabelled", "unlabeled", "void", "ignore")
"""A class of such a name is none: its pixels are not learnt from."""


@dataclass(frozen=True)
class Classes:
    """The names of classes, and for each number in the files the index of its class or `UNLABELLED`."""

    names: tuple[str, ...]
    index_of: Mapping[int, int]

    def coding(self) -> SemanticMaps:
        """What reads the files."""
        return SemanticMaps(self.index_of)


def numbered(names: Mapping[int, str], unlabelled: Iterable[int] = ()) -> Classes:
    """Classes by their numbers in the files: indices count in the order of the numbers, those without a label left out.

    Raises:
        InputError: there are more than `MOST_CLASSES`, or two classes of one name.
    """
    ignored = {number for number, name in names.items() if name.lower() in UNLABELLED_NAMES} | set(unlabelled)
    kept = [number for number in sorted(names) if number not in ignored]
    if len(kept) > MOST_CLASSES:
        raise InputError(f"There are {len(kept)} classes of pixels, and at most {MOST_CLASSES} can be: join some.")
    called = tuple(names[number] for number in kept)
    twice = next((name for name in called if called.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"Two classes of pixels have the name {twice!r}: give each a name of its own.")
    return Classes(called, {number: index for index, number in enumerate(kept)} | dict.fromkeys(ignored, UNLABELLED))


def find_class_file(root: Path) -> Path | None:
    """The list of classes of a data set, where there is one."""
    return next((root / name for name in CLASS_FILES if (root / name).is_file()), None)


def read_classes(file: Path) -> Classes:
    """The classes that one of `CLASS_FILES` lists.

    - `classes.txt`: a name on each line; the first has the number 0.
    - `classes.json`: a list of names from 0, or `{"7": "road", "8": "pavement"}`; both may also stand as `"classes"`
      beside `"unlabelled": [0]`, the numbers of pixels that have no label.
    - `objectInfo150.txt`, ADE20K's: the classes have the numbers 1 to 150, and 0 is unlabelled.

    Raises:
        InputError: it is nothing of that.
    """
    if file.suffix == ".json":
        return _from_json(file)
    lines = [line.strip() for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    if file.name == "objectInfo150.txt":
        rows = [line.split("\t") for line in lines]
        return numbered(_unique({int(row[0]): row[-1].split(",")[0] for row in rows if row[0].isdigit()}), [0])
    return numbered(dict(enumerate(lines)))


def _unique(names: Mapping[int, str]) -> dict[int, str]:
    """Names that several classes share, with the number behind: ADE20K has some."""
    called = list(names.values())
    return {number: name if called.count(name) == 1 else f"{name} ({number})" for number, name in names.items()}


def _from_json(file: Path) -> Classes:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file} is no JSON ({error}): mend it.") from error
    unlabelled: Any = []
    if isinstance(content, dict) and "classes" in content:
        content, unlabelled = content["classes"], content.get("unlabelled", [])
    if isinstance(content, list):
        content = {str(number): name for number, name in enumerate(content)}
    usable = isinstance(content, dict) and all(
        key.isdecimal() and int(key) < 2**16 and isinstance(name, str) for key, name in content.items()
    )
    if not usable or not isinstance(unlabelled, list) or not all(_is_number(number) for number in unlabelled):
        raise InputError(
            f'{file} lists no classes: write ["background", "cat"], or '
            '{"classes": {"7": "road"}, "unlabelled": [0]}.'
        )
    return numbered({int(key): name for key, name in content.items()}, unlabelled)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**16


def found_classes(maps: Sequence[str], *, zero_is_unlabelled: bool) -> Classes:
    """Classes called by their numbers, up to the highest in any of the maps, all of which are read; 255 is none.

    Maps that cannot be read do not count: whoever reads them later will tell.

    Raises:
        InputError: the highest number is above what classes can have.
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
    if highest >= MOST_CLASSES:
        raise InputError(
            f"The label map {where} has the number {highest}, and classes have 0 to {MOST_CLASSES - 1}: list the "
            "numbers and the names of the classes in classes.json."
        )
    first = int(zero_is_unlabelled)
    return numbered({number: str(number) for number in range(first, highest + 1)}, [0] if zero_is_unlabelled else [])
