"""The state of training in `last.ckpt`: written whole with a checksum, read without running code, and checked."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from torch import Tensor

from res2net.errors import InputError, check_range
from res2net.options import from_dict
from res2net.weights import atomic_write

VERSION = 1
"""The version of the state; it changes where a state of an earlier one cannot be resumed from."""
COMMENT = 64
"""Length of the comment of the zip archive: the SHA-256 of all bytes before the comment and its length."""


@dataclass(frozen=True)
class RunRecord:
    """What tells a run from others: its identity, configuration and data."""

    id: str
    """Random hexadecimal digits."""
    config: dict[str, Any]
    """The configuration as plain values."""
    facts: dict[str, Any]
    """What the network depends on in the data, such as the names of the classes in order."""
    preprocessing: dict[str, Any]
    """How images are prepared."""
    model: dict[str, Any]
    """Name and options of the backbone, which started from weights that may be gone."""
    train: dict[str, Any]
    """Count and digest of the training samples."""
    val: dict[str, Any]
    """Count and digest of the validation samples."""
    version: int = VERSION


@dataclass(frozen=True)
class Place:
    """Where the loader goes on."""

    epoch: int
    """The epoch, from 0."""
    batch: int
    """The batch within the epoch, from 0."""


@dataclass
class Counters:
    """The table of epochs, and the counters of the current one."""

    rows: Sequence[dict[str, float]] = ()
    """The metrics of each epoch that was evaluated, or passed without an evaluation."""
    best: dict[str, float] = field(default_factory=dict)
    """The row of the best score; empty before the first."""
    loss: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    """Sum of the losses of the batches, a float64 scalar."""
    images: int = 0
    """Number of images that were trained on."""
    batches: int = 0
    """Number of batches that were trained on."""
    seconds: float = 0.0
    """Time of training."""
    lr: float = 0.0
    """The learning rate of the last update of the epoch."""
    pending: bool = False
    """Whether the epoch is trained, and its evaluation has not ended."""


@dataclass(frozen=True)
class RandomStates:
    """The states of torch's random number generators."""

    cpu: Tensor
    cuda: Sequence[Tensor] = ()


PARTS = {"run": RunRecord, "place": Place, "res2net": Counters, "random": RandomStates}
"""The parts of the state that are not Lightning's, and what they hold."""
OF_LIGHTNING = {
    "pytorch-lightning_version": str,
    "epoch": int,
    "global_step": int,
    "state_dict": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
    "loops": dict,
    "callbacks": dict,
}


class AtomicCheckpointIO(CheckpointIO):
    """Writes the state of a run atomically with a checksum, and reads it without executing code from the file."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write `checkpoint` to `path`; if that fails, for example on a full disk, the previous file is kept."""
        buffer = io.BytesIO()  # torch's writer ends in errors of its own where a disk is full
        torch.save(checkpoint, buffer)
        atomic_write(path, with_checksum(buffer.getvalue()))

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None) -> dict[str, Any]:
        """Read what `save_checkpoint` wrote."""
        return read_state(path)

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the file."""
        Path(path).unlink(missing_ok=True)


def with_checksum(archive: bytes) -> bytes:
    """Put the SHA-256 of a zip archive without a comment into its comment, so that it stays an archive."""
    content = archive[:-2] + COMMENT.to_bytes(2, "little")
    return content + hashlib.sha256(content).hexdigest().encode()


def read_state(path: Path | str) -> dict[str, Any]:
    """Read the state of a run.

    Raises:
        InputError: the file is damaged, is of another version, or lacks a part or has one of another type.
    """
    path = Path(path)
    advice = f"start a new run with --weights {path.with_name('best.safetensors')}"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read {path} ({error.strerror}): check the path and its permissions.") from error
    if hashlib.sha256(data[:-COMMENT]).hexdigest().encode() != data[-COMMENT:]:
        bare = data.endswith(b"\0\0") and zipfile.is_zipfile(io.BytesIO(data))
        wrong = "it has no checksum, as those of version 0.1.0, which finishes such runs" if bare else "wrong checksum"
        raise InputError(f"{path} is damaged or not the state of a run ({wrong}): {advice}.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("torch compresses nothing")
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever is wrong in the file, the answer is the same
        raise InputError(f"{path} is damaged or not the state of a run: {advice}.") from error
    if not isinstance(state, dict):
        raise InputError(f"{path} is not the state of a run: give the folder that `res2net train` wrote.")
    version = state["run"].get("version") if isinstance(state.get("run"), dict) else None
    if version != VERSION:
        raise InputError(f"{path} is of version {version} of the state, and this program reads {VERSION}: {advice}.")
    if fault := _fault(state):
        raise InputError(f"{path} is not the state of a run ({fault}): {advice}.")
    return state


def _fault(state: dict[str, Any]) -> str:
    """The first part of a state that is missing, of another type or out of range; an empty string if there is none."""
    for name, kind in OF_LIGHTNING.items():
        if not isinstance(state.get(name), kind):
            return f"{name} is missing or of another type"
    try:
        for name, kind in PARTS.items():
            names = {entry.name for entry in fields(kind)}
            if not isinstance(state.get(name), dict) or state[name].keys() != names:
                return f"the part {name} lacks something or has too much"
            from_dict(kind, state[name], f"The part {name}")
        model = state["run"]["model"]
        if not isinstance(model.get("model"), str) or not isinstance(model.get("options"), dict):
            return "the part run names no backbone"
        place, counters, random = (state[name] for name in ("place", "res2net", "random"))
        counts = {name: counters[name] for name in ("images", "batches", "seconds", "lr")}
        for name, value in (place | counts).items():
            check_range(name, value, 0)
    except InputError as error:
        return str(error).rstrip(".")
    try:
        torch.Generator().set_state(random["cpu"])
    except (RuntimeError, TypeError):
        return "the random state is not one"
    if not counters["loss"].isfinite().all():
        return "the loss is no number"
    same = [(counters["loss"], Counters().loss), (random["cpu"], torch.get_rng_state())]
    if any(found.shape != expected.shape or found.dtype != expected.dtype for found, expected in same):
        return "counters or random states have another shape or type"
    return ""


def part(state: dict[str, Any], name: str) -> Any:
    """A part of a state that `read_state` returned, as an object of its type in `PARTS`."""
    return PARTS[name](**state[name])
