"""Studies that were run before and ship with the package: their scores of many seeds, beside those of a new run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from res2net.engine.config import TrainConfig, from_values
from res2net.errors import InputError
from res2net.recipes.study.result import Cost, Result

FOLDER = Path(__file__).parents[1] / "recorded"
"""The studies, each as `Study.write` wrote it."""


@dataclass(frozen=True)
class Recorded(Result):
    """A study that was read from a file: all of its numbers, without its networks."""

    arms: Mapping[str, TrainConfig[Any]]
    seeds: Sequence[int]
    values: Mapping[str, Sequence[float]]
    """The scores of each arm, in the order of the seeds."""
    costs: Mapping[str, Cost]
    epoch: str
    command: str
    """The command that ran it."""

    def scores(self, metric: str | None = None) -> dict[str, list[float]]:
        """The score of every run, by arm; raises `InputError` for another metric than that of the study."""
        if metric not in (None, self.metric):
            raise InputError(f"The recorded study has only {self.metric}, not {metric}: leave out the metric.")
        return {name: list(values) for name, values in self.values.items()}


def recorded(name: str | Path) -> Recorded:
    """Read a study, by the name of one that ships or by the path of a `study.json`.

    Raises:
        InputError: there is none, or the file is something else.
    """
    path = Path(name) if Path(name).suffix else FOLDER / f"{name}.json"
    try:
        found = json.loads(path.read_text("utf-8"))
        arms = found["arms"]
        return Recorded(
            arms={arm: from_values(one["config"], str(path)) for arm, one in arms.items()},
            seeds=tuple(found["seeds"]),
            values={arm: tuple(map(float, one["scores"])) for arm, one in arms.items()},
            costs={arm: Cost(**one["cost"]) for arm, one in arms.items()},
            epoch=str(found["epoch"]),
            command=str(found["command"]),
        )
    except OSError as error:
        raise InputError(f"Cannot read the study {path} ({error.strerror}): check the name.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a study of `res2net sweep`: give its study.json.") from error
