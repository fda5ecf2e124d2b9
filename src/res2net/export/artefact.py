"""The JSON file next to an exported network, with the metadata that are needed to use it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from res2net.errors import InputError, check_choice
from res2net.export.settings import FORMATS
from res2net.weights import Preprocessing, atomic_write

TRAINING = ("batch_size", "seed", "val_fraction")
"""The training settings that an evaluation needs to use the same validation images."""


@dataclass(frozen=True)
class Artefact:
    """The metadata of an exported network, stored in `FILE.json` next to the network's `FILE`."""

    format: str
    """One of `FORMATS`."""
    task: str
    model: str
    """Name of the architecture."""
    options: Mapping[str, Any]
    """Options of the architecture."""
    input_shape: Sequence[int]
    """Shape of the input, `(N, C, H, W)`, with images prepared by `preprocessing`."""
    dynamic_batch: bool
    """Whether the network accepts batches of any size instead of N only."""
    outputs: Sequence[str]
    """Names of the outputs, such as "logits", "heatmaps" or "boxes", or the names of the stages of a feature
    pyramid."""
    class_names: Sequence[str]
    preprocessing: Preprocessing
    int8: bool = False
    """Whether the network is quantized to 8-bit integers."""
    agreement: Mapping[str, float] = field(default_factory=dict)
    """How closely its outputs matched those of the original network."""
    task_metadata: Mapping[str, Any] = field(default_factory=dict)
    """The options and facts of the task, as in a checkpoint; may be empty."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """The training settings that an evaluation needs: `batch_size`, `seed`, `val_fraction`; and `data`, the
    fingerprints of the samples that were trained and validated on."""
    source: str = ""
    """Where the weights come from."""
    licence: str = ""
    version: str = ""
    """Version of this library."""

    def write(self, path: Path) -> None:
        """Write the JSON file next to the network's file."""
        content = asdict(self) | {"preprocessing": self.preprocessing.to_dict()}
        atomic_write(sidecar(path), json.dumps(content, indent=2).encode())


def sidecar(path: Path) -> Path:
    """The path of the JSON file of an exported network."""
    return path.with_name(path.name + ".json")


def read_artefact(path: str | Path) -> Artefact:
    """Read the metadata of an exported network; raises `InputError` if they are missing or invalid."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no file {path}: give one that `res2net export` wrote.")
    metadata_path = sidecar(path)
    try:
        metadata = json.loads(metadata_path.read_text(encoding="utf-8"))
        fields = {name: metadata[name] for name in Artefact.__dataclass_fields__ if name in metadata}
        artefact = Artefact(**fields | {"preprocessing": Preprocessing.from_dict(metadata["preprocessing"])})
    except FileNotFoundError:
        raise InputError(f"{metadata_path} is missing, which describes {path}: copy it too, or export again.") from None
    except (OSError, ValueError, TypeError, KeyError, InputError) as error:
        raise InputError(f"{metadata_path} is damaged ({error}): export again.") from error
    check_choice("Format", artefact.format, FORMATS)
    for name, is_valid in VALIDATORS.items():
        value = getattr(artefact, name)
        if not is_valid(value):
            raise InputError(f"{metadata_path} is damaged ({name} {value!r}): export again.")
    return artefact


def is_strings(value: Any) -> bool:
    """Whether a value is a list of strings."""
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


VALIDATORS: dict[str, Callable[[Any], bool]] = {
    "task": lambda value: isinstance(value, str),
    "input_shape": lambda value: (
        isinstance(value, list) and len(value) > 2 and all(type(size) is int and size > 0 for size in value)
    ),
    "dynamic_batch": lambda value: isinstance(value, bool),
    "outputs": is_strings,
    "class_names": is_strings,
    "task_metadata": lambda value: isinstance(value, dict),
    "training": lambda value: (
        isinstance(value, dict) and all(type(value.get(name, 0)) in (int, float) for name in TRAINING)
    ),
}
"""Checks of the fields that the code relies on, by name."""
