"""What exporting says when a package is not installed, and what it leaves unsaid."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from res2net.errors import InputError

__all__ = ["needs_export", "quiet"]

INSTALL = "pip install 'res2net[export]'"


@contextmanager
def needs_export(what: str) -> Iterator[None]:
    """Says how to install what a format needs, where it is not there."""
    try:
        yield
    except ImportError as error:
        raise InputError(f"{what} needs the package {error.name}, which is not installed: run {INSTALL}.") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Leaves out what exporters tell about their own insides."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
