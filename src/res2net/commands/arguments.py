"""From what stands behind a verb to a typed value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import tyro

from res2net.tasks.base import task_names

__all__ = ["parse", "split_task"]

T = TypeVar("T")


def split_task(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The task, `classify` unless the first word names one, and the other words."""
    words = list(arguments)
    if words and words[0] in task_names():
        return words[0], words[1:]
    return "classify", words


def parse(kind: type[T], verb: str, arguments: Sequence[str], about: str, default: T | None = None) -> T:
    """Parse into a dataclass, groups of options without their names; ends the program with a message if it cannot."""
    return tyro.cli(
        kind,
        prog=f"res2net {verb}",
        description=about,
        args=list(arguments),
        default=default if default is not None else tyro.MISSING_NONPROP,
        config=(tyro.conf.OmitArgPrefixes,),
    )
