"""Object detection with the settings of the paper and of its authors' configurations.

The paper trains Faster R-CNN and Mask R-CNN and does not list the settings; what it leaves open is as in Detectron2's
and MMDetection's configurations of the same detectors: batches of 16, SGD with rate 0.02, steps
after 8 and 11 of 12 epochs ("1x") or 16 and 22 of 24 ("2x"), a warm-up of 500 updates, published ImageNet weights with
the stem and the first stage frozen, and no batch normalisation learning. A batch of 16 fits a GPU of 80 GB; with
`--batch-size 4 --accumulate 4` the run is the same in a quarter of the memory.

What is not known: the sizes of images and the epochs of the paper's Tables 5 and 6. Ren et al., whom it names, have a
shorter side of 600, and the 31.1 of its ResNet-50 on COCO is lower than what 800 is known to give. "AP" of VOC 2007 is
taken as that of eleven points. Objects that VOC calls difficult are learnt, as by Detectron2; the first code of Faster
R-CNN leaves them out. Images without objects are kept, where other programs drop them.
"""

from __future__ import annotations

from res2net.engine.config import DataConfig, TrainConfig
from res2net.engine.recipes import overfit, recipe, small_run
from res2net.tasks.objects.detect.options import DetectOptions
from res2net.tasks.objects.recipes import OVERFIT_HEAD, USUAL, coco_run, detector_defaults, small_head, steps


def defaults(options: DetectOptions) -> TrainConfig[DetectOptions]:
    """What a run starts from: the published batches, sizes and rate, which is lower for detectors of one stage."""
    return detector_defaults("detect", options, 0.01 if options.detector in ("retinanet", "fcos") else 0.02)


@recipe()
def faster_rcnn_c4() -> TrainConfig[DetectOptions]:
    """Faster R-CNN on the last but one stage (C4) of Res2Net-50, COCO: the paper's Table 6.

    - command: `res2net train --recipe faster_rcnn_c4 PATH/TO/COCO`
    - time: not run here
    - score: not run here; the paper's is box AP 33.7, AP50 53.6 (ResNet-50: 31.1, 51.4)
    """
    return coco_run("detect", DetectOptions(detector="faster_rcnn_c4", **USUAL), steps(12, 8, 11))


@recipe()
def faster_rcnn_1x() -> TrainConfig[DetectOptions]:
    """Faster R-CNN on a feature pyramid of Res2Net-50, COCO, 12 epochs.

    - command: `res2net train --recipe faster_rcnn_1x PATH/TO/COCO`
    - time: not run here
    - score: not run here, and none is published for this network; MMDetection's is box AP 43.0 for Res2Net-101, 2x
    """
    return coco_run("detect", DetectOptions(detector="faster_rcnn", **USUAL), steps(12, 8, 11))


@recipe()
def cascade_rcnn_20e() -> TrainConfig[DetectOptions]:
    """Cascade R-CNN on a feature pyramid of Res2Net-101 (v1b, as MMDetection's), COCO, 20 epochs.

    - command: `res2net train --recipe cascade_rcnn_20e PATH/TO/COCO`
    - time: not run here
    - score: not run here; MMDetection's is box AP 45.7
    """
    return coco_run("detect", DetectOptions(detector="cascade_rcnn", **USUAL), steps(20, 16, 19), model="res2net101d")


@recipe()
def faster_rcnn_voc07() -> TrainConfig[DetectOptions]:
    """Faster R-CNN on the last but one stage (C4) of Res2Net-50, PASCAL VOC 2007: the paper's Table 5.

    The folder must hold VOC2007 alone: with VOC2012 beside it, both are trained on.

    - command: `res2net train --recipe faster_rcnn_voc07 PATH/TO/VOCdevkit/VOC2007`
    - time: not run here
    - score: not run here; the paper's is AP 74.4 (ResNet-50: 72.1), with which `box_AP50_11_point` compares
    """
    # 5,011 images: 313 updates an epoch.
    return coco_run(
        "detect",
        DetectOptions(detector="faster_rcnn_c4", metric="voc07", **(USUAL | {"max_size": 1000})),
        steps(18, 12, 16, warmup=100 / 313),
        data=DataConfig(batch_size=16, size=600),
    )


@recipe()
def overfit_detect() -> TrainConfig[DetectOptions]:
    """A tiny Faster R-CNN overfits four images, such as those of COCO (sanity check).

    - command: `res2net train --recipe overfit_detect PATH/TO/COCO`
    - time: three quarters of a minute on a core
    - score: box AP50 82 % on the first four of 80 images of COCO, 0 % after the first epoch
    """
    return overfit("detect", DetectOptions(head=OVERFIT_HEAD, max_size=192, flip=0.0), images=4, size=128, epochs=60)


@recipe(goals={"box_AP50": 80.0})
def shapes_detect() -> TrainConfig[DetectOptions]:
    """A small Faster R-CNN learns from synthetic scenes, on a laptop.

    - command: `res2net reproduce shapes_detect`, and `--model resnet20_tiny` for a ResNet of the same cost
    - time: at most 15 minutes on 2 cores
    - score: box AP50 98.4 % (resnet20_tiny: 98.7 %), seed 0
    """
    return small_run("detect", DetectOptions(head=small_head()), 5)


@recipe(goals={"box_AP50": 80.0})
def shapes_retinanet() -> TrainConfig[DetectOptions]:
    """A small RetinaNet learns from synthetic scenes, on a laptop.

    - command: `res2net reproduce shapes_retinanet`, and `--model resnet20_tiny` for a ResNet of the same cost
    - time: at most 15 minutes on 2 cores
    - score: box AP50 97.5 % (resnet20_tiny: 97.3 %), seed 0
    """
    return small_run("detect", DetectOptions(detector="retinanet", head=small_head(maps=5)), 5)
