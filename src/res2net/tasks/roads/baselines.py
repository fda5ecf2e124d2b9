"""What the recipe of roads is compared with."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace

from res2net.images.sources import DataSource
from res2net.task.base import Task
from res2net.tasks.roads.data.graph import RoadGraph
from res2net.tasks.roads.metrics.road_metric import RoadMetric

__all__ = ["by_tracing", "one_graph_for_all"]

GUESSES = 4
"""Graphs that are tried as the same answer for every image."""


def by_tracing(task: Task) -> dict[str, Task]:
    """The task with each way to turn its maps into graphs."""
    ways = {}
    for tracing in ("next-point", "skeleton"):
        ways[tracing] = copy.copy(task)
        ways[tracing].options = replace(task.options, tracing=tracing)
    return ways


def one_graph_for_all(untrained: Task, source: DataSource) -> dict[str, Mapping[str, float]]:
    """The metrics, in percent, of one graph for all images: of some of the training the one that fits others best."""
    towns: list[RoadGraph] = [source.train[index][1]["graph"] for index in range(4 * GUESSES)]
    best = max(towns[:GUESSES], key=lambda guess: _scores(guess, towns[GUESSES:], source)["APLS"])
    truth = [source.val[index][1]["graph"] for index in range(len(source.val))]
    return {"one graph for all": _scores(best, truth, source)}


def _scores(guess: RoadGraph, truth: list[RoadGraph], source: DataSource) -> dict[str, float]:
    metric = RoadMetric()
    side = source.preprocessing.size
    metric.update([guess] * len(truth), truth, [(side, side)] * len(truth))
    return {name: 100 * float(value) for name, value in metric.compute().items()}
