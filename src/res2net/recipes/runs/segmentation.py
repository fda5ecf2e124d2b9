"""Semantic segmentation with the settings of published work."""

from __future__ import annotations

from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from res2net.recipes.runs import recipe
from res2net.tasks.pixels.segment.options import SegmentOptions

__all__ = ["deeplabv3plus_voc"]


@recipe
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
