"""Instance segmentation with the settings of the authors' configurations; see those of detection."""

from __future__ import annotations

from res2net.engine.config import TrainConfig
from res2net.engine.recipes import overfit, recipe, small_run
from res2net.tasks.objects.instance.options import InstanceOptions
from res2net.tasks.objects.recipes import OVERFIT_HEAD, USUAL, coco_run, detector_defaults, small_head, steps


def defaults(options: InstanceOptions) -> TrainConfig[InstanceOptions]:
    """What a run starts from: the published batches, sizes and rate."""
    return detector_defaults("instance", options)


@recipe()
def mask_rcnn_1x() -> TrainConfig[InstanceOptions]:
    """Mask R-CNN on a feature pyramid of Res2Net-50, COCO, 12 epochs.

    - command: `res2net train --recipe mask_rcnn_1x PATH/TO/COCO`
    - time: not run here
    - score: not run here, and none is published for so few epochs; see `mask_rcnn_2x`
    """
    return coco_run("instance", InstanceOptions(detector="mask_rcnn", **USUAL), steps(12, 8, 11))


@recipe()
def mask_rcnn_2x() -> TrainConfig[InstanceOptions]:
    """Mask R-CNN on a feature pyramid of Res2Net-50, COCO, 24 epochs: the paper's, by the authors' schedule.

    - command: `res2net train --recipe mask_rcnn_2x PATH/TO/COCO`
    - time: not run here
    - score: not run here; the paper's is box AP 39.6, mask AP 35.6 (ResNet-50: 37.5, 33.9); with
      `--model res2net101_26w_4s` 41.8 and 37.1
    """
    return coco_run("instance", InstanceOptions(detector="mask_rcnn", **USUAL), steps(24, 16, 22))


@recipe()
def cascade_mask_rcnn_20e() -> TrainConfig[InstanceOptions]:
    """Cascade Mask R-CNN on a feature pyramid of Res2Net-101 (v1b, as MMDetection's), COCO, 20 epochs.

    - command: `res2net train --recipe cascade_mask_rcnn_20e PATH/TO/COCO`
    - time: not run here
    - score: not run here; MMDetection's is box AP 46.4, mask AP 40.0
    """
    return coco_run(
        "instance", InstanceOptions(detector="cascade_mask_rcnn", **USUAL), steps(20, 16, 19), model="res2net101d"
    )


@recipe()
def overfit_instance() -> TrainConfig[InstanceOptions]:
    """A tiny Mask R-CNN overfits four images, such as those of Penn-Fudan (sanity check).

    - command: `res2net train --recipe overfit_instance PATH/TO/PennFudanPed`
    - time: half a minute on a core
    - score: mask AP50 100 % on the same four images of Penn-Fudan, 0 % after the first epoch
    """
    options = InstanceOptions(head=OVERFIT_HEAD, max_size=192, flip=0.0)
    return overfit("instance", options, images=4, size=128, epochs=30)


@recipe(goals={"box_AP50": 80.0, "mask_AP50": 80.0})
def shapes_instance() -> TrainConfig[InstanceOptions]:
    """A small Mask R-CNN learns from synthetic scenes, on a laptop.

    - command: `res2net reproduce shapes_instance`, and `--model resnet20_tiny` for a ResNet of the same cost
    - time: at most 15 minutes on 2 cores
    - score: box AP50 96.6 %, mask AP50 96.0 % (resnet20_tiny: 96.0 and 95.8 %), seed 0
    """
    return small_run("instance", InstanceOptions(head=small_head()), 3)
