"""Keypoints with the settings of the published code of SimpleBaseline (Xiao, Wu and Wei, ECCV 2018)."""

from __future__ import annotations

from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from res2net.engine.recipes import overfit, recipe, small_run
from res2net.tasks.objects.keypoints.options import KeypointsOptions
from res2net.tasks.objects.recipes import detector_defaults


def defaults(options: KeypointsOptions) -> TrainConfig[KeypointsOptions]:
    """What a run starts from: batches, optimizer and rate of SimpleBaseline, or of detectors."""
    if options.detector == "keypoint_rcnn":
        return detector_defaults("keypoints", options)
    optim = OptimConfig(optimizer="adamw", lr=1e-3, weight_decay=0.0)
    return TrainConfig("keypoints", "", options, data=DataConfig(batch_size=128), optim=optim)


@recipe()
def simple_baseline_256x192() -> TrainConfig[KeypointsOptions]:
    """SimpleBaseline of Res2Net-50 on crops of 256 x 192, COCO's people, 140 epochs.

    - command: `res2net train --recipe simple_baseline_256x192 PATH/TO/COCO`
    - time: not run here
    - score: not run here; the paper's is AP 73.7 (ResNet-50: 70.4). Its rows of Res2Net are of true boxes and those of
      ResNet of a detector's; with a detector's, Res2Net-50 has 71.5. Points are found as DARK does, which is later than
      the paper: `--refine quarter` is nearer to its code
    """
    return TrainConfig(
        task_name="keypoints",
        source="",
        task=KeypointsOptions(detector="simple_baseline", crop=(256, 192)),
        model=ModelConfig(model="res2net50_26w_4s", weights="in1k"),
        data=DataConfig(batch_size=128, bad_annotations="skip"),
        # Adam, since there is no decay.
        optim=OptimConfig(
            epochs=140, optimizer="adamw", lr=1e-3, weight_decay=0.0, schedule="step", milestones=(90, 120)
        ),
    )


@recipe()
def overfit_keypoints() -> TrainConfig[KeypointsOptions]:
    """A tiny SimpleBaseline overfits the people of eight images, such as those of COCO (sanity check).

    - command: `res2net train --recipe overfit_keypoints PATH/TO/COCO`
    - time: half a minute on a core
    - score: keypoint AP 71 % in ground-truth boxes on the six people in the first eight of 80 images of COCO, 0 %
      after the first epoch; one of the six has one of its two points outside of what the network sees of it
    """
    options = KeypointsOptions(crop=(128, 96), channels=64, crop_scale=0.0, rotate=0.0, flip=0.0, flip_test=False)
    return overfit("keypoints", options, images=8, size=128, epochs=60)


@recipe(goals={"keypoint_AP50": 80.0})
def shapes_keypoints() -> TrainConfig[KeypointsOptions]:
    """A small SimpleBaseline learns from synthetic scenes, on a laptop.

    - command: `res2net reproduce shapes_keypoints`, and `--model resnet20_tiny` for a ResNet of the same cost
    - time: at most 15 minutes on 2 cores
    - score: keypoint AP50 98.3 % (resnet20_tiny: 98.0 %), seed 0
    """
    # A square that is turned far looks like another one that is turned the other way.
    return small_run(
        "keypoints",
        KeypointsOptions(crop=(64, 64), channels=64, sigma=1.5, rotate=0.0, crop_scale=0.15),
        2,
        batch_size=64,
    )
