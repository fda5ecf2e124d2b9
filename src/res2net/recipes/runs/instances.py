"""Instance segmentation with the settings of the authors' configurations; see `res2net.recipes.runs.detection`."""

from __future__ import annotations

from res2net.engine.config import ModelConfig, TrainConfig
from res2net.recipes.runs import recipe
from res2net.recipes.runs.detection import coco_data, steps, usual
from res2net.tasks.objects.instance.options import InstanceOptions

__all__ = ["cascade_mask_rcnn_20e", "mask_rcnn_1x", "mask_rcnn_2x"]


@recipe
def mask_rcnn_1x() -> TrainConfig[InstanceOptions]:
    """Mask R-CNN on a feature pyramid of Res2Net-50, COCO, 12 epochs.

    - command: `res2net train --recipe mask_rcnn_1x PATH/TO/COCO`
    - time: not run here
    - score: not run here, and none is published for so few epochs; see `mask_rcnn_2x`
    """
    return TrainConfig(
        task_name="instance",
        source="",
        task=InstanceOptions(detector="mask_rcnn", **usual),
        model=ModelConfig(model="res2net50_26w_4s", weights="in1k"),
        data=coco_data(),
        optim=steps(12, 8, 11),
    )


@recipe
def mask_rcnn_2x() -> TrainConfig[InstanceOptions]:
    """Mask R-CNN on a feature pyramid of Res2Net-50, COCO, 24 epochs: the paper's, by the authors' schedule.

    - command: `res2net train --recipe mask_rcnn_2x PATH/TO/COCO`
    - time: not run here
    - score: not run here; the paper's is box AP 39.6, mask AP 35.6 (ResNet-50: 37.5, 33.9); with
      `--model res2net101_26w_4s` 41.8 and 37.1
    """
    return TrainConfig(
        task_name="instance",
        source="",
        task=InstanceOptions(detector="mask_rcnn", **usual),
        model=ModelConfig(model="res2net50_26w_4s", weights="in1k"),
        data=coco_data(),
        optim=steps(24, 16, 22),
    )


@recipe
def cascade_mask_rcnn_20e() -> TrainConfig[InstanceOptions]:
    """Cascade Mask R-CNN on a feature pyramid of Res2Net-101 (v1b, as MMDetection's), COCO, 20 epochs.

    - command: `res2net train --recipe cascade_mask_rcnn_20e PATH/TO/COCO`
    - time: not run here
    - score: not run here; MMDetection's is box AP 46.4, mask AP 40.0
    """
    return TrainConfig(
        task_name="instance",
        source="",
        task=InstanceOptions(detector="cascade_mask_rcnn", **usual),
        model=ModelConfig(model="res2net101d", weights="in1k"),
        data=coco_data(),
        optim=steps(20, 16, 19),
    )
