"""Find the files that the files of a data set name, as programs of every system write their paths."""

from __future__ import annotations

import contextlib
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from res2net.errors import InputError, listed

NAMED = 3
"""Folders that a message names at most."""

_Listing = dict[str, list[os.DirEntry[str]]]


class MissingFile(InputError):  # noqa: N818 - as `BadImage`
    """A file that is named in a data set and not found; its message is the end of a sentence, for reports of faults."""


class PathFinder:
    """Finds files by the paths that annotations, lists and descriptions of a data set contain.

    Paths are relative to one of some folders, or absolute. They may have backslashes and drive letters, `./` and `../`,
    another case or Unicode form than the file, and may be URLs. Of an absolute path outside of the data set, and of a
    relative one that leads out of it to nothing, the longest end that exists in one of the folders is taken. Nothing
    outside of the data set is ever found, except through symbolic links in it.

    Args:
        root: the folder of the data set.
        folders: folders within it that paths may be relative to, the most likely first; by default the root.
    """

    def __init__(self, root: str | Path, folders: Sequence[str | Path] = ()) -> None:
        self.root = Path(root)
        # A path with `..` can start from the name of the root or from what it is a symbolic link to.
        self._roots = list(dict.fromkeys([_normal(self.root), self.root.resolve()]))
        inside = [self._inside(_normal(Path(folder))) for folder in folders or [root]]
        self._folders = list(dict.fromkeys(parts for parts in inside if parts is not None))
        self._listings: dict[str, _Listing] = {}
        self._directories: dict[tuple[bool, tuple[str, ...]], tuple[list[str], list[Path]]] = {}
        self._shortened: dict[str, str] = {}
        self._ambiguous: dict[str, str] = {}

    def find(self, written: str, endings: Sequence[str] = ()) -> str:
        """The path of the file that a path in the data set stands for.

        Args:
            written: the path as it is written.
            endings: endings in lower case, such as ".jpg", one of which the path may lack.

        Raises:
            MissingFile: there is no such file in the data set, or the name fits several in one folder.
        """
        return self._find(written, endings, folder=False)

    def find_folder(self, written: str) -> str:
        """The path of the folder that a path in the data set stands for, with the errors of `find`."""
        return self._find(written, (), folder=True)

    def notes(self) -> list[str]:
        """What was assumed in finding the files so far, a sentence a kind."""
        found = []
        for paths, what in (
            (self._shortened, "of which only the end exists in the data set"),
            (self._ambiguous, "that fit files in several folders, of which the first is taken"),
        ):
            if paths:
                written, file = next(iter(paths.items()))
                found.append(f"{len(paths)} {'path' if len(paths) == 1 else 'paths'} {what}: {written!r} is {file}")
        return found

    def _find(self, written: str, endings: Sequence[str], *, folder: bool) -> str:
        forms = [_parts(form) for form in _forms(written)]
        outside: list[Path] = []
        meant = False
        for absolute, parts in forms:
            found, left = self._candidates(absolute, parts, endings, folder=folder)
            if found:
                return self._first(written, found)
            outside += left
            meant |= not absolute and any(_exists(one if folder else one / parts[-1]) for one in left)
        for absolute, parts in forms:
            tail = tuple(part for part in parts if part != "..")
            for start in range(len(tail) if (absolute or outside) and not meant else 0):
                found, _ = self._candidates(False, tail[start:], endings, folder=folder)
                if found:
                    self._shortened[written] = found[0]
                    return self._first(written, found)
        if outside:
            raise MissingFile(f"{written!r} is outside of the data folder {self.root}")
        folders = [str(self.root.joinpath(*one)) for one in self._folders]
        more = f" and {len(folders) - NAMED} more folders" if len(folders) > NAMED else ""
        raise MissingFile(f"{written!r} is not in {', '.join(folders[:NAMED])}{more}")

    def _candidates(
        self, absolute: bool, parts: tuple[str, ...], endings: Sequence[str], *, folder: bool
    ) -> tuple[list[str], list[Path]]:
        """The files of a path, at most one for each folder that it can be relative to, and folders outside of the root.

        Results for folders are kept, so that each further file in them only takes a look into their listings.
        """
        head = parts if folder else parts[:-1]
        if (absolute, head) not in self._directories:
            self._directories[absolute, head] = self._existing(absolute, head)
        directories, outside = self._directories[absolute, head]
        if folder or not parts:
            return directories if folder else [], outside
        for some in ("",), endings:
            entries = [self._choose(directory, parts[-1], some) for directory in directories]
            if files := [str(Path(entry.path)) for entry in entries if entry is not None and entry.is_file()]:
                return files, outside
        return [], outside

    def _existing(self, absolute: bool, parts: tuple[str, ...]) -> tuple[list[str], list[Path]]:
        """The folders a path leads to: in the root at most one for each that it is relative to, and outside of it."""
        found: dict[str, None] = {}
        outside: list[Path] = []
        for root in self._roots:
            for folder in [()] if absolute else self._folders:
                start = Path("/") if absolute else root.joinpath(*folder)
                full = _normal(start.joinpath(*parts))
                inside = self._inside(full)
                if inside is None:
                    outside.append(full)
                    continue
                directory: str | None = str(self.root)
                for part in inside:
                    entry = self._choose(directory, part) if directory is not None else None
                    directory = entry.path if entry is not None and entry.is_dir() else None
                if directory is not None:
                    found[directory] = None
        return list(found), outside

    def _inside(self, full: Path) -> tuple[str, ...] | None:
        """The parts of a normal absolute path below the root; None if it is outside."""
        return next((full.relative_to(root).parts for root in self._roots if full.is_relative_to(root)), None)

    def _choose(self, folder: str, name: str, endings: Sequence[str] = ("",)) -> os.DirEntry[str] | None:
        """The entry of a folder with exactly that name, or else with one in another case or Unicode form."""
        listing = self._listing(folder)
        for ending in endings:
            entries = listing.get(_key(name + ending), [])
            exact = [entry for entry in entries if entry.name == name + ending]
            if len(exact or entries) > 1:
                raise MissingFile(f"{name!r} can be any of {listed([entry.name for entry in entries])} in {folder}")
            if entries:
                return (exact or entries)[0]
        return None

    def _listing(self, folder: str) -> _Listing:
        """The entries of a folder by `_key`, listed at once, since checking each file is slow on a network drive."""
        if folder not in self._listings:
            listing: _Listing = {}
            if Path(folder).is_dir():
                with os.scandir(folder) as entries:
                    for entry in sorted(entries, key=lambda entry: entry.name):
                        listing.setdefault(_key(entry.name), []).append(entry)
            self._listings[folder] = listing
        return self._listings[folder]

    def _first(self, written: str, found: Sequence[str]) -> str:
        if any(not Path(file).samefile(found[0]) for file in found[1:]):
            self._ambiguous[written] = found[0]
        return found[0]


