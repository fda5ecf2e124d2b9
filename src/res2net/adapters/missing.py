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
def needs(library: str, command: str = EXTRA, what: str = "This adapter") -> Iterator[None]:
    """Imports in this block need `library`: without it they raise `MissingLibraryError` with the `command` to get it.

    `what` needs it, as the message begins.

    Other modules that are missing raise as ever: then it is the library that is broken.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != library:
            raise
        raise MissingLibraryError(f"{what} needs {library}, which is not installed: run {command}.") from error
