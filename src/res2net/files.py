"""Files of unknown origin: regular files only, each folder once, text in any encoding, JSON and YAML that end.

Errors are an `OSError` with a reason, as of any file that cannot be read, or a `ValueError` that completes the sentence
"FILE is not valid ...".
"""

from __future__ import annotations

import errno
import fnmatch
import glob
import json
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import yaml

LARGEST = 2**32
"""Bytes of any file that is read whole at most; the annotations of the largest data sets have 2 GB."""
LARGEST_TEXT = 2**28
"""Bytes of a file of text at most."""
LARGEST_YAML = 2**20
"""Bytes of a YAML file at most, which takes seconds to read."""
MOST_NODES = 10**6
"""Values of a YAML file at most, where aliases count as what they repeat."""
LONGEST_NUMBER = 100
"""Characters of a number in YAML at most."""

HIDDEN = ("__macosx", "@eadir", "$recycle.bin", "system volume information", "thumbs.db", "desktop.ini")
"""What systems leave in folders, in lower case, beside names that begin with a dot."""

_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def walk(folder: str | Path, *, special: bool = False) -> Iterator[str]:
    """Yield the path of each regular file at any depth below a folder, without hidden files and folders.

    With `special`, what is neither a regular file nor a folder: pipes, sockets, devices, and links to these or nothing.

    Links are followed, but no folder is visited twice, nor one that contains `folder`: links can form a circle.
    Files are in the order of their names within each folder; folders that are links come last.

    Raises:
        OSError: a folder cannot be read.
    """
    root = os.path.realpath(folder)
    seen: set[str] = set()
    folders: list[str] = [os.fspath(folder)]
    links: list[str] = []
    while folders or links:
        parent = folders.pop() if folders else links.pop()
        real = os.path.realpath(parent)
        if real in seen or (parent != os.fspath(folder) and is_within(root, real)):
            continue
        seen.add(real)
        with os.scandir(parent) as entries:
            shown = sorted((entry for entry in entries if not is_hidden(entry.name)), key=lambda one: one.name)
        below = [entry for entry in shown if _is_folder(entry)]
        folders += [entry.path for entry in reversed(below) if not entry.is_symlink()]
        links[:0] = [entry.path for entry in reversed(below) if entry.is_symlink()]
        files = [entry for entry in shown if not _is_folder(entry)]
        yield from (entry.path for entry in files if _is_file(entry) != special)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder; only links ask the disk, and links to themselves are nothing."""
    return Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()


def _is_file(entry: os.DirEntry[str]) -> bool:
    return Path(entry.path).is_file() if entry.is_symlink() else entry.is_file()


def is_within(path: str | Path, folder: str | Path) -> bool:
    """Whether a path without symbolic links is a folder, or in it."""
    return Path(path).is_relative_to(folder)


def matching(pattern: str) -> list[str]:
    """The paths that fit a pattern such as `images/**/*.jpg`, sorted; those of `**` are files that `walk` finds."""
    parts = Path(pattern).parts
    if "**" not in parts:
        return sorted(glob.glob(pattern))  # noqa: PTH207 - patterns may be absolute
    fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    folder = Path(*parts[:fixed])
    if not folder.is_dir():
        return []
    paths = map(Path, walk(folder))
    return sorted(str(path) for path in paths if _fits(path.relative_to(folder).parts, parts[fixed:]))


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a path fit those of a pattern, in which `**` stands for any number of folders."""
    if not pattern or not parts:
        return not parts and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return _fits(parts, pattern[1:]) or _fits(parts[1:], pattern)
    return fnmatch.fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is none of the user's."""
    return name.startswith(".") or name.lower() in HIDDEN


def files_in(folder: str | Path, endings: str | tuple[str, ...] = "") -> list[Path]:
    """The regular files in a folder, by name, with one of the endings in upper or lower case, without hidden ones."""
    with os.scandir(folder) as entries:
        named = [one for one in entries if one.name.lower().endswith(endings) and not is_hidden(one.name)]
    return sorted(Path(one.path) for one in named if _is_file(one))


def subfolders(folder: str | Path) -> list[Path]:
    """The folders in a folder, by name, without hidden ones and links to what contains them."""
    root = os.path.realpath(folder)
    return sorted(
        entry
        for entry in Path(folder).iterdir()
        if entry.is_dir()
        and not is_hidden(entry.name)
        and not (entry.is_symlink() and is_within(root, os.path.realpath(entry)))
    )


def reason_of(error: OSError) -> str:
    """Why the system could not read a file, as the part of a sentence that follows the file."""
    return (error.strerror or str(error)).lower()


