"""Loggers of curves, those of Lightning."""

from __future__ import annotations

import importlib

from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from res2net.engine.folder import RunFolder
from res2net.optional import needs

PROJECT = "res2net"
"""The experiment of MLflow and the project of Weights & Biases."""


def make_logger(name: str, folder: RunFolder) -> Logger:
    """Create the logger of a run: "tensorboard", "csv", "mlflow" or "wandb".

    The first two write into the run's folder; MLflow to MLFLOW_TRACKING_URI or ./mlruns; Weights & Biases to its
    server, or into the folder where WANDB_MODE is "offline".

    Raises:
        MissingLibraryError: the package of the logger is not installed.
    """
    if name == "csv":
        return CSVLogger(folder.path, name="", version="csv")
    if name in ("mlflow", "wandb"):
        with needs(f"--logger {name}", name, install=f"pip install {name}"):
            importlib.import_module(name)
        if name == "mlflow":
            return MLFlowLogger(PROJECT, run_name=folder.path.name)
        return WandbLogger(folder.path.name, folder.path, project=PROJECT)
    return TensorBoardLogger(folder.path, name="", version="tensorboard")
