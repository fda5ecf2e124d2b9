"""Images with any number of labels: a table of files and labels, binary cross entropy, mean average precision."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from res2net.errors import InputError, listed
from res2net.images.decode import EXTENSIONS, open_image, read_image
from res2net.images.folder import ImageFiles
from res2net.images.paths import MissingFile, PathFinder
from res2net.images.samples import Origin, Sample
from res2net.images.sources import DataSource
from res2net.images.splits import WHOLE, DataSettings, choose_splits, hashed_split
from res2net.images.text import read_csv
from res2net.task.base import Evaluation, Scoring
from res2net.tasks.classify.options import ClassifyOptions

if TYPE_CHECKING:
    from torchmetrics import MetricCollection

HEADINGS = ("file", "image", "filename", "file_name", "image_name", "path", "filepath", "image_path", "id", "image_id")
"""Headings of the column of files."""
SPLIT_HEADINGS = ("split", "subset", "set")
"""Headings of a column with the split of each image."""
FLAGS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "": 0, "true": 1, "false": 0}
"""Values in a table with a column for each class."""
SEPARATORS = (";", "|", ",")
"""What may separate labels in a cell; if no cell has one of them, spaces do."""
SHARE = 0.5
"""Probability from which a label counts as found."""


class LabelledFiles(ImageFiles):
    """Image files with any number of labels: `(PIL.Image, {"label": (classes,) float})`, 1 for each label of the image.

    `targets` has the indices of the labels of each image.
    """

    multi_label = True

    def __init__(self, paths: Sequence[str], targets: Sequence[Sequence[int]], class_names: Sequence[str]) -> None:
        super().__init__(paths, (), class_names)
        self.targets: list[Any] = [tuple(labels) for labels in targets]

    def __getitem__(self, index: int) -> Sample:
        return read_image(self.paths[index], alpha=self.alpha), {"label": self._flags(index)}

    def undecoded(self, index: int) -> Sample:
        """The sample, with JPEG files as an undecoded `Jpeg`."""
        return open_image(self.paths[index], alpha=self.alpha), {"label": self._flags(index)}

    def origin(self, index: int) -> Origin:
        """The file and the classes of a sample, for its fingerprint."""
        return (self.paths[index],), "\n".join(self.class_names[one] for one in self.targets[index]).encode()

    def with_classes(self, class_names: Sequence[str]) -> Self:
        """The same samples, with the labels of other classes, which all of theirs are among, by their names."""
        labels = [list(class_names).index(name) for name in self.class_names]
        targets = [sorted(labels[one] for one in several) for several in self.targets]
        return self._with(self.paths, targets, class_names)

    def _flags(self, index: int) -> Tensor:
        flags = torch.zeros(len(self.class_names))
        flags[list(self.targets[index])] = 1
        return flags


def read_label_table(path: Path, labels: tuple[str, ...], settings: DataSettings) -> DataSource:
    """Read the splits of a CSV file with any number of labels for each image; see `label_splits`."""
    del labels
    splits, notes = label_splits(path)
    choice = choose_splits(splits, settings, path)

    def halve(samples: Any) -> tuple[Sequence[int], Sequence[int]]:
        keys = [Path(one).relative_to(path.parent).as_posix() for one in samples.paths]
        return hashed_split(keys, settings.val_fraction, settings.seed)

    train, val, about = choice.arrange({name: splits[name] for name in choice.names}, halve)
    names = list(val.class_names)
    if not settings.evaluate and (never := sorted({*range(len(names))}.difference(*train.targets))):
        notes = [
            *notes,
            f"No training image has {len(never)} of the {len(names)} labels: {listed([names[one] for one in never])}.",
        ]
    return DataSource(path.stem, train, val, names, val_about=about, notes=notes)


def label_splits(path: Path) -> tuple[dict[str, LabelledFiles], list[str]]:
    """Read a CSV file with any number of labels for each image: its splits by name, and what was assumed.

    It has a column of files, and either one column of labels, separated by `;`, `|`, commas or spaces, or a column of 0
    and 1 for each class, whose headings are their names. A column `split` may state the split of each image. Paths are
    relative to the folder of the file, or to `images` in it.

    Raises:
        InputError: the file is not such a table, names a file that is missing or twice, or has fewer than two classes.
    """
    rows = read_csv(path)
    header = [cell.lower() for cell in rows[0]] if rows else []
    # Where only the first cell of a column of image files is none, it is a heading.
    is_file = [row[0].lower().endswith(EXTENSIONS) for row in rows]
    has_header = bool(header) and (header[0].replace(" ", "_") in HEADINGS or (not is_file[0] and all(is_file[1:])))
    width = len(header)
    if width < 2 or (not has_header and width > 2):
        raise InputError(
            f"{path} is no table of labels: write lines FILE,LABELS below the heading file,labels, with labels "
            "separated by semicolons, or a column of 0 and 1 for each class below file and their names."
        )
    split_column = next((index for index, cell in enumerate(header) if has_header and cell in SPLIT_HEADINGS), None)
    columns = [index for index in range(1, width) if index != split_column]
    body = [(number, row) for number, row in enumerate(rows, start=1) if number > 1 or not has_header]
    for number, row in body:
        if len(row) != width:
            raise InputError(f"Row {number} of {path} has {len(row)} cells and the first {width}: fix it.")
    flags = len(columns) > 1
    names, targets = _flagged(path, rows[0], columns, body) if flags else _separated(columns[0], body)
    finder = PathFinder(path.parent, [path.parent, path.parent / "images"])
    files: list[str] = []
    for number, row in body:
        try:
            file = finder.find(row[0], EXTENSIONS)
        except MissingFile as error:
            raise InputError(f"Row {number} of {path} names no file ({error}): fix the path.") from error
        files.append(file)
    if twice := [file for file, count in Counter(files).items() if count > 1]:
        raise InputError(f"{path} names {twice[0]} in several rows: write all labels of an image into one.")
    if len(names) < 2:
        raise InputError(f"{path} has {len(names)} classes, and classification needs two: add labels.")
    everything = LabelledFiles(files, targets, names)
    splits = [WHOLE if split_column is None else row[split_column] for _, row in body]
    parts = {
        name: everything.subset(i for i, one in enumerate(splits) if one == name) for name in dict.fromkeys(splits)
    }
    return parts, finder.notes()


def _flagged(
    path: Path, heading: Sequence[str], columns: Sequence[int], body: Sequence[tuple[int, list[str]]]
) -> tuple[list[str], list[list[int]]]:
    targets = []
    for number, row in body:
        if wrong := [row[one] for one in columns if row[one].lower() not in FLAGS]:
            raise InputError(f"Row {number} of {path} has {wrong[0]!r} in the column of a class: give 0 or 1.")
        targets.append([index for index, one in enumerate(columns) if FLAGS[row[one].lower()]])
    return [heading[one] for one in columns], targets


def _separated(column: int, body: Sequence[tuple[int, list[str]]]) -> tuple[list[str], list[list[int]]]:
    cells = [row[column] for _, row in body]
    separator = next((one for one in SEPARATORS if any(one in cell for cell in cells)), None)
    several = [
        sorted({name.strip() for name in (cell.split(separator) if separator else cell.split()) if name.strip()})
        for cell in cells
    ]
    names = sorted({name for labels in several for name in labels})
    numbers = {name: index for index, name in enumerate(names)}
    return names, [[numbers[name] for name in labels] for labels in several]


def is_label_table(source: Any) -> bool:
    """Whether a source is a file whose ending says that it is a table."""
    return bool(re.search(r"\.(csv|tsv)$", str(source), re.IGNORECASE)) and Path(source).is_file()


def check_options(options: ClassifyOptions) -> None:
    """Raise `InputError` if an option is for images with one label each."""
    for name in ("mixup", "cutmix", "label_smoothing", "class_weights", "balance", "teacher"):
        if getattr(options, name):
            option = name.replace("_", "-")
            raise InputError(f"--{option} applies to images with one label each, and these have several: leave it out.")


class LabelScoring(Scoring):
    """The scoring of several labels."""

    def chance(self, source: DataSource) -> float:
        """The mean average precision of equal scores, which is the mean share of the images that have each label."""
        counts = Counter(label for labels in getattr(source.val, "targets", ()) for label in labels)
        return 100 * counts.total() / (len(counts) * len(source.val)) if counts else 0.0

    def score_of_one(self, evaluation: Evaluation) -> tuple[str, float]:
        """The geometric mean of the probabilities that each class is or is not there, as it is: mAP needs several."""
        return "labels", 100 * math.exp(-evaluation.metrics["loss"])


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The binary cross entropy of each image, `(N,)`, mean over the classes; logits and labels are `(N, classes)`."""
    return F.binary_cross_entropy_with_logits(logits, labels.to(logits), reduction="none").mean(1)


def label_metric(classes: int) -> MetricCollection:
    """`mAP`, the mean over classes of average precision, and `F1` over all labels at a probability of 0.5.

    Classes without an image have no average precision and do not count; `mAP` is NaN if no class has one.
    """
    from torchmetrics import MetricCollection
    from torchmetrics.classification import MultilabelAveragePrecision, MultilabelF1Score
    from torchmetrics.functional.classification import binary_average_precision
    from torchmetrics.utilities.data import dim_zero_cat

    class MeanOfPresent(MultilabelAveragePrecision):
        def compute(self) -> Tensor:  # type: ignore[override] # its parent has curves
            scores, labels = dim_zero_cat(self.preds), dim_zero_cat(self.target)
            present = (labels == 1).any(0).nonzero().flatten().tolist()
            values = [binary_average_precision(scores[:, one], labels[:, one]) for one in present]
            return torch.stack(values).mean() if values else scores.new_tensor(torch.nan)

    f1 = MultilabelF1Score(classes, threshold=SHARE, average="micro")
    return MetricCollection({"mAP": MeanOfPresent(classes), "F1": f1}, compute_groups=False)
