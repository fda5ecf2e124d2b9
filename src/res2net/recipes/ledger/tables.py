"""Tables of the ledger: all rows, and one row with its networks, commands and recorded runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from res2net.recipes.ledger.cost import epochs_of, hours
from res2net.recipes.ledger.experiment import (
    LEDGER,
    RATE,
    SEEDS,
    UPDATES,
    Entry,
    Experiment,
    Small,
    small_command,
    small_of,
)
from res2net.recipes.ledger.recorded import Recorded, recorded
from res2net.report import Column, Table

NOT_RUN = "not run"
NOT_YET = "not yet run"
WIDE = 4
"""Metrics up to which networks are rows; with more, metrics are."""


def ledger_table() -> Table:
    """All rows: what is published, what small runs gave, and what the full ones would cost."""
    rows = [
        (name, published(one), small_result(name), full_status(one), weights_to_check(one), total_hours(name))
        for name, one in LEDGER.items()
    ]
    columns = (
        Column("row"),
        Column("published"),
        Column("small runs: ResNet, Res2Net"),
        Column("full runs"),
        Column("weights to check"),
        Column("GPU hours", digits=1),
    )
    return Table("", columns, rows)


def published(experiment: Experiment) -> str:
    """Where a row is from, and the published numbers of two networks that stand for it."""
    origin = f"{experiment.origin.removeprefix('paper, ')}: {experiment.title}"
    entries = [experiment.entries[index] for index in experiment.headline if index < len(experiment.entries)]
    for index, metric in enumerate(experiment.metrics):
        values = [(entry.label, entry.published[index]) for entry in entries]
        if metric.ours and any(value is not None for _, value in values):
            numbers = ", ".join(f"{label} {value:g}" for label, value in values if value is not None)
            return f"{origin}. {metric.heading}: {numbers}"
    return f"{origin}. {experiment.claim}"


def small_result(name: str) -> str:
    """What the recorded small runs gave, or that there are none."""
    owner, small = small_of(name)
    if small is None:
        return "none"
    found = recorded(name)
    text = NOT_YET if found is None else found.summary(small.shown[0])
    return text if owner == name else f"{text}; those of {owner}"


def full_status(experiment: Experiment) -> str:
    """Whether the full-scale runs were made."""
    return "no recipe" if experiment.full is None else NOT_RUN


def weights_to_check(experiment: Experiment) -> int | None:
    """How many networks have published weights that `res2net eval` checks without training."""
    return sum(bool(entry.weights) for entry in experiment.entries) or None


def total_hours(name: str) -> float | None:
    """Estimated GPU hours of all full-scale runs of a row."""
    found = [value for entry in LEDGER[name].networks() if (value := hours(name, entry)) is not None]
    return sum(found) if found else None


def published_table(name: str) -> Table:
    """The published numbers of every network of a row, and what its full-scale run would cost."""
    experiment = LEDGER[name]
    costs = [hours(name, entry) for entry in experiment.entries]
    if len(experiment.metrics) > WIDE:
        columns = [Column("metric"), *(Column(entry.label) for entry in experiment.entries)]
        rows: list[Any] = [
            (metric.heading, *(entry.published[index] for entry in experiment.entries))
            for index, metric in enumerate(experiment.metrics)
        ]
        return Table("", columns, [*rows, ("GPU hours", *costs)])
    columns = [Column("network"), Column("model here")]
    columns += [Column(metric.heading) for metric in experiment.metrics]
    columns += [Column("GPU hours", digits=1), Column("note")]
    rows = [
        (entry.label, entry.model or "none", *entry.published, cost, entry.note)
        for entry, cost in zip(experiment.entries, costs, strict=True)
    ]
    return Table("", columns, rows)


def commands(experiment: Experiment) -> Iterator[tuple[str, list[str]]]:
    """The commands of a row by what they do, without those that it has none of."""
    networks = experiment.networks()
    for what, words in (
        ("Published weights, evaluated", [experiment.check(entry) for entry in networks]),
        ("Full scale", [experiment.command(entry) for entry in networks]),
        ("Then", list(experiment.full.then) if experiment.full else []),
        ("Draw", [experiment.show]),
    ):
        if any(words):
            yield what, list(dict.fromkeys(word for word in words if word))


def recorded_table(name: str) -> Table | None:
    """The scores of the recorded small runs of a row; None if there are none."""
    _, small = small_of(name)
    found = recorded(name)
    return None if small is None or found is None else scores_table(small, found)


def scores_table(small: Small, found: Recorded) -> Table:
    """The means of what small runs recorded."""
    columns = (Column("network"), *(Column(metric, digits=1) for metric in small.shown))
    rows = [(model, *(_mean(scores.get(metric)) for metric in small.shown)) for model, scores in found.scores.items()]
    return Table("", columns, rows)


def recorded_note(name: str) -> str:
    """What the recorded small runs of a row were, or that there are none."""
    found = recorded(name)
    if found is None:
        return f"{NOT_YET[0].upper()}{NOT_YET[1:]}."
    seeds = f"Seed {found.seeds[0]}" if len(found.seeds) == 1 else f"Mean of {len(found.seeds)} seeds"
    printed = " and ".join(f"`{one}`" for one in found.commands)
    facts = (f"{found.epoch} epoch", found.machine, found.date, found.commit and f"commit {found.commit}")
    return ", ".join((seeds, *filter(None, facts), f"printed by {printed}."))


def _mean(values: list[float] | None) -> float | None:
    return sum(values) / len(values) if values else None


def cost_note(name: str) -> str:
    """How the GPU hours of a row are estimated."""
    full = LEDGER[name].full
    epochs = sorted({epochs_of(LEDGER[name], entry) for entry in LEDGER[name].networks()})
    count = f"{full.images:,} samples" if full else ""
    return (
        f"GPU hours: multiply-accumulates of a training sample, counted, x {UPDATES} x {count} x "
        f"{' or '.join(map(str, epochs))} epochs, at {RATE / 1e12:.0f} TFLOP/s."
    )


def to_dict(name: str) -> dict[str, Any]:
    """A row in plain values."""
    experiment = LEDGER[name]
    found = recorded(name)
    return {
        "row": name,
        "origin": experiment.origin,
        "title": experiment.title,
        "claim": experiment.claim,
        "networks": [_entry(name, experiment, entry) for entry in experiment.entries],
        "then": list(experiment.full.then) if experiment.full else [],
        "draw": experiment.show,
        "full": full_status(experiment),
        "gpu_hours": total_hours(name),
        "small": {"command": small_command(name), "seeds": list(SEEDS), "recorded": found and asdict(found)},
        "notes": list(experiment.notes),
        "missing": experiment.missing,
    }


def _entry(name: str, experiment: Experiment, entry: Entry) -> dict[str, Any]:
    return {
        "network": entry.label,
        "model": entry.model,
        "published": {metric.heading: value for metric, value in zip(experiment.metrics, entry.published, strict=True)},
        "command": experiment.command(entry),
        "check": experiment.check(entry),
        "gpu_hours": hours(name, entry),
        "note": entry.note,
    }
