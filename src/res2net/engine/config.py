"""The configuration of a training run, with validation and YAML input and output. Nothing here needs torch."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

import tyro
import yaml

from res2net import files
from res2net.engine.options import Accelerator, BadAnnotations, BadImages, Decode, Precision, options_type
from res2net.errors import InputError, check_options
from res2net.options import check_literals, check_ranges, from_dict
from res2net.registry import modules_of_tasks, task_modules

TaskOptions = TypeVar("TaskOptions")

Optimizer = Literal["sgd", "adam", "adamw", "lamb"]
Schedule = Literal["cosine", "step", "poly", "one-cycle", "constant"]
FALLING = ("cosine", "poly")
"""Schedules that decay throughout the run."""
Logger = Literal["tensorboard", "csv", "mlflow", "wandb"]
"""Where the curves of a run are logged, beside its own metrics.csv."""
RESUMABLE = (
    *("source", "epochs", "patience", "validate_every", "save_minutes", "logger"),
    *("workers", "bad_images", "accelerator"),
)
"""Options that may be given anew when a run is resumed."""


@dataclass(frozen=True)
class ModelConfig:
    """The network."""

    everyday: ClassVar[tuple[str, ...]] = ("model", "weights")
    """The options that the short help shows."""

    model: Annotated[str, tyro.conf.arg(aliases=("--backbone",)), "NAME"] = ""
    """Architecture; `res2net models` lists them. By default that of the weights, otherwise res2net50_26w_4s."""
    weights: Annotated[str | None, "FILE|TAG"] = None
    """Start from published weights ("in1k"), weights that ship (`res2net weights list`), a checkpoint or the folder of
    a run instead of from scratch; of a network of another task its backbone is taken."""
    adapt_classifier: bool = False
    """Start a new classifier where the weights have another number of classes."""
    adapt_input: bool = False
    """Change the first convolution where the weights are for another number of channels."""
    options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Options of the architecture, as pairs: `--options scale 8 base_width 14 drop_path_rate 0.1`."""


@dataclass(frozen=True)
class DataConfig:
    """The images and their batches."""

    everyday: ClassVar[tuple[str, ...]] = ("batch_size", "size", "val_fraction", "workers")

    batch_size: int = 64
    """Images per step."""
    size: int | tuple[int, int] | None = None
    """Side of the square that the network sees, or height and width for tasks with random crops, pixels; by default
    what suits the task, the weights or the data."""
    val_fraction: float = 0.2
    """Share kept for validation of data that have no split."""
    train_split: str | None = None
    """Name of the split to train on; by default the one whose name says so."""
    val_split: str | None = None
    """Name of the split to validate on; by default the one whose name says so, else the test split. If it is the
    split to train on, `val_fraction` of that is held out."""
    bad_images: BadImages = "stop"
    """At an image that cannot be read, stop, or skip and count it."""
    decode: Decode = "full"
    """Decode JPEG files in full, or scaled to the size that is needed: faster for large photos, with nearly the same
    pixels."""
    workers: int | None = None
    """Processes that load images; by default one for each processor but one, and none for images in memory."""
    bad_annotations: BadAnnotations = "stop"
    """At annotations that cannot be right, stop and count them, or skip them."""
    overfit: int = 0
    """Train and validate on the first N images, to check that the network can learn; 0 is off."""
    in_channels: Literal[1, 3, 4] | None = None
    """Channels that the network sees: 1 makes images grey, 3 is colour, 4 adds transparency where the task knows it; by
    default as the weights or the data."""


@dataclass(frozen=True)
class OptimConfig:
    """Optimisation."""

    everyday: ClassVar[tuple[str, ...]] = ("epochs", "optimizer", "lr", "schedule")

    epochs: int = 30
    """Passes over the training images."""
    optimizer: Optimizer = "sgd"
    """The optimizer; weight decay is part of the gradient in adam, and decoupled in adamw."""
    lr: float = 0.05
    """Learning rate after warm-up."""
    weight_decay: float = 1e-4
    """Weight decay."""
    decay_all: bool = True
    """Decay biases and normalisations too, as in the paper's recipe."""
    momentum: float = 0.9
    """Momentum of sgd."""
    nesterov: bool = False
    """Use Nesterov momentum with sgd."""
    schedule: Schedule = "cosine"
    """How the learning rate changes over the run."""
    warmup: float = 0.0
    """Epochs in which the learning rate rises linearly, before the schedule (one-cycle: within it)."""
    step_epochs: int = 30
    """Epochs between two steps of the schedule step."""
    milestones: tuple[int, ...] = ()
    """Epochs after which the schedule step makes a step, in place of --step-epochs."""
    step_factor: float = 0.1
    """Factor of the learning rate at a step."""
    poly_power: float = 0.9
    """Power of the schedule poly: the learning rate is multiplied by the remaining share of the run to this power."""
    accumulate: int = 1
    """Batches whose gradients are summed for one update."""
    clip: float = 0.0
    """Maximum norm of the gradient; 0 does not clip."""
    ema: float = 0.0
    """Decay of the moving average of the weights that is evaluated and saved, such as 0.999; 0 is off."""
    betas: tuple[float, float] | None = None
    """Betas of adam, adamw and lamb; by default 0.9 and 0.999, where one-cycle moves the first against the learning
    rate."""
    hold: float = 0.0
    """Epochs at the full learning rate after warm-up, before cosine or poly begins to decay."""
    lr_end: float = 0.0
    """Final learning rate of cosine and poly, as a share of --lr."""


