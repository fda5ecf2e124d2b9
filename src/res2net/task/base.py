"""The base class of all tasks: how a task is built, trained, evaluated, and run on images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.images.sources import DataSource
from res2net.images.splits import DataSettings
from res2net.images.transforms import Transform
from res2net.nn import freeze_norms
from res2net.options import from_dict
from res2net.registry import Registry
from res2net.task import task_modules
from res2net.task.inputs import IMAGES, Inputs
from res2net.task.result import Result
from res2net.weights import Checkpoint, Preprocessing
from res2net.weights.load import check_finite
from res2net.zoo import create_model, preprocessing_of

if TYPE_CHECKING:
    from torchmetrics import Metric, MetricCollection

    from res2net.report import Report

CreateBackbone = Callable[..., Backbone]
"""Makes the backbone that the user chose; takes `num_classes`, and where a task asks for them `in_channels` and
`output_stride`."""


@dataclass(frozen=True)
class Evaluation:
    """The outcome of evaluating a task on a data set."""

    metrics: Mapping[str, float]
    """Metrics by name: scores in percent; losses and metrics with a unit unscaled."""
    records: Mapping[str, Tensor]
    """Per-sample values by name, each `(N,)`; `index` holds the index of each sample in the data set."""
    skipped: Sequence[str] = ()
    """Paths of images that could not be read."""
    seconds: float = 0.0
    """How long the evaluation took."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Units of the metrics that are neither a loss nor in percent, such as mm."""


@dataclass(frozen=True)
class Scoring:
    """How to interpret and display the metrics of a task."""

    monitor: str
    """The metric that decides which checkpoint is the best; higher is better."""
    headline: Sequence[str] = ()
    """The metrics printed after each epoch; by default all."""
    lower_is_better: Sequence[str] = ()
    """The metrics for which a lower value is better."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Units of metrics by shell-style patterns of their names; all others are computed from 0 to 1 and shown in
    percent."""
    note: str = ""
    """A condition of the scores that their names leave out, such as "in detected boxes"; shown next to them."""
    samples: str = "images"
    """What the samples are called, in the plural."""

    def unit(self, metric: str) -> str:
        """The unit of a metric; "%" by default."""
        return next((unit for pattern, unit in self.units.items() if fnmatch(metric, pattern)), "%")

    def chance(self, source: DataSource) -> float:
        """The score that a network reaches on the validation samples without learning; -inf if unknown."""
        return 0.0 if self.unit(self.monitor) == "%" else -math.inf

    def score_of_one(self, evaluation: Evaluation) -> tuple[str, float]:
        """Name and value, in percent, of the score of a single sample, given an evaluation of just that sample."""
        return self.monitor, evaluation.metrics[self.monitor]


class Turn(NamedTuple):
    """One of several networks that are updated in turn on each batch, such as a generator and a discriminator."""

    learner: nn.Module
    """The module to update; it has its own optimizer, and all other weights are frozen during its turn."""
    losses: Callable[[Tensor, Mapping[str, Any]], dict[str, Tensor]]
    """Maps images and targets to the terms of its loss by name."""


