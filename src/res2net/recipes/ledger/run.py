"""Run a row of the ledger, small or at full scale, and compare its networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from res2net.api import load
from res2net.console import Console
from res2net.engine.config import TrainConfig
from res2net.errors import InputError
from res2net.explain import MaskedImages, open_masked, score_maps
from res2net.recipes.ledger.experiment import LEDGER, Entry, Experiment, Small, arms_of, has_weights
from res2net.recipes.ledger.recorded import record, write
from res2net.recipes.study import Study, run_study
from res2net.recipes.study.report import write_study
from res2net.report import Column, Table


def run_small(
    name: str,
    small: Small,
    base: TrainConfig[Any],
    seeds: Sequence[int],
    folder: Path,
    *,
    command: str,
    models: Sequence[str] = (),
    jobs: int = 1,
    console: Console | None = None,
) -> Study:
    """Train the small networks of a row with every seed, and write the page, `study.json` and `record.json`.

    Args:
        name: the row.
        small: its small runs.
        base: the configuration of their recipe, possibly with changed options.
        seeds: the seeds.
        folder: where the runs and the files go; finished runs in it are read, and stopped ones go on.
        command: the command that does this, for the record.
        models: the networks; by default those of the row.
        jobs: runs at a time.
        console: where progress is shown.
    """
    study = run_study(arms_of(base, models or small.models), seeds, folder, jobs=jobs, console=console)
    write_study(study, folder, f"{LEDGER[name].title}, small", command)
    scores: dict[str, dict[str, list[float]]] = {model: {} for model in study.arms}
    for metric in small.metrics:
        for model, values in study.scores(metric).items():
            scores[model][metric] = values
    if small.maps:
        source = open_masked(base.source)
        images = MaskedImages(source.val, source.class_names)
        for model, runs in study.runs.items():
            found = [score_maps(load(run.folder.path), images) for run in runs]
            scores[model] |= {one: [100 * float(seed.values(one).mean()) for seed in found] for one in small.maps}
    write(folder / "record.json", record(scores, seeds, command))
    return study


def run_full(
    entries: Sequence[Entry],
    base: TrainConfig[Any],
    seeds: Sequence[int],
    folder: Path,
    *,
    jobs: int = 1,
    console: Console | None = None,
) -> Study:
    """Train networks of a row by its full-scale recipe; returns the study, whose arms are named by their models.

    Raises:
        InputError: a network has no published weights to start from, where the recipe does.
    """
    models = [entry.model for entry in entries]
    weights = base.model.weights
    if weights is not None and not Path(weights).exists():
        lacking = [one for one in models if not has_weights(one.partition(":")[0], weights)]
        if lacking:
            raise InputError(
                f"{lacking[0]} has no published weights {weights!r} to start from: train it alone, with --models "
                f"{lacking[0]} --weights FILE, or leave it out by naming the others."
            )
    elif weights is not None and len(models) > 1:
        raise InputError(
            f"{weights} is of one network, and {len(models)} are to start from it: name one with --models."
        )
    study = run_study(arms_of(base, models), seeds, folder, jobs=jobs, console=console)
    write_study(study, folder, "Full scale")
    return study


def beside_published(experiment: Experiment, entries: Sequence[Entry], study: Study) -> Table:
    """The published numbers of networks beside the means of ours, for every metric that the runs have."""
    rows: list[tuple[str | float | None, ...]] = []
    shown = [(index, metric) for index, metric in enumerate(experiment.metrics) if _has(study, metric.ours)]
    ours: dict[str, Mapping[str, Sequence[float]]] = {metric.ours: study.scores(metric.ours) for _, metric in shown}
    for entry in entries:
        for index, metric in shown:
            values = ours[metric.ours][entry.model]
            mean = metric.published_from(sum(values) / len(values))
            target = entry.published[index]
            rows.append((entry.label, metric.heading, target, mean, None if target is None else mean - target))
    columns = (Column("network"), Column("metric"), Column("published"), Column("here"), Column("difference"))
    return Table(f"{experiment.origin}, {study.epoch} epoch", columns, rows)


def _has(study: Study, metric: str) -> bool:
    runs = next(iter(study.runs.values()))
    return bool(metric) and any(f"val_{metric}" in row for row in runs[0].rows)


def grouped(experiment: Experiment, entries: Sequence[Entry]) -> dict[tuple[str, str], list[Entry]]:
    """Networks by their recipe and the options of the command."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    options = experiment.full.options if experiment.full else ""
    for entry in entries:
        key = experiment.recipe_of(entry), f"{options} {entry.options}".strip()
        groups.setdefault(key, []).append(entry)
    return groups
