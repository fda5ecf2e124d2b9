"""Small runs: a few images and the tiny models."""

from __future__ import annotations

import os
import signal

import lightning as L
import pytest
from rich.console import Console

from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from res2net.tasks.classify.task import ClassifyOptions


@pytest.fixture
def console():
    """A console that shows nothing."""
    return Console(quiet=True)


class CtrlC(L.Callback):
    """Presses Ctrl-C during a batch of the run, counted from 1."""

    def __init__(self, batch):
        self.left = batch

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def ctrl_c():
    """`ctrl_c(batch)`, a callback that presses Ctrl-C during that batch of the run, counted from 1."""
    return CtrlC


@pytest.fixture
def small_run(tmp_path):
    """A function that makes the configuration of a small run; groups of options are given by keyword."""

    def configure(out="run", *, model=None, data=None, optim=None, task=None, **others):
        return TrainConfig(
            "classify",
            "shapes:80,40",
            ClassifyOptions(**task or {}),
            ModelConfig(**{"model": "res2net20_26w_4s_tiny"} | (model or {})),
            DataConfig(**{"batch_size": 16, "workers": 0} | (data or {})),
            OptimConfig(**{"epochs": 2} | (optim or {})),
            accelerator="cpu",
            out=str(tmp_path / out),
            **others,
        )

    return configure
