"""The command line called in process, on folders of a few tiny images."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from res2net.cli import main

TINY = {
    "--model": "res2net20_26w_4s_tiny",
    "--size": "32",
    "--epochs": "1",
    "--batch-size": "2",
    "--workers": "0",
    "--accelerator": "cpu",
}


@dataclass(frozen=True)
class Answer:
    """What a command gave back."""

    status: int
    out: str
    err: str


def ask(*words):
    """Call the command line with these words."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([str(word) for word in words])
        except SystemExit as end:  # as after --help
            status = end.code or 0
    return Answer(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def run():
    """A function that calls the command line and gives its `Answer`."""
    return ask


@pytest.fixture
def check(run, monkeypatch):
    """`res2net data check` in a wide terminal."""
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: run("data", "check", *words)


@pytest.fixture
def refused():
    """A function that calls the command line, which must refuse in one sentence; it gives the sentence."""

    def call(*words):
        answer = ask(*words)
        assert answer.status == 2
        assert answer.err.startswith("res2net: ")
        assert answer.err.count("\n") == 1
        assert answer.err.rstrip().endswith((".", "?", ")"))
        return answer.err.removeprefix("res2net: ").rstrip()

    return call


@pytest.fixture
def program():
    """A function that runs the command line as a program of its own."""

    def call(*words):
        command = [sys.executable, "-m", "res2net.cli", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return call


def write_images(root, classes=("green", "red"), each=4):
    """Write a folder of tiny noisy images, PNG and JPEG in turn, for each class."""
    random = np.random.default_rng(0)
    for channel, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(each):
            pixels = random.integers(0, 100, (36, 40, 3), dtype=np.uint8)
            pixels[..., channel % 3] += 120
            Image.fromarray(pixels).save(root / name / f"{index}.{'jpg' if index % 2 else 'png'}")
    return root


def interrupt_at_step(patch, optimizer, count):
    """Send this process the signal of Ctrl-C before a step of an optimizer."""
    steps, original = [], optimizer.step

    def step(self, *arguments, **options):
        steps.append(self)
        if len(steps) == count:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, *arguments, **options)

    patch.setattr(optimizer, "step", step)


@pytest.fixture
def make_images(tmp_path):
    """A function that writes a folder of images of that name."""
    return lambda name="images", **options: write_images(tmp_path / name, **options)


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Four images of each of two classes; not to be changed."""
    return write_images(tmp_path_factory.mktemp("data") / "images")


@pytest.fixture
def tiny():
    """A function that gives the options of a tiny run, but for those given."""

    def options(**given):
        chosen = TINY | {f"--{name.replace('_', '-')}": str(value) for name, value in given.items()}
        return [word for pair in chosen.items() for word in pair]

    return options


@dataclass(frozen=True)
class Run:
    """A finished run: its folder and what it printed."""

    folder: Path
    answer: Answer

    @property
    def best(self):
        return self.folder / "best.safetensors"


@pytest.fixture(scope="session")
def trained(tmp_path_factory, images):
    """A run of two epochs on `images`; its folder is not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    options = [word for pair in (TINY | {"--epochs": "2"}).items() for word in pair]
    answer = ask("train", images, *options, "--out", folder)
    assert answer.status == 0, answer.err
    return Run(folder, answer)


@pytest.fixture
def weights(trained):
    """The options that choose the weights of `trained`."""
    return ["--weights", trained.best, "--accelerator", "cpu"]
