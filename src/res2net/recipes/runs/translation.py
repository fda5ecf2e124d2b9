"""Image-to-image translation with the settings of published work."""

from __future__ import annotations

from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from res2net.recipes.runs import recipe
from res2net.tasks.translate.options import TranslateOptions

__all__ = ["pix2pix_facades"]


@recipe
def pix2pix_facades() -> TrainConfig[TranslateOptions]:
    """Pix2pix with a generator of Res2 blocks, labels to photos of facades (400 pairs to train), 200 epochs.

    The settings are those of Isola et al. (CVPR 2017, sections 3.3 and 6.2): pairs of 286 x 286 cut to 256 x 256 and
    mirrored, one at a time, Adam. That the rate falls to 0 in the second half is of the authors' later code for
    PyTorch. The weight of L1, 100 there, is 200 for the same images here, whose values go from 0 to 1 and not from
    -1. What differs: generator and discriminator, which have Res2 blocks, and that the generator has no dropout.

    The folder is `facades` as the authors give it: `train` and `val`, photos and labels side by side. For other sets
    `--direction forward` may be right.

    - command: `res2net train --recipe pix2pix_facades PATH/TO/facades`
    - time: not run here
    - score: not run here, and none of SSIM or PSNR is published
    """
    return TrainConfig(
        task_name="translate",
        source="",
        task=TranslateOptions(
            direction="backward",
            l1=200.0,
            adversarial=1.0,
            adversarial_loss="cross-entropy",
            discriminator_channels=64,
            enlarge=286 / 256,
            flip=0.5,
        ),
        model=ModelConfig(model="res2_generator"),
        data=DataConfig(batch_size=1, size=256),
        optim=OptimConfig(
            epochs=200,
            optimizer="adam",
            betas=(0.5, 0.999),
            lr=2e-4,
            weight_decay=0.0,
            schedule="poly",
            poly_power=1.0,
            hold=100.0,
        ),
        channels_last=False,
    )
