"""Detectors, instance segmentation, key points and panoptic segmentation learnt from drawn scenes, on a laptop.

- command: `python -m res2net.recipes.shapes_objects detect` (or `instance`, `keypoints`, `panoptic`), and beside it
  `--backbone resnet20_tiny`, a ResNet of the same cost; `--detector retinanet` and others as of `res2net train`
- time: at most 15 minutes on 2 cores
- score: at least 80 % of box AP50, of mask AP50, of key points' AP50, and 50 % of PQ, as told at the end
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tyro
from rich.console import Console

from res2net.engine.config import DataConfig, TrainConfig
from res2net.engine.task_options import options_type
from res2net.errors import check_choice
from res2net.recipes.side_by_side import command, few_epochs, side_by_side, small_model
from res2net.report import Table

__all__ = ["GOALS", "Arguments", "configuration", "main"]

GOALS: Mapping[str, Mapping[str, float]] = {
    "detect": {"box_AP50": 80.0},
    "instance": {"box_AP50": 80.0, "mask_AP50": 80.0},
    "keypoints": {"keypoint_AP50": 80.0},
    "panoptic": {"PQ": 50.0},
}
"""What each task has to reach on scenes that it was not trained on, %; set before anything was trained."""
EPOCHS = {"detect": 5, "instance": 3, "keypoints": 2, "panoptic": 2}
ANCHORS = (12.0, 24.0, 48.0, 96.0)
"""Pixels: things are 19 to 77 pixels long."""


@dataclass(frozen=True)
class Arguments:
    """Train a small network on drawn scenes, and tell what it learnt beside what it knew before."""

    task: tyro.conf.Positional[str]
    """detect, instance, keypoints or panoptic."""
    backbone: str = "res2net20_26w_4s_tiny"
    """resnet20_tiny costs the same."""
    detector: str | None = None
    """As of `res2net train`; by default the task's usual one."""
    epochs: int | None = None
    """By default as many as fit into 15 minutes on 2 cores."""
    seed: int = 0
    """Of the weights, and of the order of the images."""
    out: str | None = None
    """Folder of the run."""


def configuration(chosen: Arguments) -> TrainConfig[Any]:
    """The run.

    Raises:
        InputError: there is no such task or detector.
    """
    check_choice("Task", chosen.task, GOALS)
    options: dict[str, Any] = {} if chosen.detector is None else {"detector": chosen.detector}
    task = options_type(chosen.task)(**options, **small_head(chosen))
    epochs = chosen.epochs or EPOCHS[chosen.task]
    return TrainConfig(
        task_name=chosen.task,
        source="shapes",
        task=task,
        model=small_model(chosen.backbone),
        data=DataConfig(batch_size=64 if chosen.task == "keypoints" else 16),
        optim=few_epochs(epochs),
        seed=chosen.seed,
        out=chosen.out,
    )


def small_head(chosen: Arguments) -> dict[str, Any]:
    """Options of a task for 2 cores."""
    from res2net.tasks.objects.heads.options import DetectorOptions

    if chosen.task == "keypoints" and chosen.detector != "keypoint_rcnn":
        # A square that is turned far looks like another one that is turned the other way.
        return {"crop": (64, 64), "channels": 64, "sigma": 1.5, "rotate": 0.0, "crop_scale": 0.15}
    dense = chosen.detector in ("retinanet", "fcos")
    head = DetectorOptions(
        # RetinaNet has a map more.
        anchor_sizes=(*ANCHORS, 192.0) if dense else ANCHORS,
        fpn_channels=64,
        head_channels=128,
        proposals_train=200,
        proposals=100,
        anchors_per_image=64,
        rois_per_image=32,
    )
    return {"head": head} | ({"stuff_channels": 32} if chosen.task == "panoptic" else {})


def main() -> None:
    """The command."""
    command(Arguments, run, __doc__)


def run(chosen: Arguments, console: Console) -> Table:
    """Train, and put what it learnt beside the network as it starts, by the size of objects."""
    return side_by_side(configuration(chosen), GOALS[chosen.task], console)


if __name__ == "__main__":
    main()
