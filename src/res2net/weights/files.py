"""Files of checkpoints: a safe reader for any origin, which runs no code from them, and atomic writing."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

from res2net.errors import InputError, nearest
from res2net.files import check_regular
from res2net.weights.metadata import DIGEST_KEY, METADATA_KEY, check_digest, check_metadata, digest, fitting_metadata
from res2net.weights.pickles import RefusedError, read_pickle
from res2net.weights.shipped import find_shipped
from res2net.weights.torch_files import Other, StoredTensor, TorchFile

# Keys under which training programs store the tensors; averaged weights come first, as in timm.
ENTRIES = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model_state", "model", "params", "weights")
# Prefixes that wrappers add to all names: data parallel training, compilation, Lightning modules.
PREFIXES = ("module.", "_orig_mod.", "task.", "model.", "net.", "network.")
# The first bytes of files of torch 1.6 and later, and of earlier ones; other pickles are of other programs.
TORCH_STARTS = (b"PK\x03\x04", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.")


BEST = "best.safetensors"
"""The file with the best weights in the folder of a run."""
LAST = "last.safetensors"
"""The file with the last weights, which is used where none are the best since no score was a number."""
EXPORTED = (".onnx", ".onnx.json", ".xml", ".xml.json", ".pt2", ".pt2.json")
"""Endings of exported networks and their descriptions, which hold no weights that can be loaded."""
DEEPEST_ENTRY = 4
"""How deep the tensors may lie inside of these keys."""


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file, by name, and its metadata."""

    tensors: dict[str, Tensor]
    metadata: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None
    """The file that was read; None for a checkpoint made in memory."""


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a safetensors file, a file of `torch.save`, or a pickle of NumPy arrays such as `.pdparams`.

    The folder of a run stands for its best weights, and the name of weights that ship for these. The content, not the
    suffix, determines the format. No code from the file is ever run, and reading takes no more memory than a few times
    the size of the file. The SHA-256 of the content, which `save` writes, is verified.

    The state dict is taken out of the containers of training programs, and prefixes that all its names share are
    removed; files of `save` come back exactly. The metadata is that of `save`, or the plain values (`epoch`, `arch`,
    ...) that a training program stored beside the tensors.

    Raises:
        InputError: the file is missing, damaged, incomplete, not a checkpoint, or contains more than tensors; or its
            metadata is not of the types that `save` writes.
    """
    path = checkpoint_path(path)
    if path.is_dir():
        found = next((path / name for name in (BEST, LAST) if (path / name).exists()), None)
        if found is None:
            raise InputError(f"{path} is a folder without {BEST}: give a checkpoint file, or the folder of a run.")
        path = found
    try:
        check_regular(path)
        with path.open("rb") as file:
            start = file.read(16)
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}: {_similar_file(path)}") from error
    except OSError as error:
        advice = "check its permissions" if error.errno in (errno.EACCES, errno.EPERM) else "give a checkpoint file"
        raise InputError(f"Cannot read {path} ({error.strerror}): {advice}.") from error
    if not start:
        raise InputError(f"{path} is empty: download or save it again.")
    if path.suffix == ".safetensors" or start[8:9] == b"{":
        return _read_safetensors(path)
    if start[:1] == b"\x80" and not start.startswith(TORCH_STARTS):
        return _read_pickle(path)
    return _read_torch(path)


def checkpoint_path(weights: str | Path) -> Path:
    """The path of weights: that of weights that ship where it is their name, unless a file or a run is called so."""
    path = Path(weights)
    own = path.is_file() or any((path / name).is_file() for name in (BEST, LAST))
    card = None if own else find_shipped(str(weights))
    return path if card is None else card.path


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except Exception as error:  # besides its own errors, those of torch for types of numbers that it lacks
        raise _unreadable(path) from error
    if not tensors:
        raise InputError(f"{path} contains no tensors: give a file with the weights of a network.")
    check_digest(path, tensors, header)
    if METADATA_KEY in header:
        metadata = _json_object(header[METADATA_KEY])
        check_metadata(path, metadata)
        return Checkpoint(tensors, metadata, path)
    return Checkpoint(_without_prefixes(tensors), {}, path)


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata that `save` wrote, without reading the tensors; raises `InputError` if the file is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = _json_object((file.metadata() or {}).get(METADATA_KEY, ""))
    except Exception as error:  # as for the whole file
        raise _unreadable(path) from error
    check_metadata(path, metadata)
    return metadata


def _read_torch(path: Path) -> Checkpoint:
    try:
        with TorchFile(path) as file:
            return _checkpoint(path, file.content)
    except InputError:
        raise
    except RefusedError as error:
        raise _refused(path, str(error)) from error
    except Exception as error:  # a damaged file can raise anything
        raise _unreadable(path) from error


def _read_pickle(path: Path) -> Checkpoint:
    try:
        content = read_pickle(path)
    except RefusedError as error:
        raise _refused(path, str(error)) from error
    except Exception as error:  # a damaged pickle can raise anything
        raise _unreadable(path) from error
    return _checkpoint(path, content)


def checkpoint_from(state_dict: Mapping[str, Any]) -> Checkpoint:
    """Make a checkpoint of a state dict in memory, with the containers and prefixes of training programs removed.

    Raises:
        InputError: something else than tensors is among the tensors.
    """
    return dataclasses.replace(_checkpoint("The state dict", state_dict), path=None)


def _checkpoint(path: Path | str, content: object) -> Checkpoint:
    metadata = {}
    if isinstance(content, dict):
        plain = {k: v for k, v in dict.items(content) if isinstance(k, str) and isinstance(v, str | int | float)}
        metadata = fitting_metadata(plain)
    return Checkpoint(_without_prefixes(_tensors(path, content)), metadata, Path(path))


def _tensors(path: Path | str, content: object) -> dict[str, Tensor]:
    """The state dict within the content of a file."""
    for _ in range(DEEPEST_ENTRY):
        inner = [content.get(name) for name in ENTRIES] if isinstance(content, dict) else []
        content = next((value for value in inner if isinstance(value, dict)), content)
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path} contains no named tensors: give the state_dict() of a network.")
    tensors = {}
    for name, value in dict.items(content):
        if not isinstance(value, Tensor | StoredTensor) or not isinstance(name, str):
            kind = value.kind if isinstance(value, Other) else type(value).__name__.removeprefix("Stored")
            raise InputError(
                f"{path} contains {kind} {repr(name)[:80]} among its tensors: save only the network's state_dict()."
            )
        tensors[name] = value.read() if isinstance(value, StoredTensor) else value.detach()
    return tensors


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


def _refused(path: Path, name: str) -> InputError:
    return InputError(
        f"{path} contains Python objects ({name}) that could run code, so it is not read: save only the network's "
        "state_dict() where the file was made."
    )


def _unreadable(path: Path) -> InputError:
    if path.name.endswith(EXPORTED):
        return InputError(
            f"{path} is of an exported network, and weights are needed: give the checkpoint it came from."
        )
    return InputError(f"{path} is damaged, incomplete or not a checkpoint: download or save it again.")


def _similar_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist."
    files = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    return nearest(path.name, files) or "no file in its folder has a similar name."


def save(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any] | None = None) -> None:
    """Write a safetensors file with `metadata`, which must be representable in JSON, in its header.

    The header also holds the SHA-256 of tensors and metadata, which `read_checkpoint` verifies. The file is written
    whole or not at all: after any failure the previous file of that name is unchanged. Tensors that share memory are
    written as separate copies.

    Raises:
        InputError: the file cannot be written: full disk, no permission.
    """
    header = {METADATA_KEY: json.dumps(dict(metadata or {}), sort_keys=True)}
    copies = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    header[DIGEST_KEY] = digest(copies, header)
    atomic_write(path, safetensors.torch.save(copies, header))


def atomic_write(path: str | Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write bytes, or what a function writes, to a temporary file that replaces `path` only when all is on the disk.

    Missing folders are created. After any failure the previous file is unchanged and no temporary file is left.

    Raises:
        InputError: the file cannot be written: full disk, no permission.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")  # as in `TEMPORARY`
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(content) if isinstance(content, bytes) else content(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise write_problem(path, error) from error
    finally:
        # The file exists only after a failure. If the folder itself is the problem, there is nothing to remove.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
"""The names of the temporary files of `atomic_write`."""


def remove_temporary_files(folder: Path) -> None:
    """Remove what `atomic_write` left in a folder when its process was killed; none may be writing there now."""
    for path in folder.iterdir():
        if TEMPORARY.fullmatch(path.name):
            with contextlib.suppress(OSError):
                path.unlink()


def write_problem(path: Path, error: OSError, advice: str = "choose another place") -> InputError:
    """Make the error for a file that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(f"No space left on the disk for {path}: free some, or {advice}.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError(f"No permission to write {path}: change the permissions, or {advice}.")
    return InputError(f"Cannot write {path} ({error.strerror or error}): {advice}.")
