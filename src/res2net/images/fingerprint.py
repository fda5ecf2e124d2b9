"""Fingerprints of data sets: which samples they have, the same on every machine and wherever the files lie."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch.utils.data import ConcatDataset, Dataset, Subset

from res2net.images.samples import Origin, Samples, evenly_spaced

CHUNK = 250
"""Number of samples whose files one thread looks up at a time."""
MOST_READ = 5000
"""Number of samples of a data set whose files are looked into; of more, that many evenly spaced ones."""
WHOLE = 1 << 16
"""Size in bytes up to which a file is read whole."""
PIECE = 4096
"""Bytes of a larger file that are read in its middle, and at its end."""


class SampleKey(NamedTuple):
    """What tells a sample from others."""

    name: str
    """Its files, relative to the deepest folder that has all of them, with forward slashes; several joined by " + "."""
    sizes: str
    """The sizes of its files in bytes, joined by "+"; "missing" for a file that does not exist."""
    label: str
    """A hash of its label; empty if the label is in a file, or is not known without reading one."""
    content: str = ""
    """A hash of pieces of its files; empty where they were not looked into."""

    @property
    def unread(self) -> SampleKey:
        """The key without the content, which all samples have, whether their files were looked into or not."""
        return self._replace(content="")

    def digest(self) -> int:
        """The SHA-256 of name, sizes and label as a number."""
        line = "\0".join(self[:3]).encode("utf-8", "surrogateescape")
        return int.from_bytes(hashlib.sha256(line).digest(), "big")

    def differs(self, other: SampleKey) -> bool:
        """Whether two samples differ; contents are compared where both are known."""
        known = self.content and other.content
        return self != other if known else self.unread != other.unread


@dataclass(frozen=True)
class Fingerprint:
    """Number and hash of samples, whatever their order; the sum of two is the fingerprint of both sets together."""

    count: int = 0
    """The number of samples."""
    digest: str = "0" * 64
    """The sum of the samples' digests modulo 2^256, in 64 hexadecimal digits."""

    @classmethod
    def of(cls, keys: Sequence[SampleKey]) -> Fingerprint:
        """The fingerprint of the samples with these keys."""
        return cls(len(keys), f"{sum(key.digest() for key in keys) % 2**256:064x}")

    def __add__(self, other: Fingerprint) -> Fingerprint:
        total = (int(self.digest, 16) + int(other.digest, 16)) % 2**256
        return Fingerprint(self.count + other.count, f"{total:064x}")


def fingerprint(samples: Samples) -> Fingerprint:
    """The fingerprint of a data set.

    It depends on names relative to the common folder of the files, sizes in bytes, and labels that are known without
    reading files; not on the order of the samples, on the place of the folder, or on times of files.
    """
    return Fingerprint.of(sample_keys(samples))


def sample_keys(samples: Samples, *, contents: bool = False) -> list[SampleKey]:
    """The key of each sample of a data set, in its order.

    With `contents`, the files of up to `MOST_READ` samples are looked into: files of up to 64 KiB are read whole, and
    of larger ones 4 KiB in the middle and at the end, where compressed formats have what depends on all before.

    A data set of files has `paths`, or a method `origin(index)` where a sample has several files or its label is known.
    A data set that wraps another one has the keys of that, and one that joins several those of each. Any other, such as
    a synthetic one, is identified by its type and plain attributes, and a sample by its index.
    """
    dataset, indices = _unwrapped(samples)
    if isinstance(dataset, ConcatDataset):
        joined = [key for part in dataset.datasets for key in sample_keys(part, contents=contents)]  # type: ignore[arg-type]
        return [joined[index] for index in indices]
    if hasattr(dataset, "origin"):
        origins: list[Origin] = [dataset.origin(index) for index in indices]
    elif hasattr(dataset, "paths"):
        paths = dataset.paths
        origins = [((paths[index],), b"") for index in indices]
    else:
        maker = _described(dataset)
        return [SampleKey(f"{maker} {index}", "", "") for index in indices]
    columns = [_relative([files[at] for files, _ in origins]) for at in range(len(origins[0][0]) if origins else 0)]
    names = [" + ".join(filter(None, row)) for row in zip(*columns, strict=True)]
    chunks = [origins[start : start + CHUNK] for start in range(0, len(origins), CHUNK)]
    read = evenly_spaced(len(origins), MOST_READ) if contents else []
    parts = [read[start : start + CHUNK] for start in range(0, len(read), CHUNK)]
    with ThreadPoolExecutor(min(32, max(1, len(chunks)))) as threads:  # on network file systems each look-up waits
        sizes = [size for chunk in threads.map(_sizes, chunks) for size in chunk]
        hashes = threads.map(lambda part: [_content(origins[index][0]) for index in part], parts)
        content = dict(zip(read, (one for part in hashes for one in part), strict=True))
    labels = (hashlib.sha256(label).hexdigest()[:16] if label else "" for _, label in origins)
    return list(map(SampleKey, names, sizes, labels, (content.get(index, "") for index in range(len(origins)))))


