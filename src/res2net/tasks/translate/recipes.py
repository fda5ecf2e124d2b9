"""Image-to-image translation with the settings of published work."""

from __future__ import annotations

from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from res2net.engine.recipes import recipe
from res2net.tasks.translate.options import TranslateOptions


def defaults(options: TranslateOptions) -> TrainConfig[TranslateOptions]:
    """What a run starts from: squares, batches, optimizer and rate of pix2pix."""
    optim = OptimConfig(
        optimizer="adam", betas=(0.5, 0.999), lr=2e-4, weight_decay=0.0, schedule="poly", poly_power=1.0
    )
    return TrainConfig("translate", "", options, data=DataConfig(batch_size=1, size=256), optim=optim)


@recipe()
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


@recipe(goals={"SSIM": 75.0}, baselines="res2net.tasks.translate.task:copied")
def shapes_translate() -> TrainConfig[TranslateOptions]:
    """A small generator makes images of synthetic scenes from their masks, on a laptop.

    If each region had exactly its mean colour, without a texture, SSIM would be 72 %.

    - command: `res2net reproduce shapes_translate`, and `--model resnet_generator_tiny` for a ResNet of the same cost
    - time: at most 10 minutes on 2 cores
    - score: SSIM 79.7 % (ResNet: 77.2 %; a copy of the mask: 36.2 %), seed 0
    """
    return TrainConfig(
        task_name="translate",
        source="shapes-masks",
        task=TranslateOptions(discriminator_channels=16),
        model=ModelConfig(model="res2_generator_tiny"),
        data=DataConfig(batch_size=8),
        optim=OptimConfig(epochs=3, optimizer="adamw", lr=2e-3, weight_decay=0.0, schedule="cosine"),
        # On a CPU the normalisation of each image alone is faster this way.
        channels_last=False,
    )
