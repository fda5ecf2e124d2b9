"""What the recipes of detection, instance segmentation, keypoints and panoptic segmentation share."""

from __future__ import annotations

from typing import Any

from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from res2net.tasks.objects.heads.options import DetectorOptions

WARMUP = 500 / (118_287 // 16)
"""Epochs of COCO's training split in which there are 500 updates."""

USUAL: dict[str, Any] = {"max_size": 1333, "freeze": 2, "freeze_norms": True}
"""What a task's options have in common for COCO."""


def steps(epochs: int, *milestones: int, warmup: float = WARMUP) -> OptimConfig:
    """SGD whose rate is divided by ten at the milestones."""
    return OptimConfig(epochs=epochs, lr=0.02, weight_decay=1e-4, schedule="step", milestones=milestones, warmup=warmup)


def detector_defaults(task: str, options: Any, lr: float = 0.02) -> TrainConfig[Any]:
    """What a run of a detector starts from: batches, sizes and rate of the published configurations.

    The rate falls along a cosine, which suits any number of epochs, and rises for half an epoch before, since few data
    sets have 500 updates to spend on a warm-up.
    """
    return TrainConfig(
        task, "", options, data=DataConfig(batch_size=16, size=800), optim=OptimConfig(lr=lr, warmup=0.5)
    )


def coco_run(
    task: str, options: Any, optim: OptimConfig, *, model: str = "res2net50_26w_4s", data: DataConfig | None = None
) -> TrainConfig[Any]:
    """Fine-tune published weights on COCO, or on other data where the user gives them.

    A few of COCO's boxes have no area, and are left out.
    """
    return TrainConfig(
        task_name=task,
        source="",
        task=options,
        model=ModelConfig(model=model, weights="in1k"),
        data=data or DataConfig(batch_size=16, size=800, bad_annotations="skip"),
        optim=optim,
    )


ANCHORS = (12.0, 24.0, 48.0, 96.0, 192.0)
"""Pixels: things in `shapes` are 19 to 77 pixels long."""
OVERFIT_HEAD = DetectorOptions(
    anchor_sizes=(8, 16, 32, 96),  # at this size most of COCO's objects are small
    fpn_channels=64,
    head_channels=128,
    detections=50,
    proposals_train=200,
    proposals=100,
    anchors_per_image=128,
    rois_per_image=64,
)
"""A small detector for a few small images."""


def small_head(maps: int = 4) -> DetectorOptions:
    """A detector for 2 cores and the scenes of `shapes`, on a pyramid of so many maps (RetinaNet's has five)."""
    return DetectorOptions(
        anchor_sizes=ANCHORS[:maps],
        fpn_channels=64,
        head_channels=128,
        proposals_train=200,
        proposals=100,
        anchors_per_image=64,
        rois_per_image=32,
    )
