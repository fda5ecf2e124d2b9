"""Fig. 4 to 7 of the paper."""

from __future__ import annotations

from dataclasses import replace

from res2net.recipes.ledger.experiment import LEDGER, Entry, Experiment, Small
from res2net.recipes.ledger.rows.classification import CIFAR100, FEW, IMAGENET, RES2NET, RESNET, TOP1, TOP5

LEDGER.add(
    "fig4",
    Experiment(
        "paper, Fig. 4",
        "Class activation maps of ResNet-50 and Res2Net-50 on images of ImageNet",
        (TOP1, TOP5),
        (
            Entry("ResNet-50", "resnet50", (23.85, 7.13)),
            Entry("Res2Net-50", "res2net50_26w_4s", (22.01, 6.15), weights="in1k"),
        ),
        IMAGENET,
        Small(
            "shapes_classify",
            (RESNET, RES2NET),
            ("top1",),
            maps=("covered", "pointing", "iou", "energy"),
            says=(
                "Grad-CAM of the true class by the best weights against the mask of the object, in percent: the share "
                "of the object that the map covers from half of its maximum on, whether the maximum lies in it, the "
                f"IoU, and the share of the map in it. {FEW}"
            ),
        ),
        show="res2net cam PATH/TO/IMAGES --models PATH/TO/resnet50.safetensors,res2net50_26w_4s:in1k --out fig4.png",
        claim="The maps of Res2Net cover more of large objects and less beside small ones. Numbers: those of Table 1.",
        notes=(
            "The figure shows a few chosen images, and no score: that maps cover the whole object is not measured in "
            "the paper.",
        ),
    ),
)


def _sweep(option: str, values: dict[int, float | None]) -> tuple[Entry, ...]:
    return tuple(
        Entry(
            f"{option} {value}",
            ":".join(("cifar_res2next29_6c24w_4s", *(f"{k}={v}" for k, v in {"scale": 1, option: value}.items()))),
            (error,),
        )
        for value, error in values.items()
    )


LEDGER.add(
    "fig5",
    Experiment(
        "paper, Fig. 5",
        "CIFAR-100: depth, cardinality and scale around a ResNeXt-29 of 6c24w",
        (TOP1,),
        (
            *_sweep("scale", {1: None, 2: None, 3: None, 4: 16.98, 5: None, 6: 16.79}),
            *_sweep("depth", dict.fromkeys((56, 83, 110, 137, 164))),
            *_sweep("cardinality", dict.fromkeys((12, 18, 24, 30, 36))),
        ),
        CIFAR100,
        Small(
            "shapes_classify",
            (
                f"{RESNET}:base_width=14",
                *(f"{RESNET}:base_width=14:cardinality={value}" for value in (2, 4)),
                *(f"{RESNET}:base_width=14:scale={value}" for value in (2, 4)),
            ),
            ("top1",),
            says=f"Scale and cardinality around one narrow network, which cost more as they grow. {FEW}",
        ),
        claim="Scale lowers the error most for the same number of parameters; scales 5 and 6 add little at 32 x 32.",
        headline=(3, 5),
        notes=(
            "The paper plots these values and prints none; the two that are given here are also in Table 4.",
            "Steps of the cardinality (6 to 36) and the width of the base (24) are read from the plot and from Table "
            "4.",
        ),
    ),
)
LEDGER.add(
    "fig6",
    Experiment(
        "paper, Fig. 6",
        "Semantic segmentation of ResNet-101 and Res2Net-101 side by side",
        (LEDGER["table7"].metrics[0],),
        (Entry("ResNet-101", "resnet101", (79.0,)), Entry("Res2Net-101", "res2net101_26w_4s", (80.2,))),
        LEDGER["table7"].full,
        like="table7",
        show="res2net compare segment PATH/TO/VOCdevkit --models runs/resnet,runs/res2net --out fig6.png",
        claim="A few chosen images; the numbers are those of Table 7.",
    ),
)
LEDGER.add(
    "fig7",
    Experiment(
        "paper, Fig. 7",
        "Salient objects of ResNet-50 and Res2Net-50 side by side",
        LEDGER["table9"].metrics[:2],
        tuple(replace(entry, published=entry.published[:2]) for entry in LEDGER["table9"].entries),
        LEDGER["table9"].full,
        like="table9",
        show="res2net compare saliency PATH/TO/ECSSD --models runs/resnet,runs/res2net --out fig7.png",
        claim="A few chosen images; the numbers are those of Table 9.",
    ),
)
