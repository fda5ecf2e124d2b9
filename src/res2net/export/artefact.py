"""The JSON file next to an exported network, with the metadata that are needed to use it."""

from __future__ import annotations

import json
import math
import reprlib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from res2net.errors import InputError, check_choice, check_range, listed
from res2net.export.settings import FORMATS
from res2net.files import read_json
from res2net.options import type_advice
from res2net.task import task_names
from res2net.weights import Preprocessing, atomic_write
from res2net.weights.download import file_hash

TRAINING = {"batch_size": (1, 10**6), "seed": (0, 2**32 - 1), "val_fraction": (0.001, 0.999)}
"""The training settings that an evaluation needs to use the same validation images, with their ranges."""
LARGEST_SIDECAR = 2**24
"""Bytes of the JSON file at most."""
MOST_VALUES = 2**28
"""Values of an input or output of a network at most."""
BESIDE = {".xml": (".bin",), ".onnx": (".onnx.data",)}
"""The endings of the files with the weights that may lie beside the file of a network, by its own ending."""


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
    sha256: Mapping[str, str] = field(default_factory=dict)
    """The SHA-256 of each file of the network by its ending, such as ".xml" and ".bin"; earlier versions wrote none."""

    def write(self, path: Path) -> None:
        """Write the JSON file next to the network's files, with their SHA-256."""
        content = asdict(self) | {"preprocessing": self.preprocessing.to_dict(), "sha256": network_hashes(path)}
        atomic_write(sidecar(path), json.dumps(content, indent=2).encode())


def sidecar(path: Path) -> Path:
    """The path of the JSON file of an exported network."""
    return path.with_name(path.name + ".json")


def network_hashes(path: Path) -> dict[str, str]:
    """The SHA-256 of each file of an exported network, by the ending that replaces the stem's."""
    files = [path, *(path.with_name(path.stem + ending) for ending in BESIDE.get(path.suffix, ()))]
    return {file.name.removeprefix(path.stem): file_hash(file) for file in files if file.is_file()}


def read_artefact(path: str | Path) -> Artefact:
    """Read the metadata of an exported network; raises `InputError` if they are missing or invalid."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no file {path}: give one that `res2net export` wrote.")
    metadata_path = sidecar(path)
    try:
        metadata = read_json(metadata_path, LARGEST_SIDECAR)
        hints = typing.get_type_hints(Artefact)
        fields = {name: metadata[name] for name in hints if name in metadata}
        fields["preprocessing"] = Preprocessing.from_dict(metadata["preprocessing"])
        for name, value in fields.items():
            if advice := type_advice(value, hints[name]):
                raise InputError(f"{name} {reprlib.repr(value)} does not fit: {advice}")
        artefact = Artefact(**fields)
        _check_ranges(artefact)
    except FileNotFoundError:
        raise InputError(f"{metadata_path} is missing, which describes {path}: copy it too, or export again.") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise InputError(f"{metadata_path} is damaged ({reason}): export again.") from error
    return artefact


def check_hashes(path: Path, artefact: Artefact) -> None:
    """Raise `InputError` if a file of a network is not the one that was exported, where the metadata state its hash."""
    stated = artefact.sha256
    found = network_hashes(path) if stated else {}
    different = sorted(ending for ending in {*stated, *found} if stated.get(ending) != found.get(ending))
    if different:
        raise InputError(
            f"{path} is damaged or was changed after its export (the SHA-256 of the file {listed(different)} is not "
            f"the one in {sidecar(path).name}): copy all its files again, or export again."
        )


def _check_ranges(artefact: Artefact) -> None:
    """Raise `InputError` if a number is out of range, so that nothing is made of a size that no machine has."""
    check_choice("Format", artefact.format, FORMATS)
    check_choice("Task", artefact.task, task_names())
    shape = artefact.input_shape
    if not 4 <= len(shape) <= 5 or min(shape) < 1 or math.prod(shape) > MOST_VALUES:
        raise InputError(f"input_shape {reprlib.repr(shape)} does not fit: give up to 2 ** 28 values in all")
    for name, (low, high) in TRAINING.items():
        check_range(name, artefact.training.get(name, low), low, high)
