"""The outcome of a study: scores of every seed, costs, and what the seeds allow to be said."""

from __future__ import annotations

import json
import math
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from res2net._version import __version__
from res2net.engine.config import TrainConfig
from res2net.engine.folder import RunFolder
from res2net.engine.restore import restore_task
from res2net.errors import InputError, check_choice
from res2net.measure import count
from res2net.recipes.study.paired import LEVEL, Paired, holm, mean_interval, paired_difference
from res2net.report import Column, Table
from res2net.task.base import TASKS, Scoring, backbone_of
from res2net.weights.files import atomic_write

FEWEST = 3
"""Fewest seeds by which models are called different."""
EPOCHS = ("last", "best")
"""Which epoch of a run is scored."""


@dataclass(frozen=True)
class FinishedRun:
    """A finished run of a study."""

    seed: int
    folder: RunFolder
    rows: Sequence[Mapping[str, float]]
    """The metrics of each epoch, as in `metrics.csv`."""


@dataclass(frozen=True)
class Cost:
    """What a network costs for one input."""

    parameters: int
    """Of the whole network of the task."""
    macs: int
    """Of the backbone with its classifier, at the size it was trained with."""
    milliseconds: float | None = None
    """Measured time per input; None if it was not measured."""


class Result:
    """The scores and costs of several models that were trained with the same seeds, and what they allow to be said.

    Scores are those of the last epoch, since the best epoch by the same samples favours whichever scores vary more;
    `epoch="best"` takes it nevertheless.
    """

    arms: Mapping[str, TrainConfig[Any]]
    seeds: Sequence[int]
    epoch: str

    @property
    def baseline(self) -> str:
        """The arm that the others are compared with: the first."""
        return next(iter(self.arms))

    @property
    def scoring(self) -> Scoring:
        """How the scores are read."""
        return TASKS[self.arms[self.baseline].task_name].scoring

    @property
    def metric(self) -> str:
        """The name of the score."""
        return self.scoring.monitor

    def lower_is_better(self, metric: str) -> bool:
        """Whether a lower value of a metric is better."""
        return metric == "loss" or metric in self.scoring.lower_is_better

    def scores(self, metric: str | None = None) -> dict[str, list[float]]:
        """A metric of every run, by arm, in the order of the seeds."""
        raise NotImplementedError

    def differences(self, metric: str | None = None) -> dict[str, Paired]:
        """Each other arm minus the baseline, seed by seed, with p values corrected for the number of arms (Holm)."""
        scores = self.scores(metric)
        base = scores.pop(self.baseline)
        pairs = {name: paired_difference(values, base) for name, values in scores.items()}
        corrected = holm([pair.p for pair in pairs.values()])
        return {name: pair._replace(p=p) for (name, pair), p in zip(pairs.items(), corrected, strict=True)}

    def is_shown(self, pair: Paired) -> bool:
        """Whether there are enough seeds, and they show a difference beyond chance."""
        return len(self.seeds) >= FEWEST and pair.p < 1 - LEVEL

    def score_table(self, metric: str | None = None) -> Table:
        """Score and spread of each arm, and its difference from the first."""
        metric = metric or self.metric
        pairs = self.differences(metric)
        rows = []
        for name, values in self.scores(metric).items():
            interval, pair = mean_interval(values), pairs.get(name)
            shown = f"{interval.mean:.2f}"
            shown += "" if math.isnan(interval.high) else f" ± {interval.high - interval.mean:.2f}"
            rows.append((name, shown, interval.std, *((None, None) if pair is None else (pair.text, pair.p))))
        lower = ", lower is better" if self.lower_is_better(metric) else ""
        columns = (
            Column("model"),
            Column(f"{metric}{lower}", self.scoring.unit(metric)),
            Column("std"),
            Column("difference"),
            Column("p", digits=3),
        )
        seeds = "1 seed" if len(self.seeds) == 1 else f"{len(self.seeds)} seeds"
        return Table(f"{seeds} of each, {self.epoch} epoch; ± and [ ]: {LEVEL:.0%} confidence", columns, rows)

    def verdicts(self, metric: str | None = None) -> list[str]:
        """A sentence for each other arm: whether the seeds show a difference from the baseline."""
        metric = metric or self.metric
        sign = -1 if self.lower_is_better(metric) else 1
        sentences = []
        for name, pair in self.differences(metric).items():
            shown = f"{pair.text}, p = {pair.p:.2g}"
            if len(self.seeds) < FEWEST:
                count = "one seed says" if len(self.seeds) == 1 else f"{len(self.seeds)} seeds say"
                sentence = f"{name}: {count} too little of its difference from {self.baseline} ({pair.mean:+.2f})."
            elif self.is_shown(pair):
                word = "better" if sign * pair.mean > 0 else "worse"
                sentence = f"{name} is {word} than {self.baseline} ({shown})."
            else:
                sentence = f"{name} and {self.baseline} differ by no more than chance would explain ({shown})."
            sentences.append(sentence)
        return sentences


