"""`res2net models`: the table of all models."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from res2net.commands.parser import parse
from res2net.console import Console
from res2net.errors import InputError


@dataclass(frozen=True)
class Arguments:
    """Options of `res2net models`."""

    pattern: tyro.conf.Positional[str] = "*"
    """Shell-style pattern of names, such as "res2net50*"."""


def run(arguments: Sequence[str]) -> None:
    """Print the models that match a pattern, with parameters and published weights."""
    pattern = parse(Arguments, "models", arguments, "List the models.").pattern

    from res2net.backbones.registry import similar_model, variant
    from res2net.report import Column, Table
    from res2net.weights import records
    from res2net.weights.load import why_unusable
    from res2net.zoo import list_models

    names = list_models(pattern)
    if not names:
        hint = similar_model(pattern.strip("*")) or "see `res2net models`."
        raise InputError(f"No model matches {pattern!r}: {hint}")
    console = Console()
    columns = (Column("model"), Column("parameters"), Column("weights"))
    for about, group in itertools.groupby(names, lambda name: variant(name).about):
        rows = [
            (name, _parameters(name), ", ".join(one.tag for one in records(name) if not why_unusable(one)))
            for name in group
        ]
        console.print(Table(about, columns, rows).to_rich())


def _parameters(name: str) -> str:
    import torch

    from res2net.backbones.registry import variant
    from res2net.measure import format_count
    from res2net.zoo import create_model

    declared = variant(name).parameters
    if declared is not None:
        return format_count(declared)
    with torch.device("meta"):
        model = create_model(name)
    return format_count(sum(parameter.numel() for parameter in model.parameters()))
