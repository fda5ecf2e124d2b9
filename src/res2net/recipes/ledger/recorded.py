"""Results of small runs that were recorded: scores of every seed, with date, commit and command.

`res2net reproduce ROW --scale small` leaves `record.json`, which becomes `recorded/ROW.json`. Where a study of more
seeds and longer training has the networks of a row, its scores stand instead.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from res2net.options import from_dict
from res2net.recipes.ledger.experiment import small_of

FOLDER = Path(__file__).with_name("recorded")
"""The records of rows."""
STUDIES = Path(__file__).parents[1] / "recorded"
"""The studies of `res2net.recipes.study.recorded`, which needs torch."""


@dataclass(frozen=True)
class Recorded:
    """What the small runs of an experiment gave."""

    commands: tuple[str, ...]
    """The commands that printed it."""
    date: str
    commit: str
    """Commit of this repository, or the version where it was no checkout."""
    machine: str
    """Date, commit and machine are empty where they are not known."""
    seeds: tuple[int, ...]
    epoch: str
    """Which epoch was scored: "last", or the "best" by the same samples."""
    scores: dict[str, dict[str, list[float]]]
    """Metrics of every seed, by network."""

    def values(self, metric: str) -> dict[str, list[float]]:
        """A metric of every seed, by network."""
        return {model: scores[metric] for model, scores in self.scores.items() if metric in scores}

    def summary(self, metric: str) -> str:
        """The means of the networks, with the standard deviation over the seeds if there are several.

        Of a pair the names are left out: the first is a ResNet, the second a Res2Net.
        """
        found = self.values(metric)
        parts = []
        for model, values in found.items():
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            named = "" if len(found) == 2 else f"{model} "
            parts.append(f"{named}{statistics.fmean(values):.1f}{spread}")
        seeds = f"seed {self.seeds[0]}" if len(self.seeds) == 1 else f"{len(self.seeds)} seeds"
        return f"{metric}: {', '.join(parts)} ({seeds})"


@cache
def recorded(name: str) -> Recorded | None:
    """The recorded small runs of an experiment, or of the one whose small runs are its own; None if not yet run."""
    owner, small = small_of(name)
    if small is not None and small.study and (study := STUDIES / f"{small.study}.json").is_file():
        return from_study(study, small.models)
    path = FOLDER / f"{owner}.json"
    return read(path) if path.is_file() else None


def read(path: Path) -> Recorded:
    """Read a record."""
    found: Recorded = from_dict(Recorded, json.loads(path.read_text(encoding="utf-8")), f"The record {path}")
    return found


def record(scores: Mapping[str, Mapping[str, Sequence[float]]], seeds: Sequence[int], command: str) -> Recorded:
    """Describe runs that have just been finished, whose last epoch was scored."""
    from res2net.recipes.study.result import provenance

    return Recorded(
        commands=(command,),
        **provenance(),
        seeds=tuple(seeds),
        epoch="last",
        scores={model: {name: list(values) for name, values in metrics.items()} for model, metrics in scores.items()},
    )


def from_study(path: Path, models: Sequence[str]) -> Recorded:
    """The record of a study that was written by `res2net sweep`, for those of these networks that it has."""
    study = json.loads(path.read_text(encoding="utf-8"))
    return Recorded(
        commands=(study["command"],),
        date=study.get("date", ""),
        commit=study.get("commit", ""),
        machine=study.get("machine", ""),
        seeds=tuple(study["seeds"]),
        epoch=study["epoch"],
        scores={name: {study["metric"]: study["arms"][name]["scores"]} for name in models if name in study["arms"]},
    )


def write(path: Path, one: Recorded) -> None:
    """Write a record as JSON."""
    from res2net.weights.files import atomic_write

    atomic_write(path, (json.dumps(asdict(one), indent=1) + "\n").encode())
