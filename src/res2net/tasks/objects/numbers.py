"""The numbers of an evaluation that tasks with objects put together."""

from __future__ import annotations

from res2net.report import Column, Table
from res2net.task.base import Evaluation

__all__ = ["size_table"]


def size_table(evaluation: Evaluation) -> Table:
    """Average precision of all, small, medium and large objects: a row for boxes, masks or key points."""
    columns = (
        Column("of"),
        *(Column(name, "%", digits=1) for name in ("AP", "AP50", "AP75", "small", "medium", "large")),
    )
    rows = []
    for kind in ("box", "mask", "keypoint"):
        found = {
            name.removeprefix(f"{kind}_"): value
            for name, value in evaluation.metrics.items()
            if name.startswith(f"{kind}_")
        }
        if found:
            rows.append(
                (kind, *(found.get(name) for name in ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")))
            )
    return Table(
        "Average precision (%), by the area of objects: up to 32², up to 96², and more square pixels", columns, rows
    )
