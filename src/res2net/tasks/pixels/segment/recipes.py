"""Semantic segmentation with the settings of published work."""

from __future__ import annotations

from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from res2net.engine.recipes import overfit, recipe, small_run
from res2net.tasks.pixels.segment.options import SegmentOptions


def defaults(options: SegmentOptions) -> TrainConfig[SegmentOptions]:
    """What a run starts from: crop, batches, rate and schedule of DeepLabv3+."""
    optim = OptimConfig(lr=0.007, schedule="poly")
    return TrainConfig("segment", "", options, data=DataConfig(batch_size=16, size=513), optim=optim)


@recipe()
def deeplabv3plus_voc() -> TrainConfig[SegmentOptions]:
    """DeepLabv3+ of Res2Net-50 at output stride 16, 30,000 steps on the 10,582 images of VOC 2012 and its additions.

    The learning rate, its schedule, crop and scales are those of section 4 of the DeepLabv3+ paper, which the paper of
    Res2Net refers to.

    - command: `res2net train --recipe deeplabv3plus_voc PATH/TO/VOCdevkit`
    - time: not run here
    - score: not run here; the paper's Table 7 has mean IoU 79.2 (ResNet-50: 77.7)
    """
    return TrainConfig(
        task_name="segment",
        source="",
        task=SegmentOptions(decoder="deeplabv3plus", output_stride=16, crop=(513, 513), scale=(0.5, 2.0)),
        model=ModelConfig(model="res2net50_26w_4s", weights="in1k"),
        data=DataConfig(batch_size=16, size=513, bad_annotations="skip"),
        # 661 steps an epoch.
        optim=OptimConfig(epochs=45, lr=0.007, schedule="poly", poly_power=0.9, weight_decay=1e-4),
    )


@recipe()
def overfit_segment() -> TrainConfig[SegmentOptions]:
    """A tiny DeepLabv3+ overfits eight images, such as those of Penn-Fudan (sanity check).

    - command: `res2net train --recipe overfit_segment PATH/TO/FOLDER`, a folder of `res2net data prepare`
    - time: a minute on a core
    - score: mean IoU 73.5 % on the same eight images of Penn-Fudan, 40.2 % after the first epoch; 12.9 and 0.2 % on
      eight of COCO, whose 81 classes cover few pixels each
    """
    options = SegmentOptions(channels=64, scale=(1.0, 1.0), crop=(128, 128), flip=0.0, resize=128)
    return overfit("segment", options, images=8, size=128, epochs=40)


@recipe(goals={"mIoU": 75.0}, baselines="res2net.tasks.pixels.base:constant")
def shapes_segment() -> TrainConfig[SegmentOptions]:
    """A small DeepLabv3+ learns from synthetic scenes, on a laptop.

    - command: `res2net reproduce shapes_segment`, and `--model resnet20_tiny` for a ResNet of the same cost
    - time: at most 10 minutes on 2 cores
    - score: mean IoU 78.4 % (resnet20_tiny: 80.5 %; a constant: 17.2 %), seed 0
    """
    return small_run("segment", SegmentOptions(scale=(0.75, 1.5), channels=64), 6)
