"""What a row of the ledger is: a published table or figure, the commands that repeat it, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from res2net.engine.config import TrainConfig
from res2net.engine.recipes import RECIPES, applicable
from res2net.errors import InputError
from res2net.registry import Registry

Scale = Literal["small", "full"]
SEEDS = (0, 1, 2)
"""The seeds of small runs."""
UPDATES = 3
"""Cost of learning from an image, in forward passes: the backward pass takes two."""
RATE = 60e12
"""Floating-point operations per second that a GPU is assumed to reach in training: a fifth of an A100's 312e12."""


@dataclass(frozen=True)
class Metric:
    """A number that a table publishes, and the one of ours that compares with it."""

    heading: str
    """What the table calls it, such as "top-1 error"."""
    ours: str = ""
    """Our metric, such as "top1"; empty where nothing of ours compares with it."""
    is_error: bool = False
    """Published as what is missing to 100 % of ours."""
    lower_is_better: bool = False

    def published_from(self, value: float) -> float:
        """Convert a value of ours, in percent, to what the table would print."""
        return 100 - value if self.is_error else value


@dataclass(frozen=True)
class Entry:
    """A network in a table."""

    label: str
    """What the table calls it."""
    model: str
    """Its name here, with options as `NAME:OPTION=VALUE`; empty if this library does not have it."""
    published: tuple[float | None, ...]
    """The published values, in the order of the metrics of the experiment."""
    options: str = ""
    """Further options of the command that trains it, such as `--epochs 24`."""
    recipe: str = ""
    """The recipe at full scale, where it is not that of the experiment."""
    weights: str = ""
    """Tag of published weights with which `res2net eval` checks the published values without training."""
    note: str = ""


@dataclass(frozen=True)
class Full:
    """The runs at full scale."""

    recipe: str
    """The recipe, which trains every network of the experiment."""
    source: str
    """Where the data are, as a placeholder for the path of the user."""
    images: int
    """Training samples of an epoch."""
    size: tuple[int, ...]
    """Height and width of a training sample (with the depth before for volumes), pixels."""
    classes: int
    channels: int = 3
    """Channels of a sample; clicks add three maps to the colours."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """What the network's heads depend on beside the classes."""
    options: str = ""
    """Further options of the command, such as `--epochs 24`."""
    then: tuple[str, ...] = ()
    """Commands that evaluate the trained networks on the data of the table, where these are not those of the recipe."""


@dataclass(frozen=True)
class Small:
    """Runs of minutes on 2 cores that compare networks of the same cost."""

    recipe: str
    models: tuple[str, ...]
    """The networks, with options of the architecture as `NAME:OPTION=VALUE`; the first is the one to compare with."""
    metrics: tuple[str, ...]
    """Metrics to record, the most important first."""
    options: str = ""
    """Further options of the recipe."""
    source: str = ""
    """A placeholder for the path of the user, where the data are not embedded."""
    says: str = ""
    """What the runs show, and what they cannot show."""
    study: str = ""
    """Name of the recorded study that has these networks in longer runs with more seeds, if there is one."""
    maps: tuple[str, ...] = ()
    """Scores of the activation maps of the best weights that are recorded too, those of `res2net cam score`."""

    @property
    def shown(self) -> tuple[str, ...]:
        """Everything that is recorded, the most important first."""
        return self.maps + self.metrics


