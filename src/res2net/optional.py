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

    Args:
        what: what needs the import, and begins the sentence, such as "ONNX".
        libraries: names of the packages that may be missing; by default any. Other import errors are raised as they
            are, since they mean that a library is broken.
        extra: the extra of this package that installs the library.
        install: the command that installs it, where no extra does.
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
