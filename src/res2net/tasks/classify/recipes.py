"""Classification with the settings of the paper, of its authors' code, and of the papers of its baselines.

On CIFAR-100 the paper names no settings but an implementation of ResNeXt-29. Those here are of its public code for
PyTorch (https://github.com/prlz77/ResNeXt.pytorch), at half of its batch and rate: 300 epochs of SGD with Nesterov
momentum, steps after 150 and 225. It pads images by 8 pixels before it crops them, and others by 4 as here.
"""

from __future__ import annotations

from dataclasses import replace

from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from res2net.engine.recipes import recipe, small_run
from res2net.tasks.classify.options import ClassifyOptions


def _run(
    model: str, data: DataConfig, optim: OptimConfig, task: ClassifyOptions | None = None, **options: int
) -> TrainConfig[ClassifyOptions]:
    return TrainConfig(
        task_name="classify",
        source="",
        task=task or ClassifyOptions(),
        model=ModelConfig(model=model, options=dict(options)),
        data=data,
        optim=optim,
    )


@recipe()
def imagenet_100e() -> TrainConfig[ClassifyOptions]:
    """Res2Net-50 on ImageNet by the paper's recipe: 100 epochs of SGD, the rate divided by ten every 30.

    Random resized crops of 224 pixels and mirror images; no residual branch starts at zero, as in the authors' code.
    The authors' code also smooths the labels, which the paper does not mention: `--label-smoothing 0.1`.

    - command: `res2net train --recipe imagenet_100e PATH/TO/IMAGENET`
    - time: not run here; `res2net reproduce table1` estimates it for each network
    - score: not run here; the paper's top-1 error is 22.01 (ResNet-50: 23.85)
    """
    return _run(
        "res2net50_26w_4s",
        DataConfig(batch_size=256, size=224),
        OptimConfig(epochs=100, lr=0.1, weight_decay=1e-4, schedule="step", step_epochs=30),
        zero_init_last=False,
    )


@recipe()
def imagenet_v1b_300e() -> TrainConfig[ClassifyOptions]:
    """Res2Net-v1b-50 on ImageNet: 300 epochs with a cosine, mixup or CutMix, and smoothed labels.

    The authors say that v1b was trained with CutMix and mixup and a cosine, not how strong they are: the alphas here
    are those of PaddleClas's and timm's usual recipes.

    - command: `res2net train --recipe imagenet_v1b_300e PATH/TO/IMAGENET`
    - time: not run here; `res2net reproduce v1b` estimates it
    - score: not run here; the authors' top-1 error is 19.73 (`--model res2net101d`: 18.77)
    """
    return _run(
        "res2net50d",
        DataConfig(batch_size=256, size=224),
        OptimConfig(epochs=300, lr=0.1, weight_decay=1e-4, schedule="cosine", warmup=5.0),
        ClassifyOptions(mixup=0.2, cutmix=1.0, label_smoothing=0.1),
        zero_init_last=False,
    )


@recipe()
def cifar100_resnext29() -> TrainConfig[ClassifyOptions]:
    """Res2NeXt-29 6c24w4s on CIFAR-100, 300 epochs: the paper's Table 4 and, with other options, Fig. 5.

    - command: `res2net train --recipe cifar100_resnext29 PATH/TO/cifar-100-python`
    - time: not run here; `res2net reproduce table4` estimates it for each network
    - score: not run here; the paper's top-1 error is 16.98 (ResNeXt-29 8c64w, which is larger: 17.90)
    """
    return _run(
        "cifar_res2next29_6c24w_4s",
        DataConfig(batch_size=64),
        OptimConfig(epochs=300, lr=0.05, weight_decay=5e-4, nesterov=True, schedule="step", milestones=(150, 225)),
        zero_init_last=False,
    )


@recipe()
def cifar100_wide_resnet() -> TrainConfig[ClassifyOptions]:
    """WRN-28-10 on CIFAR-100, 200 epochs, as its paper (Zagoruyko and Komodakis, BMVC 2016): a baseline of Table 4.

    - command: `res2net train --recipe cifar100_wide_resnet PATH/TO/cifar-100-python`
    - time: not run here
    - score: not run here; the published top-1 error is 20.50
    """
    return _run(
        "cifar_wrn28_10",
        DataConfig(batch_size=128),
        OptimConfig(
            epochs=200,
            lr=0.1,
            weight_decay=5e-4,
            nesterov=True,
            schedule="step",
            milestones=(60, 120, 160),
            step_factor=0.2,
        ),
    )


@recipe()
def cifar100_densenet() -> TrainConfig[ClassifyOptions]:
    """DenseNet-BC-190 (k = 40) on CIFAR-100, 300 epochs, as its paper (Huang et al., CVPR 2017): for Table 4.

    - command: `res2net train --recipe cifar100_densenet PATH/TO/cifar-100-python`
    - time: not run here
    - score: not run here; the published top-1 error is 17.18
    """
    return _run(
        "cifar_densenetbc190_k40",
        DataConfig(batch_size=64),
        OptimConfig(epochs=300, lr=0.1, weight_decay=1e-4, nesterov=True, schedule="step", milestones=(150, 225)),
    )