def _exists(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):  # too long a name, or one with a null character
        return path.exists()
    return False


def _normal(path: Path) -> Path:
    """The absolute path without `..`, which leads back from the name of a symbolic link, not from its end."""
    return Path(os.path.normpath(path.absolute()))


def _key(name: str) -> str:
    """The name in one case and one Unicode form."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _forms(written: str) -> Iterator[str]:
    """The ways to read a path: as it is, with backslashes between folders, and as a URL."""
    if not re.search(r"[\\%:?]|^\s|\s$", written):
        yield written
        return
    plain = written.strip()
    slashes = plain.replace("\\", "/")
    forms = [written, plain, slashes]
    # Label Studio writes /data/local-files/?d=PATH for files of a local storage.
    if query := re.search(r"[?&]d=([^&]+)", slashes):
        forms.append(f"/{query[1]}")
    elif url := re.match(r"[A-Za-z][A-Za-z0-9+.-]+://[^/]*(/[^?#]*)", slashes):
        forms.append(url[1])
    yield from dict.fromkeys([*forms, unquote(forms[-1])])


def _parts(form: str) -> tuple[bool, tuple[str, ...]]:
    """Whether a path is absolute, and its parts."""
    local = re.sub(r"^/?[A-Za-z]:(?=/)", "", form)
    return local.startswith("/"), tuple(part for part in local.split("/") if part not in ("", "."))
