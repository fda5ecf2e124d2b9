"""Small runs: a few images and the tiny models."""

from __future__ import annotations

import pytest
from rich.console import Console

from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from res2net.tasks.classify.task import ClassifyOptions


@pytest.fixture
def console():
    """A console that shows nothing."""
    return Console(quiet=True)


@pytest.fixture
def small_run(tmp_path, few_shapes):
    """A function that makes the configuration of a small run; groups of options are given by keyword."""

    def configure(out="run", *, model=None, data=None, optim=None, task=None, **others):
        return TrainConfig(
            "classify",
            "shapes",
            ClassifyOptions(**task or {}),
            ModelConfig(**{"model": "res2net20_26w_4s_tiny"} | (model or {})),
            DataConfig(**{"batch_size": 16, "workers": 0} | (data or {})),
            OptimConfig(**{"epochs": 2} | (optim or {})),
            accelerator="cpu",
            out=str(tmp_path / out),
            **others,
        )

    return configure