def _unwrapped(samples: Any) -> tuple[Any, Sequence[int]]:
    """The innermost data set, and the indices of the samples in it."""
    indices: Sequence[int] = range(len(samples))
    while True:
        if isinstance(samples, Subset):
            indices, samples = [samples.indices[index] for index in indices], samples.dataset
            continue
        inner = [one for one in vars(samples).values() if isinstance(one, Dataset)]
        if hasattr(samples, "origin") or len(inner) != 1 or len(inner[0]) != len(samples):  # type: ignore[arg-type]
            return samples, indices
        samples = inner[0]


def _described(dataset: Any) -> str:
    """The type of a data set that is not in files, and a hash of its plain attributes but the number of samples."""
    plain = {
        name: value
        for name, value in sorted(vars(dataset).items())
        if name != "length" and not name.startswith("_") and _is_plain(value)
    }
    return f"{type(dataset).__name__} {hashlib.sha256(repr(plain).encode()).hexdigest()[:8]}"


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, str | int | float | None)


def _relative(files: Sequence[str | Path | None]) -> list[str]:
    """The names of files relative to their deepest common folder; an empty string where there is none."""
    split = [os.path.split(file) if file is not None else None for file in files]
    # Few folders have many files, so that folders alone are made absolute and compared.
    folders = {one[0]: os.path.abspath(one[0]) for one in split if one is not None}  # noqa: PTH100 - links stay links
    root = os.path.commonpath(folders.values()) if folders else ""
    short = {name: Path(os.path.relpath(full, root)).as_posix() for name, full in folders.items()}
    return ["" if one is None else one[1] if short[one[0]] == "." else f"{short[one[0]]}/{one[1]}" for one in split]


def _sizes(origins: Sequence[Origin]) -> list[str]:
    return ["+".join(_size(file) for file in files if file is not None) for files, _ in origins]


def _size(file: str | Path) -> str:
    """The bytes of a file, or of all files of a folder, such as one of slices."""
    try:
        status = Path(file).stat()
        if stat.S_ISDIR(status.st_mode):
            return str(sum(inner.stat().st_size for inner in Path(file).rglob("*") if inner.is_file()))
        return str(status.st_size)
    except OSError:
        return "missing"


def _content(files: Sequence[str | Path | None]) -> str:
    """A hash of pieces of files, or of all files of a folder; empty if one cannot be read."""
    found = hashlib.blake2b(digest_size=8)
    try:
        for path in (Path(file) for file in files if file is not None):
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file():  # not a pipe, which would wait
                    _add_pieces(file, found)
    except OSError:
        return ""
    return found.hexdigest()


def _add_pieces(path: Path, found: hashlib.blake2b) -> None:
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= WHOLE:
            found.update(file.read())
            return
        for start in (size // 2, size - PIECE):
            file.seek(start)
            found.update(file.read(PIECE))
