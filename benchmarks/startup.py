"""Time how long the command line takes to answer, beside the imports that nothing with a network can do without.

    uv run --group test python benchmarks/startup.py

Every command is a process of its own. All run once untimed, then in turn for several rounds; prints the least and the
median of the rounds, and the least relative to that of `import torch, torchvision`. See `--help` for the options.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from PIL import Image
from rich.console import Console

from res2net.report import Column, Table
from res2net.weights import save
from res2net.zoo import create_model

IMPORTS = "import torch, torchvision"
MODEL = "res2net20_26w_4s_tiny"


@dataclass(frozen=True)
class Arguments:
    """How often commands are timed."""

    rounds: int = 5


def commands(folder: Path) -> dict[str, Sequence[str]]:
    """The commands by what the table calls them; their files are written to `folder`."""
    image, weights = folder / "image.png", folder / "tiny.safetensors"
    Image.new("RGB", (64, 48), "green").save(image)
    model = create_model(MODEL, num_classes=2)
    save(weights, model.state_dict(), {"model": MODEL, "options": {"num_classes": 2}, "class_names": ["a", "b"]})
    program = str(Path(sys.executable).with_name("res2net"))
    return {
        IMPORTS: (sys.executable, "-c", IMPORTS),
        "--help": (program, "--help"),
        "train --help": (program, "train", "--help"),
        "train /nope": (program, "train", "/nope"),
        "predict image.png": (program, "predict", str(image), "--weights", str(weights), "--accelerator", "cpu"),
    }


def seconds(command: Sequence[str]) -> float:
    """Wall-clock time of a command; `train /nope` is a mistake, which ends with 2.

    Raises:
        RuntimeError: the command failed in another way.
    """
    start = time.perf_counter()
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    took = time.perf_counter() - start
    if result.returncode != (2 if "/nope" in command else 0):
        raise RuntimeError(f"{' '.join(command)}: {result.stderr}")
    return took


def main() -> None:
    """Time all commands, and print the table."""
    arguments = tyro.cli(Arguments, description=__doc__)
    with tempfile.TemporaryDirectory() as folder:
        timed = commands(Path(folder))
        for command in timed.values():
            seconds(command)
        rounds = [{name: seconds(command) for name, command in timed.items()} for _ in range(arguments.rounds)]
    found = {name: [each[name] for each in rounds] for name in timed}
    columns = (Column("command"), Column("least", "s"), Column("median", "s"), Column("relative"))
    rows = [(name, min(own), statistics.median(own), min(own) / min(found[IMPORTS])) for name, own in found.items()]
    Console().print(Table("Seconds until a command ends", columns, rows).to_rich())


if __name__ == "__main__":
    main()
