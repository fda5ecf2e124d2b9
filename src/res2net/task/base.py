"""What every task offers, and the table of all tasks: each file of this folder registers its own."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from PIL import Image
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from res2net.backbones.base import Backbone
from res2net.errors import InputError, check_choice
from res2net.images.decode import read_image
from res2net.images.folder import list_images
from res2net.images.samples import Samples
from res2net.images.sources import DataSource
from res2net.images.transforms import Transform
from res2net.options import from_dict
from res2net.report import Column, Report
from res2net.report.images import as_image
from res2net.report.tables import Cell
from res2net.task import task_modules, task_names
from res2net.tasks.objects.data.boxes import ObjectBox
from res2net.weights import Checkpoint, Preprocessing

__all__ = ["Evaluation", "Task", "register_task", "task_type"]


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation of a task found."""

    metrics: Mapping[str, float]
    """By name; scores in percent, losses and what has a unit as they are."""
    records: Mapping[str, Tensor]
    """By name, one value for each image, `(N,)`; `index` is its place in the data set."""
    skipped: Sequence[str] = ()
    """Paths of images that could not be read."""
    seconds: float = 0.0
    units: Mapping[str, str] = field(default_factory=dict)
    """Of the metrics that are neither a loss nor in percent, such as mm."""


class Task(nn.Module):
    """Wiring of a backbone, a head, losses, a metric and the drawing of results; it never knows the trainer.

    A subclass has an `Options` dataclass, and builds itself from a source of data and a function that makes a backbone
    (`build`), or again from what its checkpoint says (`restore`).
    """

    name: ClassVar[str]
    Options: ClassVar[type[Any]]
    """A dataclass of what a user can choose for this task alone."""
    labels: ClassVar[Sequence[str]] = ("label",)
    """What it needs to know of an image, as the entries of a target; see `res2net.images.Sample`."""
    lower: ClassVar[Sequence[str]] = ()
    """The metrics of which less is better."""
    scored: str = ""
    """What the scores depend on that their names do not say, such as "in detected boxes"; it is shown with them."""
    source_name: ClassVar[str] = "images"
    """What the samples of a source are."""
    tells_classes: ClassVar[bool] = True
    """Whether its results are of classes, which those of the data have to be too."""
    sample_name: str = "images"
    """What the samples of `datasets` are."""
    result_name: ClassVar[str]
    """What a result is called in JSON, such as "classes"."""
    columns: ClassVar[Sequence[Column]]
    """The columns of a table of results, beside the image's name."""
    adjustable: ClassVar[Sequence[str]] = ()
    """The options that may be changed after training, see `adjust`."""
    takes_boxes: ClassVar[bool] = False
    """Whether it looks into boxes that are given: `predict` into `box`, with `label` and `box_score`, in the target of
    an image, and evaluation into those of `look_into`."""
    predicted_together: ClassVar[int] = 32
    """How many images `predict` is given at a time where nobody says."""
    dims: ClassVar[Sequence[int]] = (2,)
    """Dimensions of the backbones that it takes: 2 for images."""
    example_file: ClassVar[str] = "PATH/TO/IMAGE.jpg"
    """What a user may predict, for the line that tells how."""
    cuts_out: ClassVar[bool] = False
    """Whether there are `cut_outs` of an image."""
    outputs: ClassVar[Sequence[str]] = ()
    """Names of what `forward` gives in an exported network, with "boxes" a detector's; none: it is not exported."""

    model: nn.Module
    """What a checkpoint holds."""
    options: Any
    """An instance of `Options`."""
    class_names: tuple[str, ...]
    preprocessing: Preprocessing

    @classmethod
    def build(
        cls, create: Callable[..., Backbone], source: DataSource, preprocessing: Preprocessing, options: Any
    ) -> Self:
        """The task for that data; `create(num_classes=...)` makes its backbone."""
        raise NotImplementedError

    @classmethod
    def restore(
        cls,
        model: nn.Module,
        class_names: Sequence[str],
        preprocessing: Preprocessing,
        said: Mapping[str, Any] | None = None,
    ) -> Self:
        """The task around a trained model, for evaluation and prediction.

        Args:
            model: gives what the task's `forward` does.
            class_names: what its classes stand for.
            preprocessing: how images are prepared.
            said: what its file tells of the task, as `metadata` gave it; and of an exported network its `input_size`
                (height, width) and its `outputs` by name.

        Raises:
            InputError: what is said does not fit.
        """
        raise NotImplementedError

    @classmethod
    def from_checkpoint(cls, name: str, checkpoint: Checkpoint) -> Self:
        """The trained task; `name` is that of the backbone.

        Raises:
            InputError: the checkpoint does not fit.
        """
        raise NotImplementedError

    @property
    def monitor(self) -> str:
        """The number that tells which checkpoint is the best; higher is better."""
        raise NotImplementedError

    @property
    def headline(self) -> Sequence[str]:
        """The numbers that the line of an epoch shows; by default all."""
        return ()

    def measure_by(self, metric: str) -> None:
        """Evaluate by another metric than the training did.

        Raises:
            InputError: the task has no choice, or not this one.
        """
        raise InputError(f"The task {self.name} has one metric alone: leave out --metric {metric}.")

    @property
    def backbone(self) -> Backbone:
        """The part of the model that makes features."""
        assert isinstance(self.model, Backbone)
        return self.model

    @property
    def device(self) -> torch.device:
        """Where it computes; an exported network, which has no parameters, on the processor."""
        return next((parameter.device for parameter in self.parameters()), torch.device("cpu"))

    def adjust(self, changes: Mapping[str, Any]) -> None:
        """Change options of evaluation and prediction, by their names in `adjustable`.

        Raises:
            InputError: the task has no such option to change, or a value does not fit.
        """
        if changes and not self.adjustable:
            raise InputError(f"The task {self.name} has no options to change after training: leave out --task-options.")
        for name in changes:
            check_choice("Option to change after training", name, self.adjustable)
        if changes:
            values = dataclasses.asdict(self.options) | dict(changes)
            self.options = from_dict(type(self.options), values, "What is chosen by --task-options")

    @property
    def in_channels(self) -> int:
        """Channels of what an exported network takes: those of an image, and what a task adds."""
        return len(self.preprocessing.mean)

    def metadata(self) -> dict[str, Any]:
        """What a checkpoint tells, beside the backbone and the classes, for `from_checkpoint`."""
        return {}

    def forward(self, images: Tensor) -> Any:
        """Raw tensors, of the same type in training and evaluation."""
        raise NotImplementedError

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """The parts of the training loss by name; their sum is minimised."""
        raise NotImplementedError

    def learners(self) -> Sequence[nn.Module]:
        """Who learns, each by an optimizer of its own: the task as a whole, or networks that take turns."""
        return (self,)

    def turns(self, images: Tensor, targets: Mapping[str, Any]) -> Iterator[dict[str, Tensor]]:
        """One step of training: the losses of each of `learners`, in their order.

        Before the next ones are asked for, the learner of those before has made its update. While losses are computed
        only the weights of their learner take gradients. What training shows as its loss is that of the first.
        """
        yield self.losses(images, targets)

    def metric(self) -> Metric | MetricCollection:
        """A new metric for `validate` to fill; computes a dictionary of numbers."""
        raise NotImplementedError

    def validate(
        self, images: Tensor, targets: Mapping[str, Any], metric: Metric | MetricCollection
    ) -> dict[str, Tensor]:
        """Update `metric` with a batch; one value for each image, `(N,)`, such as `loss`."""
        raise NotImplementedError

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> list[Any]:
        """A decoded result for each image; `targets` is what the transform noted of the images."""
        raise NotImplementedError

    def transform(self, train: bool) -> Transform:
        """From `(image, target)` of a data set to what the network sees."""
        raise NotImplementedError

    def fit(self, size: tuple[int, int] | None = None) -> tuple[int, ...]:
        """Let images be prepared as an exported network needs them.

        Args:
            size: height and width of its images; by default what suits the task.

        Returns:
            Height and width, and before them the slices of volumes.

        Raises:
            InputError: it cannot have that size.
        """
        raise NotImplementedError

    def fitted(self) -> Transform:
        """After `fit`, from an image alone to what an exported network sees of it, `(C, height, width)`."""
        return self.transform(False)

    def unit(self, metric: str) -> str:
        """What a metric is told in: "%" of what is computed from 0 to 1, or a unit such as "mm"."""
        return "%"

    @classmethod
    def list_files(cls, path: str | Path) -> list[Path]:
        """The files to predict: a file itself, whatever its ending, or all below a folder that the task reads.

        Raises:
            InputError: nothing is there.
        """
        return list_images(path)

    @classmethod
    def read_file(cls, path: str | Path) -> Any:
        """What is in a file, as `transform` and `draw` take it.

        Raises:
            BadImage: it cannot be read.
        """
        return read_image(path)

    @classmethod
    def drawn(cls, count: int) -> Iterable[Any] | None:
        """So many drawn samples as `read_file` gives them, to try an exported network with; None: of `shapes`."""
        return None

    def check_source(self, source: DataSource) -> None:
        """Look at what a source has beside its classes.

        Raises:
            InputError: that is not what the network was made for.
        """

    def datasets(self, source: DataSource) -> tuple[Any, Any]:
        """The training and the validation samples of a source as the network sees them, for loaders with `collate`.

        Raises:
            InputError: the source does not fit; see `check_source`.
        """
        self.check_source(source)
        return source.transformed(self.transform(True), self.transform(False))

    def look_into(self, source: DataSource, boxes: Sequence[Sequence[ObjectBox]]) -> Any:
        """Evaluate in the boxes of a detector from now on, where the task `takes_boxes`.

        Args:
            source: of whose validation images the boxes are.
            boxes: of each of them.

        Returns:
            The samples of the evaluation, as the second of `datasets`.

        Raises:
            InputError: the source does not fit, or the boxes are of other images.
        """
        raise NotImplementedError

    def united(self, objects: list[Any]) -> list[Any]:
        """What stays of the objects that were found in all the boxes of an image, where the task `takes_boxes`."""
        return objects

    def tabulate(self, result: Any) -> Sequence[Sequence[Cell]]:
        """The rows of a result in a table, a cell for each of `columns`; none where there is nothing to tell."""
        raise NotImplementedError

    def described(self, result: Any) -> Any:
        """What JSON tells of a result; a task whose results hold arrays leaves those out."""
        return result

    def save(self, result: Any, stem: Path) -> list[Path]:
        """Write a result as files whose names begin with that of `stem`, and give their paths.

        Raises:
            InputError: the task's results are no files.
        """
        raise InputError(f"The task {self.name} finds no image of its own: take --draw or --json in place of --save.")

    def cut_outs(self, image: Image.Image, result: Any) -> Mapping[str, Image.Image]:
        """What `save` cannot write without the image's own pixels: parts of it, by the end of a file's name."""
        return {}

    def draw(self, image: Any, result: Any) -> Image.Image:
        """An image with its result drawn on it."""
        raise NotImplementedError

    def images(self, source: DataSource) -> Samples:
        """The validation images of a source, as `found_in` and `draw_truth` take them."""
        return source.val

    def found_in(self, image: Any, target: Mapping[str, Any]) -> Any:
        """The result of one image of a data set; without a target that of the image alone."""
        prepared, noted = self.transform(False)(image, {**target, "index": 0})
        with torch.inference_mode():
            (result,) = self.eval().predict(
                prepared[None].to(self.device), {name: [one] for name, one in noted.items()}
            )
        return result

    def image_score(self, evaluation: Evaluation) -> tuple[str, float]:
        """Name and value, in percent, of what tells how good the result of one image is, from its evaluation."""
        return self.monitor, evaluation.metrics[self.monitor]

    def draw_alone(self, image: Any, target: Mapping[str, Any]) -> Image.Image:
        """An image of a data set without a result, to stand beside those with one; the target may have nothing."""
        return as_image(image)

    def draw_beside(self, image: Any, result: Any, target: Mapping[str, Any]) -> Image.Image:
        """A result of an image of a data set, to stand beside the image, the truth and the results of others.

        What is true, where the target tells it, may only decide on which part is shown.
        """
        return self.draw(as_image(image), result)

    def draw_truth(self, image: Any, target: Mapping[str, Any]) -> Image.Image:
        """What is true of an image of a data set, as `draw_beside` shows results.

        Raises:
            InputError: the task cannot draw it.
        """
        raise InputError(f"The task {self.name} cannot draw what is true: give images without it.")

    def write_report(self, report: Report, evaluation: Evaluation, source: DataSource) -> None:
        """Add to a run's report what is particular to the task."""
        raise NotImplementedError


_TASKS: dict[str, type[Task]] = {}


def register_task(task: type[Task]) -> type[Task]:
    """Decorator: add a task under its name."""
    if task.name in _TASKS:
        raise ValueError(f"task {task.name!r} is registered twice")
    _TASKS[task.name] = task
    return task


def task_type(name: str) -> type[Task]:
    """The task of that name; `InputError` names the nearest."""
    check_choice("Task", name, task_names())
    importlib.import_module(f"{task_modules()[name]}.task")
    return _TASKS[name]