@dataclass(frozen=True)
class TrainConfig(Generic[TaskOptions]):
    """A training run."""

    everyday: ClassVar[tuple[str, ...]] = ("source", "seed", "precision", "accelerator", "out")

    task_name: Annotated[str, tyro.conf.Suppress]
    source: tyro.conf.Positional[str]
    """The data set: a path, or the name of an embedded one."""
    task: TaskOptions
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    seed: int = 0
    """Seed of all random numbers."""
    precision: Precision = "fp32"
    """Full precision, or mixed precision."""
    channels_last: bool = True
    """Keep images in memory as (N, H, W, C), which is faster nearly everywhere."""
    compile: bool = False
    """Compile the network with torch.compile."""
    accelerator: Accelerator = "auto"
    """The device to train on."""
    out: Annotated[str | None, "FOLDER"] = None
    """Folder of the run; by default runs/MODEL-SOURCE-NUMBER."""
    validate_every: int = 1
    """Evaluate after every N epochs, and after the last."""
    patience: int = 0
    """Stop early after N evaluations in a row without a better score; 0 is off."""
    save_minutes: float = 30.0
    """Save the state within an epoch when the last save is this many minutes ago, beside the saves after each epoch."""
    logger: Logger = "tensorboard"
    """Where the curves are logged, beside metrics.csv; mlflow and wandb need the package of that name."""

    def __post_init__(self) -> None:
        optim, data = self.optim, self.data
        for options in (self, data, optim):
            check_literals(options)
        check_ranges(optim, epochs=(1, 10**6), lr=(1e-12, 1e6), weight_decay=(0, 1e6), momentum=(0, 1))
        check_ranges(optim, warmup=(0, optim.epochs), hold=(0, optim.epochs - optim.warmup), lr_end=(0, 1))
        check_ranges(optim, betas=(0, 0.999999), step_epochs=(1, 10**6), step_factor=(0, 1), poly_power=(0.01, 100))
        check_ranges(optim, accumulate=(1, 10**6), clip=(0, 1e12), ema=(0, 1))
        check_ranges(data, batch_size=(1, 10**6), size=(8, 8192), val_fraction=(0.001, 0.999))
        check_ranges(data, workers=(0, 1024), overfit=(0, 10**9))
        check_ranges(self, seed=(0, 2**32 - 1), validate_every=(1, 10**6), patience=(0, 10**6))
        check_ranges(self, save_minutes=(0.01, 10**6))
        _check_schedule(optim)


def _check_schedule(optim: OptimConfig) -> None:
    """Raise `InputError` if an option does not apply to the optimizer, the schedule or the number of epochs."""
    given = optim.milestones
    shown = ", ".join(map(str, given))
    if given and optim.schedule != "step":
        raise InputError(f"Milestones {shown} apply to the schedule step, and this is {optim.schedule}: leave out one.")
    if any(later <= earlier for earlier, later in pairwise((0, *given))) or any(one >= optim.epochs for one in given):
        raise InputError(
            f"Milestones {shown} do not fit a run of {optim.epochs} epochs: give rising numbers from 1 to "
            f"{optim.epochs - 1}."
        )
    if optim.betas is not None and optim.optimizer == "sgd":
        raise InputError(
            f"--betas {' '.join(map(str, optim.betas))} applies to adam, adamw and lamb, and the optimizer is sgd: add "
            "--betas None."
        )
    for option, value in (("--hold", optim.hold), ("--lr-end", optim.lr_end)):
        if value and optim.schedule not in FALLING:
            raise InputError(
                f"{option} applies to the schedules {' and '.join(FALLING)}, and this is {optim.schedule}: leave out "
                "one."
            )


