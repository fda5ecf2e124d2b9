"""Tumours in CT with the settings of published work.

The page of Res2Net names no settings for volumes. Those here are nnU-Net's (Isensee et al., Nature Methods 2021, and
`nnUNetTrainer.py` of its code): batches of 2 patches, a third of them with a class in the middle, SGD with rate 0.01,
Nesterov momentum 0.99 and decay 3e-5, 250,000 updates, gradients of a norm of 12 at most, mirror images along all
axes, Dice loss plus cross entropy. What differs: the network, which has a Res2Net of three dimensions as its encoder
and normalises over the batch; nnU-Net learns from coarser maps as well, and changes its patches in more ways (turned,
enlarged, blurred, other gammas).

Volumes are prepared in the processes that load them, each of which keeps 4 GiB of them; what does not fit is prepared
again for each patch. All validation volumes are looked at after each epoch, so that epochs are long here.
"""

from __future__ import annotations

from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from res2net.engine.recipes import recipe, small_run
from res2net.tasks.volumes.options import VolumesOptions

_MIRRORED = (0.5, 0.5, 0.5)


def _sgd(epochs: int) -> OptimConfig:
    return OptimConfig(
        epochs=epochs,
        lr=0.01,
        momentum=0.99,
        nesterov=True,
        weight_decay=3e-5,
        schedule="poly",
        poly_power=0.9,
        clip=12.0,
    )


def defaults(options: VolumesOptions) -> TrainConfig[VolumesOptions]:
    """What a run starts from: patches, batches, rate and schedule of nnU-Net."""
    optim = _sgd(30)
    return TrainConfig("volumes", "", options, data=DataConfig(batch_size=2, size=128), optim=optim)


@recipe()
def res2unet_lits() -> TrainConfig[VolumesOptions]:
    """U-Net on a Res2Net-50 of three dimensions, LiTS (liver and its tumours), patches of 128^3 voxels, as nnU-Net.

    The folder is `Task03_Liver` of the Medical Segmentation Decathlon, or LiTS with `images` and `labels`: 131 volumes,
    of which a fifth validates.

    - command: `res2net train --recipe res2unet_lits PATH/TO/Task03_Liver`
    - time: not run here
    - score: not run here, and none is published for Res2Net; nnU-Net's mean Dice of both classes in cross-validation is
      80.1
    """
    return TrainConfig(
        task_name="volumes",
        source="",
        task=VolumesOptions(spacing=(1.0, 0.7676, 0.7676), patches=50, foreground=0.33, flip=_MIRRORED),
        model=ModelConfig(model="res2net3d50_26w_4s"),
        data=DataConfig(batch_size=2, size=128, val_fraction=0.2),
        # 105 volumes: 2,625 updates an epoch.
        optim=_sgd(95),
    )


@recipe()
def res2unet_kits() -> TrainConfig[VolumesOptions]:
    """U-Net on a Res2Net-50 of three dimensions, KiTS 2019 (kidneys and their tumours), as nnU-Net.

    Spacing, intensities and patches are those of the challenge's winner, a residual U-Net (Isensee and Maier-Hein, "An
    attempt at beating the 3D U-Net", 2019). The folder has `images` and `labels`: 210 volumes, of which a fifth
    validates.

    - command: `res2net train --recipe res2unet_kits PATH/TO/KITS`
    - time: not run here
    - score: not run here, and none is published for Res2Net; the winner's mean Dice of kidneys (with tumours) and of
      tumours is 91.2 on the test volumes
    """
    return TrainConfig(
        task_name="volumes",
        source="",
        task=VolumesOptions(
            depth=80,
            spacing=(3.22, 1.62, 1.62),
            window=(-79.0, 304.0),
            patches=30,
            foreground=0.33,
            flip=_MIRRORED,
        ),
        model=ModelConfig(model="res2net3d50_26w_4s"),
        data=DataConfig(batch_size=2, size=160, val_fraction=0.2),
        # 168 volumes: 2,520 updates an epoch.
        optim=_sgd(99),
    )


@recipe()
def res2unet_lits_slices() -> TrainConfig[VolumesOptions]:
    """U-Net on Res2Net-50 that sees three slices together (2.5-D), LiTS, as the network of slices of H-DenseUNet.

    Slices, crops, intensities, batches and optimizer are those of Li et al. (TMI 2018), as `train_2ddense.py` of their
    code has them: 40 slices of 224 x 224 around voxels of the liver or a tumour, which here are 4 patches of 10; SGD
    with rate 0.001 and Nesterov momentum 0.9. How many epochs it needs is not told there; 50 of 682 updates are chosen
    here. What differs: patches are not turned nor made larger or smaller, the Dice loss stands beside the cross
    entropy, of which classes there have weights, and there is no second network of three dimensions behind.

    - command: `res2net train --recipe res2unet_lits_slices PATH/TO/Task03_Liver`
    - time: not run here
    - score: not run here, and none is published for Res2Net
    """
    return TrainConfig(
        task_name="volumes",
        source="",
        task=VolumesOptions(
            depth=10,
            slices=3,
            window=(-200.0, 250.0),
            patches=26,
            foreground=1.0,
            flip=(0.0, 0.5, 0.5),
            jitter=0.0,
            noise=0.0,
        ),
        model=ModelConfig(model="res2net50_26w_4s", weights="in1k"),
        data=DataConfig(batch_size=4, size=224, val_fraction=0.2),
        optim=OptimConfig(epochs=50, lr=1e-3, momentum=0.9, nesterov=True, weight_decay=0.0, schedule="constant"),
    )


@recipe(goals={"dice": 80.0}, baselines="res2net.tasks.volumes.task:constant")
def synthetic_volumes() -> TrainConfig[VolumesOptions]:
    """Segmentation of synthetic scans, organs and tumours, on a laptop; needs `pip install 'res2net[volumes]'`.

    - command: `res2net reproduce synthetic_volumes`, and `--model resnet3d20_tiny` for a plain network of the same
      cost, or `--model res2net20_26w_4s_tiny --slices 5` for a 2-D network that sees five slices (2.5-D)
    - time: at most 10 minutes on 2 cores
    - score: mean Dice of four classes 90.7 % in 3-D (plain: 88.5 %; a constant: 2.8 %), and 53.7 % in 2.5-D, which
      misses the goal; seed 0
    """
    return small_run(
        "volumes",
        VolumesOptions(depth=24, channels=64, patches=4),
        6,
        source="volumes",
        model="res2net3d20_26w_4s_tiny",
        batch_size=4,
    )