@dataclass(frozen=True)
class Experiment:
    """A published table or figure."""

    origin: str
    """Where it is published, such as "paper, Table 4"."""
    title: str
    metrics: tuple[Metric, ...]
    entries: tuple[Entry, ...]
    full: Full | None = None
    """None where this library has no such task yet; `missing` says what."""
    small: Small | None = None
    like: str = ""
    """The experiment whose small runs are those of this one, too."""
    show: str = ""
    """The command that draws it, for figures."""
    claim: str = ""
    """What is published where it is no number."""
    headline: tuple[int, int] = (0, 1)
    """The two networks that stand for the table in the list, a plain one and a Res2Net."""
    notes: tuple[str, ...] = ()
    """Faults of what is published with the evidence, and what is not known."""
    missing: str = ""
    """Why it cannot be repeated at full scale, or at all."""

    def recipe_of(self, entry: Entry) -> str:
        """The recipe at full scale of a network; empty without one."""
        return entry.recipe or (self.full.recipe if self.full else "")

    def config_of(self, entry: Entry) -> TrainConfig[object]:
        """The configuration of the recipe of a network, without the options that the command adds."""
        return RECIPES[self.recipe_of(entry)].configure()

    def command(self, entry: Entry) -> str:
        """The command that trains a network at full scale; empty if there is none."""
        if self.full is None or not entry.model:
            return ""
        model = self.config_of(entry).model
        name, *pairs = entry.model.split(":")
        words = ["res2net train --recipe", self.recipe_of(entry), self.full.source]
        if name != model.model:
            words += ["--model", name]
        if pairs:
            words += ["--options", *(pair.replace("=", " ") for pair in pairs)]
        if model.weights and not has_weights(name, model.weights):
            words += ["--weights", f"PATH/TO/{name}.pth"]
        return " ".join(word for word in (*words, self.full.options, entry.options) if word)

    def networks(self) -> list[Entry]:
        """The networks that this library has."""
        return [entry for entry in self.entries if entry.model]

    def check(self, entry: Entry) -> str:
        """The command that evaluates published weights of a network; empty if there are none."""
        if not entry.weights or self.full is None:
            return ""
        return f"res2net eval {self.full.source} --model {entry.model} --weights {entry.weights}"


ROWS = ("classification", "tasks", "figures", "page")
LEDGER: Registry[Experiment] = Registry(
    "Recipe, table or figure", modules=lambda: [f"res2net.recipes.ledger.rows.{name}" for name in ROWS]
)
"""All experiments by name, those of the paper first."""


def has_weights(model: str, tag: str) -> bool:
    """Whether weights of a model are published with this tag."""
    from res2net.weights import records  # needs torch

    return any(record.tag == tag for record in records(model))


def small_of(name: str) -> tuple[str, Small | None]:
    """The small runs of an experiment, and the name of the experiment that they belong to.

    Raises:
        InputError: there is no such experiment.
    """
    owner = LEDGER[name].like or name
    return owner, LEDGER[owner].small


def small_command(name: str) -> str:
    """The command of the small runs of an experiment; empty if there are none."""
    owner, small = small_of(name)
    return "" if small is None else f"res2net reproduce {owner} --scale small {small.source}".rstrip()


def gpu_hours(macs: int, images: int, epochs: int) -> float:
    """Estimate the hours on one GPU: forward multiply-accumulates of an image, images of an epoch, and epochs."""
    return 2 * macs * UPDATES * images * epochs / RATE / 3600


def arms_of(base: TrainConfig[Any], models: Sequence[str]) -> dict[str, TrainConfig[Any]]:
    """A configuration for each model, written as `NAME` or `NAME:OPTION=VALUE:...`; see `res2net.recipes.study`.

    Of the options that the base has for its own model, each takes those that it knows.
    """
    from res2net.recipes.study import models_of  # needs torch

    arms: dict[str, TrainConfig[Any]] = {}
    for text in models:
        own = applicable(base.model.options, text.partition(":")[0])
        arms |= models_of(replace(base, model=replace(base.model, options=own)), [text])
    return arms


def find_entries(experiment: Experiment, models: Sequence[str]) -> list[Entry]:
    """The networks of an experiment by their names here or in the table; all that this library has if none are named.

    Raises:
        InputError: a name is not among them.
    """
    known = experiment.networks()
    if not models:
        return known
    names = {entry.label: entry for entry in known} | {entry.model: entry for entry in known}
    if unknown := [name for name in models if name not in names]:
        raise InputError(f"There is no {unknown[0]!r} in the table: choose among {', '.join(e.label for e in known)}.")
    return [names[name] for name in models]
