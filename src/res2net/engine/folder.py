"""The folder of a run: its files, its name, and the lock that keeps two trainings of one run apart."""

from __future__ import annotations

import csv
import io
import itertools
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from res2net.engine.config import TrainConfig, to_yaml
from res2net.errors import InputError
from res2net.weights.files import atomic_write, remove_temporary_files, write_problem


class RunFolder:
    """The paths of a run's files.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        """The whole configuration."""
        self.metrics = path / "metrics.csv"
        """One line per epoch; `tensorboard/` has the same metrics and the training losses within epochs."""
        self.best = path / "best.safetensors"
        """Weights of the epoch with the best score, with all metadata that evaluation and prediction need."""
        self.last = path / "last.safetensors"
        """Weights of the last epoch that was evaluated, with the same metadata."""
        self.state = path / "last.ckpt"
        """The state of training, from which a run is resumed."""
        self.report = path / "report.html"
        """Curves and images."""
        self.samples = path / "samples.csv.gz"
        """The samples that the run was trained and validated on: name, sizes in bytes, hashes of label and content."""
        self.lock = path / ".lock"
        """Locked by the process that trains the run; holds its number."""
        self._lock_file: IO[str] | None = None

    @property
    def weights(self) -> Path:
        """The weights to use: the best, or the last evaluated where no score was a number."""
        return self.last if self.last.exists() and not self.best.exists() else self.best

    @classmethod
    def create(cls, config: TrainConfig[object]) -> RunFolder:
        """Create the folder, lock it and write the configuration.

        A folder whose run was ended before its first checkpoint is used again.

        Raises:
            InputError: the folder cannot be written, or already contains a run, or a process trains there.
        """
        try:
            if config.out is not None:
                folder = cls(Path(config.out))
                folder.path.mkdir(parents=True, exist_ok=True)
            else:
                source = re.sub(r"[^\w.-]+", "-", Path(config.source).name) or "data"
                folder = cls(new_folder(f"{config.model.model}-{source}"))
            folder.acquire()
        except OSError as error:
            path = config.out or "runs"
            raise write_problem(Path(path), error, "choose another folder with --out") from error
        if any(file.exists() for file in (folder.state, folder.best, folder.last)):
            folder.release()
            more = f", or go on with --resume {folder.path}" if folder.state.exists() else ""
            raise InputError(f"{folder.path} holds a run already: choose another --out{more}.")
        atomic_write(folder.config, to_yaml(config).encode())
        return folder

    @classmethod
    def existing(cls, path: str | Path) -> RunFolder:
        """The folder of a run that can be resumed; raises `InputError` if it is not one."""
        folder = cls.of_run(path)
        if not folder.state.is_file():
            raise InputError(
                f"The run in {path} has no last.ckpt to resume from (it stopped before its first checkpoint): "
                f"start it again with the command it began with and --out {path}."
            )
        return folder

    @classmethod
    def of_run(cls, path: str | Path) -> RunFolder:
        """The folder of a run, for which its `last.ckpt` may stand; raises `InputError` if it is not one."""
        folder = cls(Path(path))
        parent = cls(folder.path.parent)
        if folder.path == parent.state and parent.config.is_file():
            return parent
        if not folder.config.is_file():
            inside = folder.path.is_file() and parent.config.is_file()
            reason = "it has no config.yaml" if folder.path.exists() else "it does not exist"
            advice = f"give {parent.path}" if inside else "give one under runs/"
            raise InputError(f"{path} is not the folder of a run ({reason}): {advice}.")
        return folder

    def acquire(self) -> None:
        """Lock the folder for this process until `release` or its end, and remove what killed processes left over.

        Raises:
            InputError: another process has locked it.
        """
        file = self.lock.open("a+", encoding="utf-8")
        if not _try_lock(file):
            file.seek(0)
            process = file.read().strip()
            file.close()
            raise InputError(
                f"Process {process or 'unknown'} is training the run in {self.path}: wait until it ends, or stop it."
            )
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._lock_file = file
        _LOCKED.add(file)
        remove_temporary_files(self.path)

    def release(self) -> None:
        """Unlock the folder, if this object locked it."""
        if self._lock_file is not None:
            _LOCKED.discard(self._lock_file)
            self._lock_file.close()
            self._lock_file = None

    def is_locked(self) -> bool:
        """Whether a process trains the run."""
        if not self.lock.is_file():
            return False
        with self.lock.open("r+", encoding="utf-8") as file:
            return not _try_lock(file)

    def write_metrics(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Write the metrics of all epochs, replacing the file."""
        columns = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        table = csv.DictWriter(text, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        atomic_write(self.metrics, text.getvalue().encode())

    def read_metrics(self) -> list[dict[str, float]]:
        """The metrics of all epochs; empty before the first.

        Raises:
            InputError: the file holds something else.
        """
        if not self.metrics.is_file():
            return []
        try:
            with self.metrics.open(newline="", encoding="utf-8") as file:
                return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
        except (OSError, ValueError, TypeError, AttributeError, csv.Error) as error:
            raise InputError(f"{self.metrics} is not the table of a run ({error}): restore the file.") from error


def new_folder(name: str) -> Path:
    """Create the next free folder runs/NAME-NUMBER, which no other process has."""
    Path("runs").mkdir(exist_ok=True)
    for number in itertools.count(1):
        path = Path("runs") / f"{name}-{number}"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise AssertionError


_LOCKED: set[IO[str]] = set()
"""The locked files of this process."""


def _try_lock(file: IO[str]) -> bool:
    """Lock a file until it is closed; returns whether no other process has it, or the file system has no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


def _close_in_child() -> None:
    """Close locked files in a forked worker, so that the lock ends with the main process even if it is killed."""
    for file in _LOCKED:
        file.close()
    _LOCKED.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
