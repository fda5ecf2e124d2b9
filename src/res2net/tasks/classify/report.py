"""What the report of a run shows of classification: confusions, classes, sizes of objects and the hardest images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from matplotlib.figure import Figure
from torch import Tensor

from res2net.images.sources import DataSource
from res2net.report import Column, Report, Table, confusion_matrix, lines_with_errors
from res2net.report.images import as_image
from res2net.task.base import Evaluation

HARDEST = 24
"""Images in a report, those with the largest loss."""
SIZES = (0.06, 0.1, 0.16, 0.26, 0.42, 0.9)
"""Borders between groups of object sizes, as shares of the image's side."""


def write_report(
    report: Report, evaluation: Evaluation, source: DataSource, class_names: Sequence[str], model: str
) -> None:
    """Add accuracy by class and by object size, the confusion matrix, and the hardest images to a report."""
    records = evaluation.records
    label, predicted = records["label"], records["predicted"]
    matrix = class_matrix(evaluation, len(class_names))
    if "size" in records:
        figure = size_figure({model: [evaluation]})
        report.add_figure(figure, "Accuracy by the size of the object.")
    report.add_section("Confusions")
    report.add_figure(confusion_matrix(matrix, class_names), "True classes and what they were taken for.")
    report.add_section("Classes")
    counts = zip(class_names, matrix.sum(1).tolist(), matrix.diagonal().tolist(), strict=True)
    rows = [(name, count, 100 * right / count) for name, count, right in counts if count]
    rows.sort(key=lambda row: row[2])
    columns = (Column("class"), Column("images"), Column("top-1 accuracy", "%", digits=1))
    report.add_table(Table("The least accurate first", columns, rows[:100]))
    add_hardest(
        report,
        evaluation,
        source,
        lambda index: (
            f"{class_names[int(label[index])]}\ntaken for {class_names[int(predicted[index])]} "
            f"({100 * float(records['probability'][index]):.0f} %)"
        ),
    )


def add_hardest(report: Report, evaluation: Evaluation, source: DataSource, caption: Callable[[int], str]) -> None:
    """Add the images with the largest loss to a report; `caption` maps the position of a record to its caption."""
    records = evaluation.records
    report.add_section("Hardest images")
    hardest: list[int] = records["loss"].topk(min(HARDEST, len(records["loss"]))).indices.tolist()
    images = [as_image(source.val[int(records["index"][index])][0]) for index in hardest]
    report.add_images(images, [caption(index) for index in hardest], "Images with the largest loss, and their classes.")


def class_matrix(evaluation: Evaluation, classes: int) -> Tensor:
    """How many images of each true class (rows) were taken for each class (columns), `(classes, classes)`."""
    records = evaluation.records
    pairs = records["label"] * classes + records["predicted"]
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes)


def accuracy_by_size(evaluation: Evaluation) -> list[float]:
    """Top-1 accuracy in percent for each group of `SIZES`; NaN for a group without images."""
    records = evaluation.records
    right = (records["label"] == records["predicted"]).float()
    return [100 * float(right[group].mean()) for group in _groups(evaluation)]


def count_by_size(evaluation: Evaluation) -> list[int]:
    """Images in each group of `SIZES`."""
    return [int(group.sum()) for group in _groups(evaluation)]


def size_figure(evaluations: Mapping[str, Sequence[Evaluation]]) -> Figure:
    """Top-1 accuracy against object size of each model, by name, with error bars over its evaluations."""
    return lines_with_errors(
        {name: [accuracy_by_size(one) for one in several] for name, several in evaluations.items()},
        [100 * edge for edge in SIZES],
        "size of the object, % of the image's side",
        "top-1 accuracy, %",
        count_by_size(next(iter(evaluations.values()))[0]),
    )


def _groups(evaluation: Evaluation) -> list[Tensor]:
    size = evaluation.records["size"]
    # The largest size is within the last group.
    return [(size >= low) & ((size < high) | (high == SIZES[-1])) for low, high in pairwise(SIZES)]
