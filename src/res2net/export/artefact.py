"""What lies beside an exported network: all that is needed to use it, as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from res2net.errors import InputError, check_choice
from res2net.export.settings import FORMATS
from res2net.weights import Preprocessing, atomic_write

__all__ = ["TRAINING", "Artefact", "read_artefact", "sidecar"]

TRAINING = ("batch_size", "seed", "val_fraction")
"""What an evaluation takes from the training, so that it has the same images."""


@dataclass(frozen=True)
class Artefact:
    """An exported network, described.

    It stands in `FILE.json` beside the network's `FILE`.
    """

    format: str
    """One of `FORMATS`."""
    task: str
    model: str
    """Name of the architecture."""
    options: Mapping[str, Any]
    """Of the architecture."""
    input_shape: Sequence[int]
    """`(N, C, H, W)`, images that are prepared as `preprocessing` says."""
    dynamic_batch: bool
    """Whether it takes any number of images, and not N only."""
    outputs: Sequence[str]
    """Names of what comes out: "logits", "heatmaps", "boxes" and so on of a detector, or the stages of a pyramid of
    features."""
    class_names: Sequence[str]
    preprocessing: Preprocessing
    int8: bool = False
    """Whether convolutions are computed in 8-bit integers."""
    agreement: Mapping[str, float] = field(default_factory=dict)
    """How it agreed with the network that it was made from."""
    task_metadata: Mapping[str, Any] = field(default_factory=dict)
    """The options and the facts of the task, as in a checkpoint."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """What an evaluation takes from the training, as in a checkpoint: `batch_size`, `seed`, `val_fraction`."""
    source: str = ""
    """Where the weights come from."""
    licence: str = ""
    version: str = ""
    """Of this library."""

    def write(self, path: Path) -> None:
        """Write it beside the network's file."""
        content = asdict(self) | {"preprocessing": self.preprocessing.to_dict()}
        atomic_write(sidecar(path), lambda file: file.write(json.dumps(content, indent=2).encode()))


def sidecar(path: Path) -> Path:
    """The file that describes an exported network."""
    return path.with_name(path.name + ".json")


def read_artefact(path: str | Path) -> Artefact:
    """The description beside an exported network; `InputError` where there is none or it does not fit."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no file {path}: give one that `res2net export` wrote.")
    beside = sidecar(path)
    try:
        content = json.loads(beside.read_text(encoding="utf-8"))
        fields = {name: content[name] for name in Artefact.__dataclass_fields__ if name in content}
        artefact = Artefact(**fields | {"preprocessing": Preprocessing.from_dict(content["preprocessing"])})
    except FileNotFoundError:
        raise InputError(f"{beside} is missing, which describes {path}: copy it too, or export again.") from None
    except (OSError, ValueError, TypeError, KeyError, InputError) as error:
        raise InputError(f"{beside} is damaged ({error}): export again.") from error
    check_choice("Format", artefact.format, FORMATS)
    for name, valid in VALID.items():
        value = getattr(artefact, name)
        if not valid(value):
            raise InputError(f"{beside} is damaged ({name} {value!r}): export again.")
    return artefact


def is_strings(value: Any) -> bool:
    """Whether a value is a list of strings."""
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def is_shape(value: Any) -> bool:
    """Whether a value is a list of at least three positive sizes."""
    return isinstance(value, list) and len(value) > 2 and all(type(size) is int and size > 0 for size in value)


def is_training(value: Any) -> bool:
    """Whether a value is what an evaluation takes from the training."""
    return isinstance(value, dict) and all(type(value.get(name, 0)) in (int, float) for name in TRAINING)


VALID: dict[str, Callable[[Any], bool]] = {
    "task": lambda value: isinstance(value, str),
    "input_shape": is_shape,
    "dynamic_batch": lambda value: isinstance(value, bool),
    "outputs": is_strings,
    "class_names": is_strings,
    "task_metadata": lambda value: isinstance(value, dict),
    "training": is_training,
}
"""Whether a value is valid, for each field that is relied on."""
