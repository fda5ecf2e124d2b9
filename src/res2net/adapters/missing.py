"""What an adapter says when its library is not installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from res2net.errors import InputError

__all__ = ["MissingLibraryError", "needs"]

EXTRA = "pip install 'res2net[adapters]'"


class MissingLibraryError(InputError, ImportError):
    """An adapter was imported without its library."""


@contextlib.contextmanager
def needs(library: str, command: str = EXTRA) -> Iterator[None]:
    """Imports in this block need `library`: without it they raise `MissingLibraryError` with the `command` to get it.

    Other modules that are missing raise as ever: then it is the library that is broken.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != library:
            raise
        raise MissingLibraryError(f"This adapter needs {library}, which is not installed: run {command}.") from error
