"""The folder of a run: its files and its name."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from res2net.engine.config import TrainConfig, to_yaml
from res2net.errors import InputError
from res2net.weights.files import atomic_write, write_problem


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
        """Weights of the last epoch, with the same metadata."""
        self.state = path / "last.ckpt"
        """The state of training, from which a run is resumed."""
        self.report = path / "report.html"
        """Curves and images."""

    @classmethod
    def create(cls, config: TrainConfig[object]) -> RunFolder:
        """Create the folder and write the configuration.

        Raises:
            InputError: the folder cannot be written, or already contains a run.
        """
        if config.out is not None:
            folder = cls(Path(config.out))
            if folder.config.exists():
                more = f", or go on with --resume {folder.path}" if folder.state.exists() else ""
                raise InputError(f"{folder.path} holds a run already: choose another --out{more}.")
        else:
            source = re.sub(r"[^\w.-]+", "-", Path(config.source).name) or "data"
            names = (Path("runs") / f"{config.model.model}-{source}-{number}" for number in itertools.count(1))
            folder = cls(next(path for path in names if not path.exists()))
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_problem(folder.path, error, "choose another folder with --out") from error
        atomic_write(folder.config, to_yaml(config).encode())
        return folder

    @classmethod
    def existing(cls, path: str | Path) -> RunFolder:
        """The folder of a run that can be resumed; raises `InputError` if it is not one."""
        folder = cls(Path(path))
        if not folder.config.is_file():
            raise InputError(f"{path} is not the folder of a run (it has no config.yaml): give one under runs/.")
        if not folder.state.is_file():
            raise InputError(
                f"The run in {path} has no last.ckpt to resume from (it stopped before its first checkpoint): "
                "start it again in another folder."
            )
        return folder

    def options_error(self) -> InputError:
        """The error to raise where options would change this run when it is resumed."""
        return InputError(
            f"A resumed run keeps its options: give --resume {self.path} alone, or start a new run with "
            f"--weights {self.best}."
        )

    def write_metrics(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Write the metrics of all epochs, replacing the file."""
        columns = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        table = csv.DictWriter(text, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        atomic_write(self.metrics, text.getvalue().encode())
