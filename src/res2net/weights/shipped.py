"""Weights that ship with the package: small trained networks, each with a card, so that prediction works offline."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from res2net.errors import InputError
from res2net.files import read_yaml

FOLDER = Path(__file__).with_name("shipped_files")
"""The weights (`NAME.safetensors`) with their cards (`NAME.yaml`), and a photograph to try them on."""
PHOTOGRAPH = FOLDER / "astronaut.jpg"
"""A portrait of the astronaut Eileen Collins, a photograph of NASA in the public domain (https://flic.kr/p/r9qvLn,
from scikit-image), reduced to 384 x 384 pixels; `res2net predict example` takes it."""


@dataclass(frozen=True)
class ShippedWeights:
    """The card of weights that ship: what they know, how they were made, how good they are."""

    name: str
    """Name by which they are loaded, such as "cifar100"."""
    task: str
    """The task they were trained for."""
    model: str
    """Name of the architecture, or of the backbone."""
    knows: str
    """What they find, as the end of the sentence "It knows ..."."""
    limits: str
    """How far they carry, in whole sentences."""
    data: str
    """What they were trained on, and where that is from."""
    recipe: str
    """How they were trained, in whole sentences."""
    commands: tuple[str, ...]
    """The commands that trained them, in order."""
    score: str
    """Name of the metric by which they are judged."""
    metrics: Mapping[str, float]
    """What the command of the score prints, by the names of the metrics."""
    score_command: str
    """The command that prints the metrics."""
    licence: str
    """Licence of the weights."""
    date: str
    """Day on which they were trained, YYYY-MM-DD."""

    @property
    def path(self) -> Path:
        """The file of the weights."""
        return FOLDER / f"{self.name}.safetensors"

    def card(self) -> str:
        """The card as text: a heading, then a paragraph or a list of commands for each entry."""
        size = self.path.stat().st_size / 1e6
        scores = ", ".join(f"{what} {value:g}" for what, value in self.metrics.items())
        parts = [
            f"{self.name}: {self.task} with {self.model}, {size:.2f} MB, {self.date}",
            f"It knows {self.knows}.",
            self.limits,
            f"Data: {self.data}",
            f"Training: {self.recipe}",
            "\n".join(f"    {command}" for command in self.commands),
            f"Scores: {scores}, as printed by",
            f"    {self.score_command}",
            f"Licence: {self.licence}",
        ]
        return "\n\n".join(part if part.startswith("    ") else textwrap.fill(part, 100) for part in parts)


@cache
def shipped() -> tuple[ShippedWeights, ...]:
    """The cards of all weights that ship, in the order of their names."""
    return tuple(_read(file) for file in sorted(FOLDER.glob("*.yaml")))


def find_shipped(name: object) -> ShippedWeights | None:
    """The card of the weights of that name; None if there are none."""
    # Nearly all names are of files or tags, for which no card is read.
    if not isinstance(name, str) or not name or Path(name).name != name or not (FOLDER / f"{name}.yaml").is_file():
        return None
    return next((card for card in shipped() if card.name == name), None)


def shipped_for(task: str) -> ShippedWeights:
    """The weights that ship for a task.

    Raises:
        InputError: there are none.
    """
    cards = {card.task: card for card in shipped()}
    if task not in cards:
        raise InputError(
            f"No weights ship for {task} (there are some for {', '.join(cards)}): add --weights FILE, e.g. "
            "runs/NAME/best.safetensors."
        )
    return cards[task]


def _read(file: Path) -> ShippedWeights:
    values: dict[str, Any] = read_yaml(file)
    known = {entry.name for entry in fields(ShippedWeights)} - {"name"}
    assert set(values) == known, f"{file.name}: {sorted(known ^ set(values))}"
    texts = {what: " ".join(value.split()) for what, value in values.items() if isinstance(value, str)}
    commands = tuple(" ".join(command.split()) for command in values["commands"])
    return ShippedWeights(name=file.stem, **(values | texts | {"commands": commands, "date": str(values["date"])}))