@dataclass(frozen=True)
class Study(Result):
    """Several models, each trained with the same seeds, with the folders of their runs."""

    arms: Mapping[str, TrainConfig[Any]]
    seeds: Sequence[int]
    runs: Mapping[str, Sequence[FinishedRun]]
    epoch: str = "last"
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    """Measured time per input, by arm."""

    def __post_init__(self) -> None:
        check_choice("epoch", self.epoch, EPOCHS)

    def scores(self, metric: str | None = None) -> dict[str, list[float]]:
        """A metric of every run, by arm, in the order of the seeds.

        Raises:
            InputError: the runs have no such metric.
        """
        column = f"val_{metric or self.metric}"
        return {name: [self._score(run, column) for run in runs] for name, runs in self.runs.items()}

    def _score(self, run: FinishedRun, column: str) -> float:
        values = [row[column] for row in run.rows if column in row]
        if not values:
            known = ", ".join(name.removeprefix("val_") for name in run.rows[-1] if name.startswith("val_"))
            raise InputError(f"The run in {run.folder.path} has no metric {column[4:]!r}: choose one of {known}.")
        if self.epoch == "last":
            return values[-1]
        return min(values) if self.lower_is_better(column[4:]) else max(values)

    @cached_property
    def costs(self) -> dict[str, Cost]:
        """The cost of each arm."""
        found = {}
        for name, runs in self.runs.items():
            task, _ = restore_task(runs[0].folder.weights)
            backbone, size = backbone_of(task), task.preprocessing.size
            macs = count(backbone, (backbone.in_channels, *(size,) * backbone.dims)).macs
            parameters = sum(parameter.numel() for parameter in task.parameters())
            found[name] = Cost(parameters, macs, self.milliseconds.get(name))
        return found

    def cost_table(self) -> Table:
        """Parameters, MACs, time of an inference where it was measured, and minutes of a training."""
        rows = []
        for name, runs in self.runs.items():
            cost = self.costs[name]
            time = (cost.milliseconds,) if self.milliseconds else ()
            minutes = sum(row["seconds"] for run in runs for row in run.rows) / len(runs) / 60
            rows.append((name, cost.parameters / 1e6, cost.macs / 1e6, *time, minutes))
        columns = (
            Column("model"),
            Column("parameters", "M"),
            Column("MACs", "M", digits=1),
            *((Column("time", "ms", digits=3),) if self.milliseconds else ()),
            Column("training", "min", digits=1),
        )
        return Table("Costs", columns, rows)

    def to_dict(self, command: str) -> dict[str, Any]:
        """Everything in plain values: the command, options, costs, the scores of every run and epoch."""
        column, scores, differences = f"val_{self.metric}", self.scores(), self.differences()
        return {
            "command": command,
            **provenance(),
            "metric": self.metric,
            "epoch": self.epoch,
            "seeds": list(self.seeds),
            "arms": {
                name: {
                    "config": asdict(replace(config, out=None)),
                    "cost": asdict(self.costs[name]),
                    "scores": scores[name],
                    "interval": mean_interval(scores[name])._asdict(),
                    "difference": differences[name]._asdict() if name in differences else None,
                    "epochs": [[row.get(column) for row in run.rows] for run in self.runs[name]],
                }
                for name, config in self.arms.items()
            },
        }

    def write(self, path: str | Path, command: str) -> None:
        """Write `to_dict` as JSON; NaN is null."""
        atomic_write(path, json.dumps(_without_nan(self.to_dict(command)), indent=1).encode())


def provenance() -> dict[str, str]:
    """Today's date, the commit of this repository, or the version where it is no checkout, and the machine."""
    words = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=True)  # noqa: S603 - no words of a user
        commit = done.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = __version__
    machine = f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    return {"date": time.strftime("%Y-%m-%d"), "commit": commit, "machine": machine}


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    return [_without_nan(one) for one in value] if isinstance(value, list | tuple) else value
