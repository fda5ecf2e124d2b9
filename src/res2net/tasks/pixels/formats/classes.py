"""The numbers, colours and names of the classes of label maps, from a file of the data set or from the maps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from res2net.errors import InputError
from res2net.images.decode import BadImage
from res2net.images.faults import AnnotationReport
from res2net.images.samples import UNLABELLED, evenly_spaced
from res2net.images.text import read_csv, read_json, read_lines
from res2net.tasks.pixels.formats.codings import MAX_CLASSES, UNLABELLED_DEEP, SemanticMaps
from res2net.tasks.pixels.formats.images import Pair, PixelFiles
from res2net.tasks.pixels.formats.rasters import distinct, is_smoothed, numbers_of, packed, read_numbers, read_raster

COLOUR_FILES = ("labelmap.txt", "class_dict.csv", "label_colors.txt")
"""Files that list the colours of the classes: those of CVAT, of CamVid as Kaggle has it, and of CamVid."""

CLASS_FILES = ("classes.json", "classes.txt", "class_names.txt", "labels.txt", "objectInfo150.txt", *COLOUR_FILES)
"""Files that list the classes, in the root of a data set; `class_names.txt` and `labels.txt` are those of LabelMe,
`objectInfo150.txt` that of ADE20K."""

UNLABELLED_NAMES = ("unlabelled", "unlabeled", "void", "ignore", "__ignore__")
"""Names that mark a class as unlabelled: its pixels are ignored in training and evaluation."""

FIRST_READ = 20
"""Number of maps that are read to see whether their values are those of a list of classes."""

MAX_COLOURS = 64
"""The largest number of colours that are taken for classes without a list of them."""


@dataclass(frozen=True)
class Classes:
    """The names of the classes, and the index of the class, or `UNLABELLED`, of each value and colour in the files."""

    names: tuple[str, ...]
    index_of: Mapping[int, int]
    index_of_colour: Mapping[int, int] = field(default_factory=dict)
    note: str = ""
    """What was assumed, a sentence."""

    def files(self, name: str, pairs: Sequence[Pair], report: AnnotationReport) -> PixelFiles:
        """A split of images with maps of these classes."""
        report.remark(self.note)
        coding = SemanticMaps(self.index_of, self.index_of_colour)
        return PixelFiles(name, "semantic", self.names, pairs, coding, report)


def numbered(
    names: Mapping[int, str], unlabelled: Iterable[int] = (), colours: Mapping[int, int] | None = None, note: str = ""
) -> Classes:
    """Assign indices to classes in the order of their numbers in the files, leaving out unlabelled ones.

    Of several classes of one name, each gets its number behind it.

    Args:
        names: the name of each number.
        unlabelled: the numbers of unlabelled pixels.
        colours: the number of each colour 0xRRGGBB.
        note: what was assumed, a sentence.
    """
    ignored = {number for number, name in names.items() if name.lower() in UNLABELLED_NAMES} | set(unlabelled)
    kept = [number for number in sorted(names) if number not in ignored]
    if len(kept) > MAX_CLASSES:
        raise InputError(f"There are {len(kept)} classes of pixels, and at most {MAX_CLASSES} can be: join some.")
    count = Counter(names[number] for number in kept)
    index_of = {number: index for index, number in enumerate(kept)} | dict.fromkeys(ignored, UNLABELLED)
    return Classes(
        tuple(names[number] if count[names[number]] == 1 else f"{names[number]} ({number})" for number in kept),
        index_of,
        {colour: index_of[number] for colour, number in (colours or {}).items()},
        note,
    )


def find_class_file(root: Path) -> Path | None:
    """The file that lists the classes of a data set; None if there is none."""
    return next((root / name for name in CLASS_FILES if (root / name).is_file()), None)


def read_classes(file: Path) -> Classes:
    """Read one of `CLASS_FILES`.

    - `classes.txt` and the like: one name per line; the first has the number 0, or -1 if it is LabelMe's `__ignore__`.
    - `classes.json`: a list of names, numbered from 0, or a mapping `{"7": "road", "8": "pavement"}`; or an object with
      either of them as `"classes"` and the numbers of unlabelled pixels as `"unlabelled": [0]`.
    - `objectInfo150.txt` of ADE20K: the classes have the numbers 1 to 150, and 0 is unlabelled.
    - `labelmap.txt` (`name:R,G,B::`), `class_dict.csv` (`name,r,g,b`) and `label_colors.txt` (`R G B name`): names and
      colours in the order of their numbers from 0.

    Raises:
        InputError: it lists no classes, too many, or one colour twice.
    """
    if file.suffix == ".json":
        return _from_json(file)
    if file.name in COLOUR_FILES:
        return _from_colours(file)
    lines = [line for line in read_lines(file) if line]
    if file.name == "objectInfo150.txt":
        rows = [line.split("\t") for line in lines]
        return numbered({int(row[0]): row[-1].split(",")[0] for row in rows if row[0].isdigit()}, [0])
    if lines[:1] == ["__ignore__"]:  # its number -1 is stored as 255
        return numbered(dict(enumerate(lines[1:])))
    return numbered(dict(enumerate(lines)))


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


def _from_colours(file: Path) -> Classes:
    if file.suffix == ".csv":
        rows = [(row[0], row[1:4]) for row in read_csv(file)]
    else:
        lines = [line for line in read_lines(file) if line and not line.startswith("#")]
        if file.name == "labelmap.txt":
            rows = [
                (name, rest.partition(":")[0].split(",")) for name, _, rest in (line.partition(":") for line in lines)
            ]
        else:
            rows = [(" ".join(words[3:]), words[:3]) for words in (re.split(r"[\s,]+", line) for line in lines)]
    if rows and not any(value.strip().isdecimal() for value in rows[0][1]):
        rows = rows[1:]  # the names of columns
    names: dict[int, str] = {}
    colours: dict[int, int] = {}
    for number, (name, values) in enumerate(rows):
        usable = len(values) == 3 and all(value.strip().isdecimal() and int(value) < 256 for value in values)
        if not name or not usable:
            raise InputError(f"{file} has no colour of three numbers up to 255 for {name!r}: write it as 128,0,0.")
        red, green, blue = map(int, values)
        colour = red * 256**2 + green * 256 + blue
        if colour in colours:
            raise InputError(f"{file} gives {names[colours[colour]]!r} and {name!r} the same colour: change one.")
        names[number], colours[colour] = name, number
    return numbered(names, colours=colours)


def found_classes(maps: Iterable[str], *, zero_is_unlabelled: bool) -> Classes:
    """The classes of maps without a list, which are all read, named by their values or colours.

    - Numbers up to the highest one are classes, and 255 is unlabelled (in 16 bits also 65535), if half of the numbers
      occur.
    - Of other values, such as greys 0, 128 and 255, each is a class. 255 is one of them if it continues even steps.
    - In maps with colours, each colour is a class. So it is in maps whose palettes differ.

    Raises:
        InputError: the values are no classes, as in smoothed maps, or have two meanings.
    """
    numbers: set[int] = set()
    colours: set[int] = set()
    palette: dict[int, int] = {}
    by_colour = False
    root = ""
    for path in maps:
        try:
            raster = read_raster(path)
            coloured = raster.numbers is None and raster.alpha is None
            values = [] if coloured else distinct(numbers_of(raster, path))
        except BadImage:  # reported when the data set is checked
            continue
        root = root or str(Path(path).parent)
        numbers |= set(values)
        by_colour |= coloured
        if raster.palette is not None:
            used = packed(raster.palette[np.clip(values, 0, len(raster.palette) - 1)]).tolist()
            colours |= set(used)
            by_colour |= any(
                palette.setdefault(index, colour) != colour for index, colour in zip(values, used, strict=True)
            )
        elif raster.colours is not None and len(colours) <= MAX_COLOURS:
            colours |= set(distinct(raster.colours))
        if is_smoothed(raster):
            raise InputError(
                f"The label map {path} has values that change gradually from region to region: save "
                "label maps without smoothing and without loss, and resize them to the nearest pixel."
            )
    if by_colour:
        return _of_colours(root, colours)
    return _of_numbers(root, numbers, zero_is_unlabelled=zero_is_unlabelled)


def with_greys(classes: Classes, maps: Sequence[str]) -> Classes:
    """The same classes for maps whose values are as many greys, such as 0, 128 and 255 for three names.

    255 is unlabelled if there is one value too many otherwise. If the first maps have listed values alone, the others
    are not read.
    """
    allowed = {*classes.index_of, UNLABELLED, UNLABELLED_DEEP}
    if classes.index_of_colour or sorted(classes.index_of) != list(range(len(classes.index_of))):
        return classes
    first = (maps[index] for index in evenly_spaced(len(maps), FIRST_READ))
    if all(values <= allowed for values in map(_numbers, first)):
        return classes
    numbers = set().union(*map(_numbers, maps))
    for values in (sorted(numbers), sorted(numbers - {UNLABELLED, UNLABELLED_DEEP})):
        # Values that are nearly those of the list are more likely a mistake.
        if len(values) == len(classes.index_of) and max(values, default=0) >= 4 * len(values):
            table = ", ".join(f"{value} is {index}" for index, value in enumerate(values))
            note = f"The label maps have as many values as there are classes, which are taken in their order ({table})."
            return replace(
                classes, index_of={value: classes.index_of[index] for index, value in enumerate(values)}, note=note
            )
    return classes


def _numbers(path: str) -> set[int]:
    """The numbers that occur in a map; none if it cannot be read."""
    try:
        return set(distinct(read_numbers(path)))
    except BadImage:
        return set()


def _of_colours(root: str, colours: set[int]) -> Classes:
    if len(colours) > MAX_COLOURS:
        raise InputError(
            f"The label maps in {root} have more than {MAX_COLOURS} colours, so that these are no classes: save label "
            "maps without smoothing and without loss, and list their colours in labelmap.txt."
        )
    ordered = sorted(colours)
    names = [f"#{colour:06x}" for colour in ordered]
    note = (
        f"The label maps in {root} have colours and no list of them: each of the {len(names)} is a class of that name "
        f"({', '.join(names)}); labelmap.txt or class_dict.csv can give them names."
    )
    found = numbered(dict(enumerate(names)), colours={colour: index for index, colour in enumerate(ordered)}, note=note)
    return replace(found, index_of={})


def _of_numbers(root: str, numbers: set[int], *, zero_is_unlabelled: bool) -> Classes:
    inside = sorted(numbers - {UNLABELLED, UNLABELLED_DEEP})
    first, highest = int(zero_is_unlabelled), inside[-1] if inside else 0
    whole = range(first, highest + 1)
    if highest < MAX_CLASSES and (not inside or zero_is_unlabelled or 2 * len(inside) >= len(whole)):
        return numbered({number: str(number) for number in whole}, range(first))
    white = numbers & {max(numbers), UNLABELLED} & {UNLABELLED, UNLABELLED_DEEP}
    values = sorted(numbers)
    steps = np.diff(values)
    listed = ", ".join(map(str, values[:20])) + (" ..." if len(values) > 20 else "")
    advice = 'list them in classes.json, such as {"classes": {"0": "background", "128": "road"}, "unlabelled": [255]}'
    if len(values) > MAX_COLOURS:
        raise InputError(f"The label maps in {root} have {len(values)} values ({listed}), too many to guess: {advice}.")
    if white and np.ptp(steps) > 1:
        raise InputError(
            f"The label maps in {root} have the values {listed}, of which {max(white)} can be a class or unlabelled: "
            f"{advice}."
        )
    table = ", ".join(f"{value} is {index}" for index, value in enumerate(values))
    note = (
        f"The label maps in {root} have the values {listed} and no list of classes: each value is a class of that name "
        f"({table}); classes.json can give them names."
    )
    return numbered({number: str(number) for number in values}, note=note)
