"""Does a network learn at all? Small ones that learn a few real images by heart, and are asked for the same."""

from __future__ import annotations

from typing import Any

from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from res2net.recipes.runs import recipe
from res2net.tasks.objects.detect.options import DetectOptions
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.tasks.objects.instance.options import InstanceOptions
from res2net.tasks.objects.keypoints.options import KeypointsOptions
from res2net.tasks.pixels.saliency.options import SaliencyOptions
from res2net.tasks.pixels.segment.options import SegmentOptions

__all__ = ["overfit_detect", "overfit_instance", "overfit_keypoints", "overfit_saliency", "overfit_segment"]

_HEAD = DetectorOptions(
    anchor_sizes=(8, 16, 32, 96),  # at this size most of COCO's objects are small
    fpn_channels=64,
    head_channels=128,
    detections=50,
    proposals_train=200,
    proposals=100,
    anchors_per_image=128,
    rois_per_image=64,
)


def _by_heart(task: str, options: Any, images: int, size: int, epochs: int, lr: float = 3e-3) -> TrainConfig[Any]:
    return TrainConfig(
        task_name=task,
        source="",
        task=options,
        # In so few steps residual branches that start at zero hardly begin to learn.
        model=ModelConfig(model="res2net20_26w_4s_tiny", options={"zero_init_last": False}),
        data=DataConfig(batch_size=2, size=size, workers=0, overfit=images),
        optim=OptimConfig(
            epochs=epochs, optimizer="adamw", lr=lr, weight_decay=0.01, schedule="one-cycle", warmup=0.1 * epochs
        ),
    )


@recipe
def overfit_instance() -> TrainConfig[InstanceOptions]:
    """A tiny Mask R-CNN that learns four images by heart, such as those of Penn-Fudan.

    - command: `res2net train --recipe overfit_instance PATH/TO/PennFudanPed`
    - time: half a minute on a core
    - score: mask AP50 100 % on the same four images of Penn-Fudan, 0 % after the first epoch
    """
    return _by_heart("instance", InstanceOptions(head=_HEAD, max_size=192, flip=0.0), images=4, size=128, epochs=30)


@recipe
def overfit_detect() -> TrainConfig[DetectOptions]:
    """A tiny Faster R-CNN that learns four images by heart, such as those of COCO.

    - command: `res2net train --recipe overfit_detect PATH/TO/COCO`
    - time: three quarters of a minute on a core
    - score: box AP50 82 % on the first four of 80 images of COCO, 0 % after the first epoch
    """
    return _by_heart("detect", DetectOptions(head=_HEAD, max_size=192, flip=0.0), images=4, size=128, epochs=60)


@recipe
def overfit_keypoints() -> TrainConfig[KeypointsOptions]:
    """A tiny SimpleBaseline that learns the people of eight images by heart, such as those of COCO.

    - command: `res2net train --recipe overfit_keypoints PATH/TO/COCO`
    - time: half a minute on a core
    - score: key point AP 71 % in true boxes on the six people in the first eight of 80 images of COCO, 0 % after the
      first epoch; one of the six has one of its two points outside of what the network sees of it
    """
    options = KeypointsOptions(crop=(128, 96), channels=64, crop_scale=0.0, rotate=0.0, flip=0.0, flip_test=False)
    return _by_heart("keypoints", options, images=8, size=128, epochs=60)


@recipe
def overfit_segment() -> TrainConfig[SegmentOptions]:
    """A tiny DeepLabv3+ that learns eight images by heart, such as those of Penn-Fudan.

    - command: `res2net train --recipe overfit_segment PATH/TO/FOLDER`, a folder of `res2net data prepare`
    - time: a minute on a core
    - score: mean IoU 73.5 % on the same eight images of Penn-Fudan, 40.2 % after the first epoch; 12.9 and 0.2 % on
      eight of COCO, whose 81 classes are few pixels each
    """
    options = SegmentOptions(channels=64, scale=(1.0, 1.0), crop=(128, 128), flip=0.0, resize=128)
    return _by_heart("segment", options, images=8, size=128, epochs=40)


@recipe
def overfit_saliency() -> TrainConfig[SaliencyOptions]:
    """A tiny PoolNet that learns eight images by heart, such as those of Penn-Fudan.

    - command: `res2net train --recipe overfit_saliency PATH/TO/FOLDER`, a folder of `res2net data prepare`
    - time: a minute and a half on a core
    - score: max F 79.7 % on the same eight images of Penn-Fudan, 12.4 % after the first epoch; 81.3 and 34.7 % on
      eight of COCO
    """
    options = SaliencyOptions(channels=32, scale=(1.0, 1.0), crop=(128, 128), flip=0.0, resize=128)
    return _by_heart("saliency", options, images=8, size=128, epochs=100, lr=1e-3)