def override(config: TrainConfig[Any], options: Mapping[str, Any]) -> TrainConfig[Any]:
    """Change options of the run, the network, the data, the optimisation and the task in a copy of a configuration.

    They have their names on the command line, as in `{"model": "resnet50", "epochs": 10, "size": 224}`. Raises
    `InputError` if an option does not exist, or its value is invalid.
    """
    groups = dict(_groups_of(config)) | {"backbone": ("model",)}
    hidden = ("task_name", "task", "data", "optim")
    check_options(f"A run of {config.task_name}", options, [name for name in groups if name not in hidden])
    values = dataclasses.asdict(config)
    for name, value in options.items():
        group = values
        for key in groups[name]:
            group = group[key]
        group["model" if name == "backbone" else name] = value
    return from_values(values, "The run")


def _groups_of(options: Any, *groups: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The groups that each option is in, outermost first; an option follows a group of the same name."""
    for entry in dataclasses.fields(options):
        yield entry.name, groups
        value = getattr(options, entry.name)
        if dataclasses.is_dataclass(value):
            yield from _groups_of(value, *groups, entry.name)


def default_config(task: str, source: str = "", options: Any = None) -> TrainConfig[Any]:
    """The configuration that a run of a task starts from if neither a file nor a recipe is given.

    A task states its usual size, batch, optimizer and learning rate in the function `defaults` of its `recipes.py`,
    which takes the options of the task. Embedded data sets keep their own size.

    Args:
        task: the name of the task.
        source: the data set, where it is known.
        options: the options of the task; by default each has its default.

    Raises:
        InputError: there is no such task.
    """
    options = options_type(task)() if options is None else options
    module = f"{task_modules()[task]}.recipes"
    usual = None
    if module in modules_of_tasks("recipes.py"):
        usual = getattr(importlib.import_module(module), "defaults", None)
    config: TrainConfig[Any] = TrainConfig(task, "", options) if usual is None else usual(options)
    is_embedded = False
    if source:
        from res2net.images.sources import SOURCES, split_counts  # needs torch

        is_embedded = split_counts(source)[0] in SOURCES
    data = replace(config.data, size=None) if is_embedded else config.data
    return replace(config, source=source, data=data)


def size_and_options(config: TrainConfig[Any]) -> tuple[int | None, Any]:
    """The side of the square that a network sees, and the options of its task, with a height and width as the crop.

    Raises:
        InputError: the task takes no height and width, or has another crop.
    """
    size, options = config.data.size, config.task
    if not isinstance(size, tuple):
        return size, options
    height, width = size
    if height == width:
        return height, options
    entry = next((one for one in dataclasses.fields(options) if one.name == "crop"), None)
    if entry is None:
        about = getattr(options, "size_help", "One number.")
        raise InputError(
            f"--size {height} {width} does not fit the task {config.task_name}: give {about[0].lower()}{about[1:]}"
        )
    if options.crop not in (entry.default, size):
        raise InputError(f"--size {height} {width} and --crop {' '.join(map(str, options.crop))} differ: give one.")
    return max(size), replace(options, crop=size)


def read_config(path: str | Path, task: str | None = None) -> TrainConfig[Any]:
    """Read a configuration from a YAML file; options that it leaves out have their defaults.

    Raises `InputError` if the file cannot be read, is for another task than `task`, or has an invalid option.
    """
    values = {"task_name": task or "classify", "source": "", "task": {}} | read_yaml(path)
    check_task(f"The configuration {path}", values["task_name"], task)
    return from_values(values, f"The configuration {path}")


def check_source(config: TrainConfig[Any]) -> None:
    """Raise `InputError` if a configuration has no source, as those of recipes for data of the user."""
    if not config.source:
        raise InputError("SOURCE is missing: give a path, or the name of an embedded data set such as shapes.")


def check_task(what: str, found: str, task: str | None) -> None:
    """Raise `InputError` unless what was found is for the task, which is None where any will do."""
    if task not in (None, found):
        raise InputError(f"{what} is for the task {found}, not for {task}: name the task {found} instead.")


def from_values(values: dict[str, Any], where: str) -> TrainConfig[Any]:
    """Build a configuration from plain values; `where` says what holds them, for the messages of `InputError`."""
    kind: Any = TrainConfig[options_type(values["task_name"])]  # type: ignore[misc]
    config: TrainConfig[Any] = from_dict(kind, values, where)
    return config


def to_yaml(config: Any) -> str:
    """Convert a configuration to YAML, with all values written out."""
    return yaml.safe_dump(dataclasses.asdict(config), sort_keys=False)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read the values of a YAML file; raises `InputError` if it cannot be read or is not a mapping."""
    try:
        values = files.read_yaml(path)
    except OSError as error:
        raise InputError(f"Cannot read the configuration {path} ({error.strerror}): check the path.") from error
    except ValueError as error:
        raise InputError(f"The configuration {path} is not YAML ({error}): fix it.") from error
    if not isinstance(values, dict):
        raise InputError(f"The configuration {path} holds no options: write lines such as `seed: 1`.")
    return values
