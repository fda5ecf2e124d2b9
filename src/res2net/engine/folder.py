"""The folder of a run: what lies in it, and how it is named."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from res2net.engine.config import TrainConfig, to_yaml
from res2net.errors import InputError
from res2net.weights.save import atomic_write, write_problem

__all__ = ["RunFolder"]


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run's files.

    - `config.yaml`: the whole configuration
    - `metrics.csv`: one line an epoch; `tensorboard/`: the same and more, for TensorBoard
    - `best.safetensors`, `last.safetensors`: weights, with all that evaluation and prediction need to know
    - `last.ckpt`: everything that resuming needs
    - `report.html`: curves and pictures
    """

    path: Path

    @property
    def config(self) -> Path:
        """The whole configuration."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """One line an epoch."""
        return self.path / "metrics.csv"

    @property
    def best(self) -> Path:
        """Weights of the epoch with the best score."""
        return self.path / "best.safetensors"

    @property
    def last(self) -> Path:
        """Weights of the last epoch."""
        return self.path / "last.safetensors"

    @property
    def state(self) -> Path:
        """Everything that resuming needs."""
        return self.path / "last.ckpt"

    @property
    def report(self) -> Path:
        """Curves and pictures."""
        return self.path / "report.html"

    @classmethod
    def create(cls, config: TrainConfig[object]) -> RunFolder:
        """Make the folder and write the configuration.

        Raises:
            InputError: it cannot be written, or has a run in it already.
        """
        if config.out is not None:
            folder = cls(Path(config.out))
            if folder.config.exists():
                raise InputError(
                    f"{folder.path} holds a run already: choose another --out, or go on with --resume {folder.path}."
                )
        else:
            source = re.sub(r"[^\w.-]+", "-", Path(config.source).name) or "data"
            names = (Path("runs") / f"{config.model.model}-{source}-{number}" for number in itertools.count(1))
            folder = cls(next(path for path in names if not path.exists()))
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_problem(folder.path, error, "choose another folder with --out") from error
        atomic_write(folder.config, lambda file: file.write(to_yaml(config).encode()))
        return folder

    @classmethod
    def existing(cls, path: str | Path) -> RunFolder:
        """The folder of a run that can be resumed; `InputError` when it is not one."""
        folder = cls(Path(path))
        if not folder.config.is_file():
            raise InputError(f"{path} is not the folder of a run (it has no config.yaml): give one under runs/.")
        if not folder.state.is_file():
            raise InputError(
                f"The run in {path} has no last.ckpt to resume from (it stopped before its first checkpoint): "
                "start it again in another folder."
            )
        return folder

    def write_metrics(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Write the table of all epochs anew."""
        columns = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        table = csv.DictWriter(text, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        atomic_write(self.metrics, lambda file: file.write(text.getvalue().encode()))
