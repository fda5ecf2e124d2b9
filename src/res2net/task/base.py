"""What every task offers: how it learns, and what it makes of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.images.sources import DataSettings, DataSource
from res2net.images.transforms import Transform
from res2net.nn import freeze_norms
from res2net.options import from_dict
from res2net.registry import Registry
from res2net.task import task_modules
from res2net.task.inputs import IMAGES, Inputs
from res2net.task.result import Result
from res2net.weights import Checkpoint, Preprocessing
from res2net.zoo import create_model, preprocessing_of

if TYPE_CHECKING:
    from torchmetrics import Metric, MetricCollection

    from res2net.report import Report

__all__ = ["TASKS", "CreateBackbone", "Evaluation", "Scoring", "Task", "Turn", "backbone_of", "device_of", "frozen"]

CreateBackbone = Callable[..., Backbone]
"""Makes the backbone that the user chose; takes `num_classes`, and where a task asks for them `in_channels` and
`output_stride`."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation of a task found."""

    metrics: Mapping[str, float]
    """Metrics by name: scores in percent, losses and what has a unit as they are."""
    records: Mapping[str, Tensor]
    """By name, one value for each sample, `(N,)`; `index` is its index in the data set."""
    skipped: Sequence[str] = ()
    """Paths of images that could not be read."""
    seconds: float = 0.0
    units: Mapping[str, str] = field(default_factory=dict)
    """Units of the metrics that are neither a loss nor in percent, such as mm."""


@dataclass(frozen=True)
class Scoring:
    """How the metrics of a task are read."""

    monitor: str
    """The metric that decides which checkpoint is the best; higher is better."""
    headline: Sequence[str] = ()
    """The metrics that the line of an epoch shows; by default all."""
    lower_is_better: Sequence[str] = ()
    """The metrics of which less is better."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Units of metrics by shell-style patterns of their names; all others are computed from 0 to 1 and shown in
    percent."""
    note: str = ""
    """What the scores depend on that their names do not say, such as "in detected boxes"; it is shown with them."""
    samples: str = "images"
    """What is scored, in the plural."""

    def unit(self, metric: str) -> str:
        """The unit of a metric."""
        return next((unit for pattern, unit in self.units.items() if fnmatch(metric, pattern)), "%")

    def score_of_one(self, evaluation: Evaluation) -> tuple[str, float]:
        """Name and value, in percent, of the score of one sample, from the evaluation of that sample alone."""
        return self.monitor, evaluation.metrics[self.monitor]


class Turn(NamedTuple):
    """One of several networks that learn in turns."""

    learner: nn.Module
    """What an optimizer of its own updates; all other weights take no gradients meanwhile."""
    losses: Callable[[Tensor, Mapping[str, Any]], dict[str, Tensor]]
    """From images and targets to the parts of its loss by name."""