@recipe()
def cifar100_small() -> TrainConfig[ClassifyOptions]:
    """A small Res2Net on CIFAR-100 in three epochs: too few to be good, enough to compare what learns faster.

    - command: `res2net train --recipe cifar100_small PATH/TO/cifar-100-python`, and `--model resnet20_small` for a
      ResNet of the same cost
    - time: about five minutes on 2 cores
    - score: `res2net reproduce table4` prints what is recorded
    """
    return small_run("classify", ClassifyOptions(), 3, source="", model="res2net20_26w_4s_small", batch_size=128)


@recipe(goals={"top1": 60.0})
def shapes_classify() -> TrainConfig[ClassifyOptions]:
    """A small Res2Net learns to name synthetic objects, on a laptop.

    - command: `res2net reproduce shapes_classify`, and `--model resnet20_tiny` for a ResNet of the same cost
    - time: about two minutes on 2 cores
    - score: `res2net reproduce table1` prints what is recorded
    """
    return small_run("classify", ClassifyOptions(), 4, batch_size=64)


@recipe()
def ssld_imagenet() -> TrainConfig[ClassifyOptions]:
    """Res2Net-200-vd on ImageNet from the soft labels of ResNeXt-101 32x16d WSL, 360 epochs: SSLD (Cui et al., 2021).

    PaddleClas names the teacher, the loss, 360 epochs with a cosine, and for its ResNets batches of 1024, a rate of 0.4
    and a decay of 7e-5, which are taken for Res2Net, too. It adds four million images of ImageNet-22k without their
    labels: those that the teacher finds likeliest for each class, without near-duplicates of the validation images.
    Then 30 epochs on ImageNet alone, at a hundredth of the rate. What its code computes is `--distill jeffreys`, its
    paper's divergence is `js`. A batch of 256 here is a quarter of it, so that four are summed for an update.

    - command: `res2net train --recipe ssld_imagenet PATH/TO/IMAGENET --unlabelled PATH/TO/IMAGENET-22K --out runs/ssld`
      and then the same with `--weights runs/ssld --unlabelled None --epochs 30 --lr 0.004 --out runs/ssld_tuned`.
      Without ImageNet-22k, leave out `--unlabelled`; any other teacher of the 1000 classes is given by `--teacher`
    - time: not run here; 1,400 hours of an A100 at a fifth of its peak (785 for the student, 603 for the teacher), and
      30 for the tuning; without ImageNet-22k 360
    - score: not run here; PaddleClas's top-1 accuracy is 85.13 (81.21 without a teacher)
    """
    teacher = "timm:resnext101_32x16d.fb_wsl_ig1b_ft_in1k"
    return _run(
        "res2net200d",
        DataConfig(batch_size=256, size=224),
        OptimConfig(epochs=360, lr=0.4, weight_decay=7e-5, schedule="cosine", warmup=5.0, accumulate=4),
        ClassifyOptions(teacher=teacher, distill="jeffreys"),
    )


def _cifar100_small(model: str, task: ClassifyOptions, **options: int) -> TrainConfig[ClassifyOptions]:
    optim = OptimConfig(epochs=30, lr=0.2, weight_decay=5e-4, nesterov=True, schedule="one-cycle", warmup=6.0)
    return replace(_run(model, DataConfig(batch_size=128), optim, task, **options), precision="bf16")


@recipe()
def cifar100_teacher() -> TrainConfig[ClassifyOptions]:
    """A Res2Net of twice the width on CIFAR-100, to teach the small one; 30 epochs.

    - command: `res2net train --recipe cifar100_teacher PATH/TO/cifar-100-python --out runs/cifar100_teacher`
    - time: not run here; 44 M multiply-accumulates an image, about 3 hours on 2 cores
    - score: not run here
    """
    return _cifar100_small("res2net20_26w_4s_small", ClassifyOptions(), base_width=52)


@recipe()
def cifar100_distilled() -> TrainConfig[ClassifyOptions]:
    """The small Res2Net on CIFAR-100 with a teacher, at a temperature of 4 and with a tenth of the loss for the labels.

    Hinton et al. (2015) find such values. The page on comparing networks has the study over seeds with and without.

    - command: `res2net train --recipe cifar100_distilled PATH/TO/cifar-100-python --teacher runs/cifar100_teacher`
    - time: not run here; 19 M multiply-accumulates an image and 44 M of the teacher, about 2 hours on 2 cores
    - score: not run here
    """
    task = ClassifyOptions(teacher="runs/cifar100_teacher", distill="kl", temperature=4.0, distill_weight=0.9)
    return _cifar100_small("res2net20_26w_4s_small", task)
