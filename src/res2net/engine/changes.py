"""Differences between configurations, and schedules scaled to another number of epochs. Nothing here needs torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from res2net.engine.config import TrainConfig


def changed_options(before: TrainConfig[Any], after: TrainConfig[Any]) -> dict[str, tuple[Any, Any]]:
    """The options that differ between two configurations of one task, with both values, by their names."""
    values = [dict(_flat(dataclasses.asdict(config))) for config in (before, after)]
    names = dict.fromkeys((*values[0], *values[1]))
    pairs = {name: (values[0].get(name), values[1].get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and name in ("task", "model", "data", "optim"):
            yield from _flat(value)
        else:
            yield name, value


def scaled_to(options: Mapping[str, Any], config: TrainConfig[Any]) -> tuple[TrainConfig[Any], str]:
    """A configuration whose schedule is scaled to the number of epochs among some options, and a line that says so.

    Milestones, the epochs between steps, the warm-up and the time at the full learning rate keep their shares of the
    run, unless they are among the options themselves. The line is empty if none of them changed.
    """
    optim, epochs = config.optim, options.get("epochs")
    try:
        epochs = int(epochs)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # not given, or refused where options are read
        return config, ""
    if epochs == optim.epochs or epochs < 1:
        return config, ""
    share = epochs / optim.epochs
    wanted = (max(1, round(epoch * share)) for epoch in optim.milestones)
    scaled = {
        "milestones": tuple(dict.fromkeys(epoch for epoch in wanted if epoch < epochs)),
        "step_epochs": max(1, round(optim.step_epochs * share)),
        "warmup": round(optim.warmup * share, 3),
        "hold": round(optim.hold * share, 3),
    }
    used = [name for name in ("milestones", "warmup", "hold") if getattr(optim, name)]
    used += ["step_epochs"] if optim.schedule == "step" and not optim.milestones else []
    changes: dict[str, Any] = {name: scaled[name] for name in used if scaled[name] != getattr(optim, name)}
    told = [
        f"{name.replace('_', '-')} {_words(getattr(optim, name))} is now {_words(changes[name])}"
        for name in changes
        if name not in options
    ]
    line = f"The schedule is scaled from {optim.epochs} to {epochs} epochs: {', '.join(told)}." if told else ""
    changed = dataclasses.replace(optim, **changes, epochs=epochs)
    return dataclasses.replace(config, optim=changed), line


def _words(value: Any) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, tuple) else f"{value:g}"
