"""The optional packages that volumes need: nibabel for files, MONAI for windows and scores."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from res2net.errors import InputError

__all__ = ["needs_volumes", "quiet_monai"]

INSTALL = "pip install 'res2net[volumes]'"
PACKAGES = ("monai", "nibabel", "scipy")


@contextmanager
def needs_volumes() -> Iterator[None]:
    """Imports in this block need `PACKAGES`: where one is not installed, `InputError` states how to get it.

    MONAI imports much that it does not need here, and what that logs and warns of is left out.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in PACKAGES:
            raise
        raise InputError(f"Volumes need the package {error.name}, which is not installed: run {INSTALL}.") from error
    finally:
        logging.disable(before)


@contextmanager
def quiet_nibabel() -> Iterator[None]:
    """Leaves out what nibabel logs of odd headers; what matters it raises."""
    logger = logging.getLogger("nibabel.global")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


@contextmanager
def quiet_monai() -> Iterator[None]:
    """Leaves out the warnings of MONAI about its own use of its own functions."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module="monai")
        yield