class Task(nn.Module):
    """A network with its data, losses, metric and results. It is independent of the trainer, command line and runtimes.

    A task is created for a data set (`build`) or from a checkpoint (`restore`); both call `network` to construct the
    model on a backbone. Training minimises `losses`, evaluation calls `validate`, and prediction applies `transform`
    and then `predict`. What `describe` returns for the training data is stored in checkpoints as `facts`.

    Args:
        model: the network; checkpoints store its weights.
        preprocessing: how images are prepared.
        options: an instance of `Options`.
        facts: what `describe` returned for the training data; at least `class_names`.
    """

    name: ClassVar[str]
    """The name of its folder, and of the task on the command line."""
    Options: ClassVar[type[Any]]
    """A dataclass of the options that are specific to this task.

    `Options.adjustable`, where it exists, names the options that may be changed after training.
    """
    inputs: Inputs = IMAGES
    """What kind of samples the task takes, and how they are read."""
    fact_names: ClassVar[Sequence[str]] = ("class_names",)
    """The keys of the dictionary that `describe` returns."""
    scoring: Scoring
    """How to interpret and display its metrics."""

    def __init__(self, model: nn.Module, preprocessing: Preprocessing, options: Any, facts: Mapping[str, Any]) -> None:
        super().__init__()
        self.model = model
        self.preprocessing = preprocessing
        self.options = options
        self.facts = {name: facts[name] for name in self.fact_names if name in facts}
        self.class_names: tuple[str, ...] = tuple(facts["class_names"])

    # Construction.

    @classmethod
    def open(cls, source: str | Path, settings: DataSettings | None = None, options: Any | None = None) -> DataSource:
        """Open the data of the task.

        Args:
            source: a path, or a name such as "shapes".
            settings: how to open it.
            options: an instance of `Options`; only tasks whose options affect what is read use it.

        Raises:
            InputError: there is no such source, or the task does not support its format.
        """
        raise NotImplementedError

    @classmethod
    def describe(cls, source: DataSource) -> dict[str, Any]:
        """The properties of the training data that the network depends on, as JSON values; at least `class_names`."""
        return {"class_names": list(source.class_names)}

    @classmethod
    def network(cls, create: CreateBackbone, options: Any, facts: Mapping[str, Any]) -> nn.Module:
        """Construct the network on a backbone made by `create`, with a newly initialised head.

        Raises:
            InputError: the options, the facts and the backbone do not fit together.
        """
        raise NotImplementedError

    @classmethod
    def build(cls, create: CreateBackbone, source: DataSource, preprocessing: Preprocessing, options: Any) -> Self:
        """Create an untrained task for a data source.

        Raises:
            InputError: the backbone does not have the dimensions of the inputs, or does not fit the task.
        """

        def create_checked(**arguments: Any) -> Backbone:
            backbone = create(**arguments)
            if backbone.dims not in cls.inputs.dims:
                wanted = " or ".join(f"{dims}-D" for dims in cls.inputs.dims)
                raise InputError(
                    f"{backbone.variant_name} is a {backbone.dims}-D network, and the task {cls.name} needs a "
                    f"{wanted} one: choose another with --model."
                )
            return backbone

        facts = cls.describe(source)
        return cls(cls.network(create_checked, options, facts), preprocessing, options, facts)

    @classmethod
    def restore(cls, model: str, checkpoint: Checkpoint | None) -> Self:
        """Restore a trained task from a checkpoint.

        Args:
            model: name of the backbone.
            checkpoint: the weights of the whole network, with the options and the facts in its metadata; None for
                newly initialised weights, which only tasks that need no head accept.

        Raises:
            InputError: the checkpoint belongs to another task, or does not contain the network it describes.
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

        def create(**arguments: Any) -> Backbone:
            return create_model(model, **{**arguments, **metadata["options"]})

        try:
            # First without memory, since the options in a file can describe a network of any size.
            with torch.device("meta"):
                cls.network(create, options, metadata).load_state_dict(checkpoint.tensors, assign=True)
            network = cls.network(create, options, metadata)
            network.load_state_dict(checkpoint.tensors)
        except RuntimeError as error:
            reason = str(error).splitlines()[:2][-1].strip()
            raise InputError(f"{checkpoint.path} does not hold the network it describes ({reason}).") from error
        check_finite(str(checkpoint.path), network.state_dict().items())
        return cls(network, preprocessing_of(checkpoint) or Preprocessing(), options, metadata).eval()

    # Training and evaluation.

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """The terms of the training loss by name; their sum is minimised."""
        raise NotImplementedError

    def turns(self) -> Sequence[Turn]:
        """The networks to update on each batch, in order; by default a single turn for the whole task."""
        return (Turn(self, self.losses),)

    def metric(self) -> Metric | MetricCollection:
        """A new metric for `validate` to update; its `compute` returns a dictionary of numbers."""
        raise NotImplementedError

    def validate(
        self, images: Tensor, targets: Mapping[str, Any], metric: Metric | MetricCollection
    ) -> dict[str, Tensor]:
        """Update `metric` with a batch, and return per-sample values by name, each `(N,)`, such as `loss`."""
        raise NotImplementedError

    # Inputs and predictions.

    def transform(self, train: bool) -> Transform:
        """The transform that maps an `(image, target)` pair of a data set to the input of the network."""
        raise NotImplementedError

    def datasets(self, source: DataSource) -> tuple[Any, Any]:
        """The transformed training and validation samples of a source, for loaders that use `collate`.

        Raises:
            InputError: the source does not fit the network.
        """
        return source.transformed(self.transform(True), self.transform(False))

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> Sequence[Result]:
        """Predict a batch of transformed images; `targets` is the batch of what the transform returned beside them."""
        raise NotImplementedError

    def predict_sample(self, image: Any, target: Mapping[str, Any]) -> Result:
        """Predict a single sample of a data set: apply the evaluation transform, then `predict`."""
        prepared, noted = self.transform(False)(image, {**target, "index": 0})
        with torch.inference_mode():
            (result,) = self.eval().predict(
                prepared[None].to(device_of(self)), {name: [value] for name, value in noted.items()}
            )
        return result

    def truth(self, image: Any, target: Mapping[str, Any]) -> Result:
        """The ground truth of a sample, in the form of the result that a perfect network would predict."""
        raise NotImplementedError

    def write_report(self, report: Report, evaluation: Evaluation, source: DataSource) -> None:
        """Add the sections that are specific to the task to the report of a training run."""
        raise NotImplementedError


def backbone_of(task: Task) -> Backbone:
    """The feature extractor of a task: its network, if that is a backbone, else the network's `backbone`."""
    backbone = task.model if isinstance(task.model, Backbone) else task.model.backbone
    assert isinstance(backbone, Backbone)
    return backbone


def frozen(backbone: Backbone, options: Any) -> Backbone:
    """Freeze the first `freeze` stages of a backbone in place, and with `freeze_norms` all batch normalisations."""
    if options.freeze_norms:
        freeze_norms(backbone)
    return backbone.freeze(options.freeze)


def device_of(task: Task) -> torch.device:
    """The device of a task's weights; the CPU for an exported network, which has none."""
    return next((parameter.device for parameter in task.parameters()), torch.device("cpu"))


TASKS: Registry[type[Task]] = Registry(
    "Task", modules=lambda: {name: f"{module}.task" for name, module in task_modules().items()}
)
"""All tasks by name; a task is imported when it is first looked up."""