def check_regular(path: str | Path, most: int | None = None) -> int:
    """The size of a regular file in bytes; `OSError` for a pipe, a device, a folder, or a file larger than `most`."""
    found = Path(path).stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))
    if most is not None and found.st_size > most:
        raise OSError(errno.EFBIG, f"it has {found.st_size:,} bytes, more than {most:,}", str(path))
    return found.st_size


def read_bytes(path: str | Path, most: int = LARGEST_TEXT) -> bytes:
    """Read a regular file of at most `most` bytes."""
    check_regular(path, most)
    with Path(path).open("rb") as file:
        return file.read(most)


_assumed: ContextVar[list[str] | None] = ContextVar("assumed", default=None)


@contextmanager
def assumed_encodings() -> Iterator[list[str]]:
    """Collect the paths of text files whose encoding is assumed, since it is none of Unicode."""
    found: list[str] = []
    token = _assumed.set(found)
    try:
        yield found
    finally:
        _assumed.reset(token)


def encodings_note(paths: Sequence[str]) -> list[str]:
    """A sentence on text files whose encoding is assumed; none if there are no such files."""
    if not paths:
        return []
    which = (
        f"The text of {paths[0]} is" if len(set(paths)) == 1 else f"{len(set(paths))} files, such as {paths[0]}, are"
    )
    return [f"{which} not UTF-8, and taken for Windows-1252: save it as UTF-8 if letters are wrong."]


def read_text(path: str | Path, most: int = LARGEST_TEXT) -> str:
    """Read a text file of at most `most` bytes with `decode_text`."""
    return decode_text(read_bytes(path, most), path)


def decode_text(data: bytes, path: str | Path = "") -> str:
    r"""Decode the bytes of a text file; lines end in `\n`, and byte order marks are left out.

    UTF-8, UTF-16 and UTF-32 are recognised, with or without a mark; what is none of them is Windows-1252, of which
    Latin-1 is a part. Then the path of the file, if it is given, is among the `assumed_encodings`.
    """
    encoding: str = json.detect_encoding(data)
    if encoding.startswith("utf-8"):
        encoding = next(one for one in (encoding, "cp1252", "latin-1") if _decodes(data, one))
        if path and not encoding.startswith("utf-8") and (assumed := _assumed.get()) is not None:
            assumed.append(str(path))
    text = data.decode(encoding, errors="replace")
    return text.replace("\ufeff", "").replace("\r\n", "\n").replace("\r", "\n")


def readable_name(name: str) -> str:
    """The name of a file or folder as its author sees it: what is not UTF-8 is Windows-1252."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return decode_text(os.fsencode(name))
    return name


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def read_json(path: str | Path, most: int = LARGEST_TEXT) -> Any:
    """Read a JSON file of any encoding; `ValueError` if it is not valid or nested too deeply."""
    content = read_bytes(path, most)
    try:
        return json.loads(content)
    except UnicodeDecodeError:
        return json.loads(decode_text(content, path))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_yaml(path: str | Path, kind: type[Any] = yaml.SafeLoader) -> Any:
    """Read a YAML file of any encoding with `parse_yaml`."""
    return parse_yaml(read_text(path, LARGEST_YAML), kind)


def parse_yaml(text: str, kind: type[Any] = yaml.SafeLoader) -> Any:
    """Parse YAML safely, with a loader of plain values; aliases cannot make more than `MOST_NODES` of them.

    Raises:
        ValueError: it is not valid, contains itself, or is too large or too deep.
    """
    try:
        loader = kind(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {})
        return loader.construct_document(node)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (LookupError, AttributeError, TypeError, ArithmeticError) as error:  # a tag on a value that it does not fit
        raise ValueError("a value is not of the type that it says") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(f"{place}{getattr(error, 'problem', None) or str(error).splitlines()[0]}") from error


def _count(node: yaml.Node, counts: dict[int, int]) -> int:
    """The number of values of a node, where aliases count as what they repeat; `ValueError` if there are too many."""
    if id(node) in counts:
        if not counts[id(node)]:
            raise ValueError("it contains itself")
        return counts[id(node)]
    counts[id(node)] = 0
    total = 1
    if isinstance(node, yaml.ScalarNode):
        if node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float") and len(node.value) > LONGEST_NUMBER:
            raise ValueError(f"line {node.start_mark.line + 1}: a number has {len(node.value):,} characters")
    else:
        for entry in node.value:
            total += sum(_count(one, counts) for one in (entry if isinstance(entry, tuple) else (entry,)))
            if total > MOST_NODES:
                raise ValueError(f"its aliases make more than {MOST_NODES:,} values")
    counts[id(node)] = total
    return total
