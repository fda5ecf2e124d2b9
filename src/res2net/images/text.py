"""Text files of data sets, read as their author sees them, whatever program wrote them."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from res2net import files
from res2net.errors import InputError


class BadText(InputError):  # noqa: N818 - as `BadImage`
    """A text file that cannot be read or parsed; `reason` is the part of its message that does not name the file."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason

    @classmethod
    def at(cls, file: str | Path, reason: str) -> BadText:
        """The exception for a file."""
        return cls(f"Cannot read {file}: {reason}.", reason)


def read_text(file: str | Path) -> str:
    """Read a text file with `decode_text`.

    Raises:
        BadText: the file cannot be read.
    """
    try:
        return files.read_text(file)
    except OSError as error:
        raise BadText.at(file, files.reason_of(error)) from error


def read_lines(file: str | Path) -> list[str]:
    """The lines of a text file without spaces around them, also empty ones; the errors are those of `read_text`."""
    return [line.strip() for line in read_text(file).split("\n")]


def plain_name(text: str) -> str:
    """A name without spaces around it, and with each letter in one way: an accent can be part of its letter, or not."""
    return unicodedata.normalize("NFC", text.strip())


def read_names(file: str | Path) -> list[str]:
    """The names of classes in a text file, one a line; the first has the number 0.

    Raises:
        BadText: the file cannot be read, or a line before the last name is empty, so that the numbers are not certain.
    """
    lines = read_text(file).rstrip().split("\n")
    names = [plain_name(line) for line in lines]
    if not all(names) and len(names) > 1:
        raise BadText.at(file, f"line {names.index('') + 1} is empty, and each is the name of a class: remove it")
    return [name for name in names if name]


def read_json(file: str | Path) -> Any:
    """The content of a JSON file.

    Raises:
        BadText: the file cannot be read, or is not valid JSON.
    """
    try:
        return files.read_json(file, files.LARGEST)
    except OSError as error:
        raise BadText.at(file, files.reason_of(error)) from error
    except ValueError as error:
        raise BadText.at(file, f"it is not valid JSON ({error})") from error


def read_yaml(file: str | Path) -> Any:
    """The content of a YAML file, in which every value and key is text as it is written, so that `no` stays "no".

    Raises:
        BadText: the file cannot be read, is not valid YAML, or has a key twice.
    """
    try:
        return files.read_yaml(file, _TextLoader)
    except OSError as error:
        raise BadText.at(file, files.reason_of(error)) from error
    except ValueError as error:
        raise BadText.at(file, f"it is not valid YAML ({' '.join(str(error).split())})") from error


class _TextLoader(yaml.BaseLoader):
    """YAML's loader that keeps scalars as text and constructs no objects."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        if len(found) < len(node.value):
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice!r} stands twice", node.start_mark)
        return found


def read_csv(file: str | Path) -> list[list[str]]:
    """The rows of a CSV file as texts without spaces around them, without empty rows.

    Fields are separated by commas, semicolons (as spreadsheets write them in many countries) or tabs, whichever the
    first row has most of.

    Raises:
        BadText: the file cannot be read, or is not valid CSV.
    """
    lines = read_text(file).split("\n")
    first = re.sub(r'"[^"]*"', "", next((line for line in lines if line.strip()), ""))
    try:
        rows = list(csv.reader((f"{line}\n" for line in lines), delimiter=max(",;\t", key=first.count)))
    except csv.Error as error:
        raise BadText.at(file, f"it is not valid CSV ({error})") from error
    stripped = [[field.strip() for field in row] for row in rows]
    return [row for row in stripped if any(row)]


def distinct_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names as keys of a table: names that several classes share are followed by the index of the class."""
    found = tuple(names)
    while len(set(found)) < len(found):
        uses = Counter(found)
        found = tuple(f"{name} ({index})" if uses[name] > 1 else name for index, name in enumerate(found))
    return found
