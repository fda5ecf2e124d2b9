"""A safe reader of checkpoint files of any origin: no code from them is run."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from res2net.errors import InputError, nearest
from res2net.weights.pickles import RefusedError, read_pickle
from res2net.weights.save import METADATA_KEY

__all__ = ["Checkpoint", "read_checkpoint"]

# Keys under which training programs store the tensors; averaged weights come first, as in timm.
ENTRIES = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model_state", "model", "params", "weights")
# Prefixes that wrappers add to all names: data parallel training, compilation, Lightning modules.
PREFIXES = ("module.", "_orig_mod.", "task.", "model.", "net.", "network.")
# The first bytes of files of torch 1.6 and later, and of earlier ones; other pickles are of other programs.
TORCH_STARTS = (b"PK\x03\x04", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.")


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file, by name, and its metadata."""

    tensors: dict[str, Tensor]
    metadata: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None
    """The file that was read; None for a checkpoint made in memory."""


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a safetensors file, a file of `torch.save`, or a pickle of NumPy arrays such as `.pdparams`.

    The content, not the suffix, determines the format. No code from the file is ever run.

    The state dict is taken out of the containers of training programs, and prefixes that all its names share are
    removed; files of `save` come back exactly. The metadata is that of `save`, or the plain values (`epoch`, `arch`,
    ...) that a training program stored beside the tensors.

    Raises:
        InputError: the file is missing, damaged, incomplete, not a checkpoint, or contains more than tensors.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder: give the checkpoint file in it.") from error
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}: {_neighbour(path)}") from error
    except OSError as error:
        raise InputError(f"Cannot read {path} ({error.strerror}): check its permissions.") from error
    if not start:
        raise InputError(f"{path} is empty: download or save it again.")
    if path.suffix == ".safetensors" or start[8:9] == b"{":
        return _read_safetensors(path)
    if start[:1] == b"\x80" and not start.startswith(TORCH_STARTS):
        return _read_pickle(path)
    return _read_torch(path)


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise _unreadable(path) from error
    if not tensors:
        raise InputError(f"{path} contains no tensors: give a file with the weights of a network.")
    if METADATA_KEY in header:
        return Checkpoint(tensors, _json_object(header[METADATA_KEY]), path)
    return Checkpoint(_without_prefixes(tensors), {}, path)


def _read_torch(path: Path) -> Checkpoint:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they concern the author of the file, not its reader
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types of exception for damaged files
        if refused := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise _objects(path, refused[1]) from error
        raise _unreadable(path) from error
    return _checkpoint(path, content)


def _read_pickle(path: Path) -> Checkpoint:
    try:
        content = read_pickle(path)
    except RefusedError as error:
        raise _objects(path, str(error)) from error
    except Exception as error:  # a damaged pickle can raise anything
        raise _unreadable(path) from error
    return _checkpoint(path, content)


def _checkpoint(path: Path, content: object) -> Checkpoint:
    metadata = {}
    if isinstance(content, dict):
        metadata = {name: value for name, value in content.items() if isinstance(value, str | int | float)}
    return Checkpoint(_without_prefixes(_tensors(path, content)), metadata, path)


def _tensors(path: Path, content: object) -> dict[str, Tensor]:
    """The state dict within the content of a file."""
    while isinstance(content, dict):
        inner = next((content[name] for name in ENTRIES if isinstance(content.get(name), dict)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path} contains no named tensors: give a file with the state_dict() of a network.")
    for name, value in content.items():
        if not isinstance(value, Tensor) or not isinstance(name, str):
            raise InputError(
                f"{path} contains {type(value).__name__} {name!r} among its tensors: save only the network's "
                "state_dict()."
            )
    return {name: value.detach() for name, value in content.items()}


def _without_prefixes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # A compiled part of a network has this prefix in the middle of its names.
    names = {name: name.replace("_orig_mod.", "") for name in tensors}
    while prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in names.values())), None):
        names = {name: short.removeprefix(prefix) for name, short in names.items()}
    return {short: tensors[name] for name, short in names.items()}


def _json_object(text: str) -> dict[str, Any]:
    """The metadata in JSON, or nothing: what another program wrote under our key is no reason to reject the tensors."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _objects(path: Path, name: str) -> InputError:
    return InputError(
        f"{path} contains Python objects ({name}) that could run code, so it is not read: save only the network's "
        "state_dict() where the file was made."
    )


def _unreadable(path: Path) -> InputError:
    return InputError(f"{path} is damaged, incomplete or not a checkpoint: download or save it again.")


def _neighbour(path: Path) -> str:
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist."
    files = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    return nearest(path.name, files) or "no file in its folder has a similar name."
