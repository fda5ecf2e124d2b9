"""Salient objects with the settings of the published codes of DSS and PoolNet, on Res2Net-50 as in the paper."""

from __future__ import annotations

from typing import Any

from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from res2net.engine.recipes import overfit, recipe, small_run
from res2net.tasks.pixels.saliency.options import SaliencyOptions

# Whole images, mirrored; those of MSRA-B and DUTS are at most 400 pixels long, and what is missing is not learnt.
_WHOLE: dict[str, Any] = {
    "crop": (400, 400),
    "scale": (1.0, 1.0),
    "flip": 0.5,
    "reduction": "sum",
    "freeze_norms": True,
}


def defaults(options: SaliencyOptions) -> TrainConfig[SaliencyOptions]:
    """What a run starts from: crop, batches, optimizer and rate of PoolNet."""
    optim = OptimConfig(optimizer="adamw", lr=5e-5, weight_decay=0.0)
    return TrainConfig("saliency", "", options, data=DataConfig(batch_size=10, size=400), optim=optim)


@recipe()
def dss_res2net50() -> TrainConfig[SaliencyOptions]:
    """DSS on Res2Net-50, MSRA-B (2,500 images to train), 12,000 updates of 10 images.

    - command: `res2net train --recipe dss_res2net50 PATH/TO/MSRA-B`
    - time: not run here
    - score: not run here; the paper's is an F-measure of 92.6 and an MAE of 5.6 on ECSSD (ResNet-50: 91.0, 6.5), and of
      80.0 and 7.1 on DUT-OMRON (74.8, 9.2); its F-measure is `max_F_of_means`
    """
    return _run(
        SaliencyOptions(decoder="dss", **_WHOLE),
        OptimConfig(
            epochs=48, lr=1e-8, weight_decay=5e-4, momentum=0.9, schedule="step", milestones=(30,), step_factor=0.1
        ),
    )


@recipe()
def poolnet_res2net50() -> TrainConfig[SaliencyOptions]:
    """PoolNet on Res2Net-50, DUTS-TR (10,553 images), 24 epochs.

    - command: `res2net train --recipe poolnet_res2net50 PATH/TO/DUTS-TR`
    - time: not run here
    - score: not run here; the authors' is a maximal F-measure of 94.7 and an MAE of 3.6 on ECSSD (ResNet-50: 94.0,
      4.2), and of 89.2 and 3.7 on DUTS-TE (88.6, 4.0)
    """
    return _run(SaliencyOptions(decoder="poolnet", output_stride=16, **_WHOLE), _adam(24, 16))


@recipe()
def poolnet_edges_res2net50() -> TrainConfig[SaliencyOptions]:
    """PoolNet on Res2Net-50 that learns the outlines of salient objects too, DUTS-TR, 11 epochs.

    - command: `res2net train --recipe poolnet_edges_res2net50 PATH/TO/DUTS-TR`
    - time: not run here
    - score: not run here, and none is published for Res2Net
    """
    return _run(SaliencyOptions(decoder="poolnet_edges", output_stride=16, **_WHOLE), _adam(11, 9))


def _adam(epochs: int, step: int) -> OptimConfig:
    # The published code is Adam's with a decay of 5e-4 within the gradient, which is nothing beside that of a sum over
    # a hundred thousand pixels.
    return OptimConfig(
        epochs=epochs,
        optimizer="adamw",
        lr=5e-5,
        weight_decay=0.0,
        schedule="step",
        milestones=(step,),
        step_factor=0.1,
    )


def _run(task: SaliencyOptions, optim: OptimConfig) -> TrainConfig[SaliencyOptions]:
    return TrainConfig(
        task_name="saliency",
        source="",
        task=task,
        model=ModelConfig(model="res2net50_26w_4s", weights="in1k"),
        # Gradients of 10 images one by one there.
        data=DataConfig(batch_size=10),
        optim=optim,
    )


@recipe()
def overfit_saliency() -> TrainConfig[SaliencyOptions]:
    """A tiny PoolNet overfits eight images, such as those of Penn-Fudan (sanity check).

    - command: `res2net train --recipe overfit_saliency PATH/TO/FOLDER`, a folder of `res2net data prepare`
    - time: a minute and a half on a core
    - score: max F 79.7 % on the same eight images of Penn-Fudan, 12.4 % after the first epoch; 81.3 and 34.7 % on
      eight of COCO
    """
    options = SaliencyOptions(channels=32, scale=(1.0, 1.0), crop=(128, 128), flip=0.0, resize=128)
    return overfit("saliency", options, images=8, size=128, epochs=100, lr=1e-3)


@recipe(goals={"max_F": 85.0}, baselines="res2net.tasks.pixels.base:constant")
def shapes_saliency() -> TrainConfig[SaliencyOptions]:
    """A small PoolNet learns from synthetic scenes, on a laptop.

    - command: `res2net reproduce shapes_saliency`, and `--model resnet20_tiny` for a ResNet of the same cost
    - time: at most 10 minutes on 2 cores
    - score: max F 92.8 % (ResNet: 92.2 %; a constant: 17.0 %), seed 0
    """
    return small_run("saliency", SaliencyOptions(scale=(0.75, 1.5), channels=16), 1)
