"""Libraries that may be missing: what to install, and silence for those that talk about their own insides."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from res2net.errors import InputError


class MissingLibraryError(InputError, ImportError):
    """An optional library is not installed."""


@contextmanager
def needs(what: str, *libraries: str, extra: str = "", install: str = "") -> Iterator[None]:
    """Turn a failed import in this block into a `MissingLibraryError` that says what to install.

    The message begins with `what`, and names the `extra` of this package, or the command `install`. Only imports of the
    given libraries count, if any are given: others fail because a library is broken.
    """
    try:
        yield
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if libraries and not (isinstance(error, ModuleNotFoundError) and missing in libraries):
            raise
        command = install or f"pip install 'res2net[{extra}]'"
        raise MissingLibraryError(
            f"{what} needs the package {missing}, which is not installed: run {command}."
        ) from error


@contextmanager
def muted(logger: str, below: int = logging.CRITICAL + 1) -> Iterator[None]:
    """Suppress what a library's logger says below a level; by default all of it."""
    library = logging.getLogger(logger)
    before = library.level
    library.setLevel(below)
    try:
        yield
    finally:
        library.setLevel(before)


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings, and log messages up to their level."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
