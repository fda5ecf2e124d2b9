"""Panoptic segmentation with the settings of the authors' configuration, and of synthetic scenes."""

from __future__ import annotations

from res2net.engine.config import DataConfig, TrainConfig
from res2net.engine.recipes import recipe, small_run
from res2net.tasks.objects.panoptic.options import PanopticOptions
from res2net.tasks.objects.recipes import USUAL, coco_run, detector_defaults, small_head, steps


def defaults(options: PanopticOptions) -> TrainConfig[PanopticOptions]:
    """What a run starts from: the published batches, sizes and rate."""
    return detector_defaults("panoptic", options)


@recipe()
def panoptic_fpn_3x() -> TrainConfig[PanopticOptions]:
    """Panoptic FPN of Res2Net-101 (v1b), COCO, 37 epochs ("3x"), as the authors' configuration for Detectron2.

    Batches, rate, steps and sizes are those of `COCO-PanopticSegmentation/panoptic_fpn_R_101_3x.yaml`: 270,000 updates
    of 16 images, steps after 210,000 and 250,000, shorter sides from 640 to 800. What differs: epochs are whole, and
    the first two stages are frozen as there, of a network with a deep stem.

    - command: `res2net train --recipe panoptic_fpn_3x PATH/TO/COCO`
    - time: not run here; `res2net reproduce panoptic` estimates it
    - score: not run here; the authors' is PQ 44.5 (ResNet-101: 43.0)
    """
    options = PanopticOptions(min_sizes=(640, 672, 704, 736, 768, 800), **USUAL)
    data = DataConfig(batch_size=16, size=800, bad_annotations="skip")
    return coco_run("panoptic", options, steps(37, 28, 34), model="res2net101d", data=data)


@recipe(goals={"PQ": 50.0})
def shapes_panoptic() -> TrainConfig[PanopticOptions]:
    """A small Panoptic FPN learns from synthetic scenes, on a laptop.

    - command: `res2net reproduce shapes_panoptic`, and `--model resnet20_tiny` for a ResNet of the same cost
    - time: at most 15 minutes on 2 cores
    - score: PQ 74.6 % (resnet20_tiny: 74.9 %), seed 0
    """
    return small_run("panoptic", PanopticOptions(head=small_head(), stuff_channels=32), 2)
