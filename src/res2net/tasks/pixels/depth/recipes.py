"""Depth with the settings of published work."""

from __future__ import annotations

from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from res2net.engine.recipes import recipe, small_run
from res2net.tasks.pixels.depth.options import DepthOptions


def defaults(options: DepthOptions) -> TrainConfig[DepthOptions]:
    """What a run starts from: batches, optimizer and rate of BTS, in squares of about its area."""
    optim = OptimConfig(optimizer="adamw", lr=1e-4, weight_decay=1e-2, decay_all=False, schedule="poly")
    return TrainConfig("depth", "", options, data=DataConfig(batch_size=4, size=448), optim=optim)


@recipe()
def bts_nyu() -> TrainConfig[DepthOptions]:
    """Depth of rooms: DeepLabv3+ of Res2Net-50, NYUv2 (24,231 images to train), 50 epochs, as BTS.

    Crops, loss, batches, optimizer and schedule are those of BTS (Lee et al., 2019), as `arguments_train_nyu.txt` and
    `bts_main.py` of its published code have them. What differs: BTS has a decoder of its own, which looks for planes
    and of which nothing decays; it turns images by up to 2.5 degrees, and changes gamma, brightness and colours of
    half of them, where brightness, contrast and saturation of all change a little here.

    The folder has `train` and `val`, each with `rgb` and `depth` (PNG of 16 bits in millimetres). BTS cuts the white
    frame off before: columns 43 to 607 and rows 45 to 471 remain.

    - command: `res2net train --recipe bts_nyu PATH/TO/NYU`
    - time: not run here
    - score: not run here, and none is published for Res2Net; BTS on ResNet-50 has delta1 86.5, AbsRel 11.9 and an RMSE
      of 0.419 m on the 654 test images, of which the frame does not count (Eigen's crop)
    """
    return TrainConfig(
        task_name="depth",
        source="",
        task=DepthOptions(
            output_stride=16,
            crop=(416, 544),
            scale=(1.0, 1.0),
            flip=0.5,
            color_jitter=0.1,
            scale_invariance=0.85,
            root=True,
            min_depth=1e-3,
            max_depth=10.0,
            freeze=1,
            freeze_norms=True,
        ),
        model=ModelConfig(model="res2net50_26w_4s", weights="in1k"),
        data=DataConfig(batch_size=4),
        optim=OptimConfig(
            epochs=50,
            optimizer="adamw",
            lr=1e-4,
            weight_decay=1e-2,
            decay_all=False,
            schedule="poly",
            poly_power=0.9,
            lr_end=0.1,
        ),
    )


@recipe(goals={"delta1": 85.0, "AbsRel": 20.0}, baselines="res2net.tasks.pixels.base:constant")
def shapes_depth() -> TrainConfig[DepthOptions]:
    """A small network learns the depth of synthetic scenes, on a laptop.

    - command: `res2net reproduce shapes_depth`, and `--model resnet20_tiny` for a ResNet of the same cost
    - time: at most 10 minutes on 2 cores
    - score: delta1 88.6 %, AbsRel 13.2 % (resnet20_tiny: 88.9 and 15.6 %; a constant: 86.2 and 114.9 %), seed 0
    """
    # The wall of every scene is equally far away, at any scale.
    return small_run("depth", DepthOptions(channels=64, scale=(1.0, 1.0)), 4)