class Task(nn.Module):
    """A network with its data, losses, metric and results. It never knows the trainer, the command line or a runtime.

    A task is made for data (`build`) or from a checkpoint (`restore`); both put the `network` around a backbone. What
    `describe` says of the data of the training is kept in checkpoints as `facts`.

    Args:
        model: the network; its weights are what a checkpoint holds.
        preprocessing: how images are prepared.
        options: an instance of `Options`.
        facts: what `describe` returned for the data of the training; `class_names` at least.
    """

    name: ClassVar[str]
    """The name of its folder, and of the task on the command line."""
    Options: ClassVar[type[Any]]
    """A dataclass of what a user can choose for this task alone.

    `Options.adjustable`, where it exists, names the options that may be changed after training.
    """
    inputs: Inputs = IMAGES
    """What its samples are."""
    fact_names: ClassVar[Sequence[str]] = ("class_names",)
    """The names of what `describe` returns."""
    scoring: Scoring
    """How its metrics are read."""

    def __init__(self, model: nn.Module, preprocessing: Preprocessing, options: Any, facts: Mapping[str, Any]) -> None:
        super().__init__()
        self.model = model
        self.preprocessing = preprocessing
        self.options = options
        self.facts = {name: facts[name] for name in self.fact_names if name in facts}
        self.class_names: tuple[str, ...] = tuple(facts["class_names"])

    # How a task comes into being.

    @classmethod
    def open(cls, source: str | Path, settings: DataSettings | None = None, options: Any | None = None) -> DataSource:
        """Open the data of the task.

        Args:
            source: a path, or a name such as "shapes".
            settings: how it is opened.
            options: an instance of `Options`, by default its defaults, where they decide what is read.

        Raises:
            InputError: there is no such source, or it is in no format that the task knows.
        """
        raise NotImplementedError

    @classmethod
    def describe(cls, source: DataSource) -> dict[str, Any]:
        """What the data of the training decide about the network, ready for JSON; `class_names` at least."""
        return {"class_names": list(source.class_names)}

    @classmethod
    def network(cls, create: CreateBackbone, options: Any, facts: Mapping[str, Any]) -> nn.Module:
        """Make the network on a backbone of `create`, with fresh weights of the head.

        Raises:
            InputError: the options, the facts and the backbone do not fit each other.
        """
        raise NotImplementedError

    @classmethod
    def build(cls, create: CreateBackbone, source: DataSource, preprocessing: Preprocessing, options: Any) -> Self:
        """Make the task for the data of a source, ready to be trained.

        Raises:
            InputError: the backbone has other dimensions than the inputs, or does not fit the task.
        """

        def checked(**chosen: Any) -> Backbone:
            backbone = create(**chosen)
            if backbone.dims not in cls.inputs.dims:
                wanted = " or ".join(f"{dims}-D" for dims in cls.inputs.dims)
                raise InputError(
                    f"{backbone.variant_name} is a {backbone.dims}-D network, and the task {cls.name} needs a "
                    f"{wanted} one: choose another with --model."
                )
            return backbone

        facts = cls.describe(source)
        return cls(cls.network(checked, options, facts), preprocessing, options, facts)

    @classmethod
    def restore(cls, model: str, checkpoint: Checkpoint | None) -> Self:
        """Make the trained task of a checkpoint.

        Args:
            model: name of the backbone.
            checkpoint: with the weights of the whole network, and in its metadata the options and the facts; None for
                fresh weights, where a backbone alone is a network for the task.

        Raises:
            InputError: the checkpoint is of another task, or does not hold the network it describes.
        """
        if checkpoint is None:
            raise InputError(
                f"{model} is a backbone without a head for {cls.name}: give a file of `res2net train {cls.name}`."
            )
        metadata = checkpoint.metadata
        if metadata.get("task") != cls.name:
            raise InputError(
                f"{checkpoint.path} holds no network for {cls.name}: give a file of `res2net train {cls.name}`, "
                f"or start one from this backbone with `res2net train {cls.name} --weights`."
            )
        options = from_dict(cls.Options, metadata.get("task_options"), f"The task options of {checkpoint.path}")

        def create(**chosen: Any) -> Backbone:
            return create_model(model, **{**chosen, **metadata["options"]})

        network = cls.network(create, options, metadata)
        try:
            network.load_state_dict(checkpoint.tensors)
        except RuntimeError as error:
            reason = str(error).splitlines()[1].strip()
            raise InputError(f"{checkpoint.path} does not hold the network it describes ({reason}).") from error
        return cls(network, preprocessing_of(checkpoint) or Preprocessing(), options, metadata).eval()

    # How it learns.

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """The parts of the training loss by name; their sum is minimised."""
        raise NotImplementedError

    def turns(self) -> Sequence[Turn]:
        """The networks that learn from each batch, one after the other; by default the task as a whole."""
        return (Turn(self, self.losses),)

    def metric(self) -> Metric | MetricCollection:
        """A new metric for `validate` to update; it computes a dictionary of numbers."""
        raise NotImplementedError

    def validate(
        self, images: Tensor, targets: Mapping[str, Any], metric: Metric | MetricCollection
    ) -> dict[str, Tensor]:
        """Update `metric` with a batch, and return values of each sample by name, `(N,)`, such as `loss`."""
        raise NotImplementedError

    # What it sees and what it finds.

    def transform(self, train: bool) -> Transform:
        """The transform from `(image, target)` of a data set to what the network sees."""
        raise NotImplementedError

    def datasets(self, source: DataSource) -> tuple[Any, Any]:
        """The training and the validation samples as the network sees them, for loaders with `collate`.

        Raises:
            InputError: the source is not of the kind that the network was made for.
        """
        return source.transformed(self.transform(True), self.transform(False))

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> Sequence[Result]:
        """The result of each image of a batch; `targets` is what the transform noted of the images."""
        raise NotImplementedError

    def find(self, image: Any, target: Mapping[str, Any]) -> Result:
        """The result of one sample of a data set, before any transform."""
        prepared, noted = self.transform(False)(image, {**target, "index": 0})
        with torch.inference_mode():
            (result,) = self.eval().predict(
                prepared[None].to(device_of(self)), {name: [one] for name, one in noted.items()}
            )
        return result

    def truth(self, image: Any, target: Mapping[str, Any]) -> Result:
        """The ground truth of a sample of a data set, as the result that a perfect network would find."""
        raise NotImplementedError

    def write_report(self, report: Report, evaluation: Evaluation, source: DataSource) -> None:
        """Add to the report of a run what is particular to the task."""
        raise NotImplementedError


def backbone_of(task: Task) -> Backbone:
    """The part of a task's network that makes features: the network itself, or its `backbone`."""
    backbone = task.model if isinstance(task.model, Backbone) else task.model.backbone
    assert isinstance(backbone, Backbone)
    return backbone


def frozen(backbone: Backbone, options: Any) -> Backbone:
    """The backbone of which no more is trained than the options say.

    Args:
        backbone: changed in place.
        options: `freeze`, the number of stages that are not trained, the stem first; `freeze_norms`, whether its batch
            normalisations never learn.
    """
    if options.freeze_norms:
        freeze_norms(backbone)
    return backbone.freeze(options.freeze)


def device_of(task: Task) -> torch.device:
    """The device of a task's weights; the CPU for an exported network, which has none."""
    return next((parameter.device for parameter in task.parameters()), torch.device("cpu"))


TASKS: Registry[type[Task]] = Registry(
    "Task", modules=lambda: {name: f"{module}.task" for name, module in task_modules().items()}
)
"""All tasks by name; asking for one imports that one alone."""
