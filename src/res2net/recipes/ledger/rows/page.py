"""What the authors' project page adds to the paper."""

from __future__ import annotations

from dataclasses import replace

from res2net.recipes.ledger.experiment import LEDGER, Entry, Experiment, Full, Metric, Small
from res2net.recipes.ledger.rows.classification import FEW, IMAGENET, RES2NET, RESNET, TOP1, TOP5
from res2net.recipes.ledger.rows.tasks import COCO, SCENES

BOX, MASK = Metric("box AP", "box_AP"), Metric("mask AP", "mask_AP")
V1B = ":stem=deep:shortcut=avg_pool"
"""Options that make v1b of a small network."""

LEDGER.add(
    "v1b",
    Experiment(
        "project page",
        "ImageNet: Res2Net v1b",
        (TOP1, TOP5),
        (
            Entry("Res2Net-v1b-50", "res2net50d", (19.73, 4.96), weights="in1k"),
            Entry("Res2Net-v1b-101", "res2net101d", (18.77, 4.64), weights="in1k"),
        ),
        replace(IMAGENET, recipe="imagenet_v1b_300e"),
        Small("shapes_classify", (f"{RESNET}{V1B}", f"{RES2NET}{V1B}"), ("top1",), says=FEW),
        notes=(
            "timm measured the authors' files at 80.280 / 95.028 and 81.236 / 95.346 % accuracy, as published.",
            "The strengths of mixup and CutMix and the number of epochs are not published; the recipe's are usual "
            "ones.",
            "The gain over Table 1 is of the schedule, too: no ResNet of the same recipe stands beside it.",
        ),
    ),
)
LEDGER.add(
    "ssld",
    Experiment(
        "project page, news",
        "ImageNet: Res2Net-200 distilled by PaddleClas",
        (Metric("top-1 accuracy", "top1"),),
        (Entry("Res2Net-200-vd SSLD", "res2net200d", (85.13,), weights="paddle_ssld"),),
        replace(IMAGENET, recipe="ssld_imagenet"),
        missing=(
            "The gain of a teacher at a size that two cores train (`cifar100_teacher`, `cifar100_distilled`) has not "
            "been measured: it takes about half a day."
        ),
        notes=(
            "Without a teacher PaddleClas reports 81.21 % (`--weights paddle_in1k`). The hours are those of the "
            "student on ImageNet alone; the teacher and the unlabelled images come on top.",
            "The weights need the graph of Paddle, whose stage blocks add and pool in another way; in the official "
            "graph the same weights give logits that are 11.7 % off. A checkpoint names its graph, and `eval` uses it.",
        ),
    ),
)
LEDGER.add(
    "mmdet",
    Experiment(
        "project page, MMDetection's benchmark",
        "Faster R-CNN with a pyramid on COCO, beside larger backbones",
        (BOX,),
        (
            Entry("R-101-FPN", "resnet101", (39.4,), note="60.52 M, 283.14 GFLOPs"),
            Entry("X-101-64x4d-FPN", "resnext101_64x4d", (41.3,), note="99.25 M, 440.36 GFLOPs"),
            Entry("HRNetV2p-W48", "hrnet_w48", (41.5,), options="--neck hrfpn", note="83.36 M, 459.66 GFLOPs"),
            Entry("Res2Net-101", "res2net101d", (42.3,), note="61.18 M, 293.68 GFLOPs"),
        ),
        replace(COCO, recipe="faster_rcnn_1x"),
        like="table5",
        headline=(0, 3),
        notes=(
            "The page states no schedule; that of 12 epochs (1x) is assumed.",
            "The FLOPs are multiply-accumulates, at 1280 x 800.",
            "ImageNet weights of the v1b network come from another recipe than those of ResNet-101, so that the "
            "backbone "
            "alone does not explain the 2.9 points.",
        ),
    ),
)
ZOO = (
    ("Faster R-CNN", "faster_rcnn_1x", "--epochs 24", (41.5, None), (43.0, None)),
    ("Mask R-CNN", "mask_rcnn_2x", "", (42.9, None), (43.6, 38.7)),
    ("Cascade R-CNN", "cascade_rcnn_20e", "", (44.6, None), (45.7, None)),
    ("Cascade Mask R-CNN", "cascade_mask_rcnn_20e", "", (46.0, None), (46.4, 40.0)),
)
LEDGER.add(
    "mmdet_zoo",
    Experiment(
        "MMDetection's models",
        "Detectors on COCO with Res2Net-101 and HRNetV2p-W48",
        (BOX, MASK),
        (
            *(
                Entry(f"{name}, {label}", model, values, options=f"{options} {neck}".strip(), recipe=recipe)
                for name, recipe, options, *pair in ZOO
                for (label, model, neck), values in zip(
                    (("HRNetV2p-W48", "hrnet_w48", "--neck hrfpn"), ("Res2Net-101", "res2net101d", "")),
                    pair,
                    strict=True,
                )
            ),
            Entry("HTC, HRNetV2p-W48", "", (47.0, None), note="there is no HTC here"),
            Entry("HTC, Res2Net-101", "", (47.5, 41.6), note="there is no HTC here"),
        ),
        replace(COCO, recipe="faster_rcnn_1x"),
        like="table8",
        notes=("Schedules are of 20 and 24 epochs.",),
    ),
)
LEDGER.add(
    "panoptic",
    Experiment(
        "project page and the authors' repository",
        "Panoptic FPN on COCO, 3x",
        (Metric("PQ", "PQ"),),
        (Entry("ResNet-101", "resnet101", (43.0,)), Entry("Res2Net-101", "res2net101d", (44.5,))),
        replace(COCO, recipe="panoptic_fpn_3x", facts={"stuff_names": tuple(map(str, range(53)))}),
        Small("shapes_panoptic", (RESNET, RES2NET), ("PQ",), says=SCENES),
        notes=('The page says "about 2 %"; the repository\'s numbers are 1.5 points apart.',),
    ),
)
POOLNET_SETS = ("ECSSD", "PASCAL-S", "DUT-O", "HKU-IS", "SOD", "DUTS-TE")
POOLNET = {
    "VGG-16": ("", (93.6, 4.7, 85.7, 7.8, 81.7, 5.8, 92.8, 3.5, 85.9, 11.5, 87.6, 4.3)),
    "ResNet-50": ("resnet50", (94.0, 4.2, 86.3, 7.5, 83.0, 5.5, 93.4, 3.2, 86.7, 10.0, 88.6, 4.0)),
    "Res2Net-50": ("res2net50_26w_4s", (94.7, 3.6, 87.1, 7.0, 83.7, 5.2, 93.6, 3.1, 88.5, 9.6, 89.2, 3.7)),
}
LEDGER.add(
    "poolnet",
    Experiment(
        "project page",
        "Salient objects: PoolNet trained on DUTS-TR, without edges",
        tuple(
            metric
            for name in POOLNET_SETS
            for metric in (Metric(f"{name} max F", "max_F"), Metric(f"{name} MAE", "MAE", lower_is_better=True))
        ),
        tuple(Entry(label, model, values) for label, (model, values) in POOLNET.items()),
        Full(
            "poolnet_res2net50",
            "PATH/TO/DUTS-TR",
            images=10_553,
            size=(400, 300),
            classes=1,
            then=tuple(
                f"res2net eval saliency PATH/TO/{name} --weights runs/NAME/best.safetensors" for name in POOLNET_SETS
            ),
        ),
        Small("shapes_saliency", (RESNET, RES2NET), ("max_F", "MAE"), says=SCENES),
        headline=(1, 2),
        notes=("VGG-16 has no maps at stride 1 for this decoder here, so that its row has no command.",),
    ),
)
LEDGER.add(
    "res2netplus",
    Experiment(
        "project page, applications",
        "Res2NetPlus: v1b with Mish, and normalisation after the activation",
        (Metric("top-1 accuracy", "top1"),),
        (Entry("Res2NetPlus-50", "res2netplus50_26w_4s", (None,)), Entry("Res2Net-50", "res2net50_26w_4s", (None,))),
        IMAGENET,
        Small(
            "shapes_classify",
            (RES2NET, f"{RES2NET}{V1B}:act=mish:order=conv-act-norm"),
            ("top1",),
            says=f"Plus against the plain Res2Net. {FEW}",
        ),
        claim="5 % more accuracy and steadier training than ResNet, on solar panels.",
        notes=("The images of solar panels are not published; the command trains on ImageNet.",),
    ),
)
NOTHING = "The page lists this use of Res2Net and prints no number."
LEDGER.add(
    "roads",
    Experiment(
        "project page, applications",
        "Roads as graphs: VecRoad",
        (Metric("APLS", "APLS"), Metric("junction F1", "junction_F1"), Metric("pixel F1", "pixel_F1")),
        (Entry("Res2Net-v1b-50", "res2net50d", (None, None, None)),),
        Full("vecroad_res2net50", "PATH/TO/CITIES", images=1_600, size=(512, 512), classes=1),
        Small("synthetic_roads", (RESNET, RES2NET), ("APLS",), says="Synthetic towns, 600 to train on and 80 others."),
        claim=NOTHING,
    ),
)
LEDGER.add(
    "clicks",
    Experiment(
        "project page, applications",
        "Interactive segmentation: FCANet",
        (Metric("clicks to an IoU of 90 %", "NoC@90", lower_is_better=True),),
        (Entry("Res2Net-v1b-101", "res2net101d", (2.76,), note="GrabCut, in the authors' code for MindSpore"),),
        Full(
            "fcanet_res2net101",
            "PATH/TO/SBD",
            images=25_832,
            size=(384, 384),
            classes=1,
            channels=6,
            then=("res2net eval click PATH/TO/GRABCUT --weights runs/NAME/best.safetensors",),
        ),
        Small(
            "shapes_click",
            (RESNET, RES2NET),
            ("NoC@85",),
            says="Clicks to an IoU of 85 % in synthetic scenes; fewer are better.",
        ),
    ),
)
LEDGER.add(
    "volumes",
    Experiment(
        "project page, applications",
        "Tumours in CT: a U-Net of three dimensions",
        (Metric("Dice", "dice"),),
        (Entry("Res2Net3d-50", "res2net3d50_26w_4s", (None,)),),
        # 105 volumes, 50 patches of each
        Full("res2unet_lits", "PATH/TO/Task03_Liver", images=5_250, size=(128, 128, 128), classes=3, channels=1),
        Small(
            "synthetic_volumes",
            ("resnet3d20_tiny", "res2net3d20_26w_4s_tiny"),
            ("dice",),
            says="Synthetic scans, 48 to train on and 12 others.",
        ),
        claim=NOTHING,
    ),
)
LEDGER.add(
    "depth",
    Experiment(
        "project page, applications",
        "Depth of indoor photographs",
        (Metric("delta1", "delta1"), Metric("AbsRel", "AbsRel", lower_is_better=True)),
        (
            Entry("ResNet-50", "resnet50", (86.5, 11.9), note="BTS, another decoder"),
            Entry("Res2Net-50", "res2net50_26w_4s", (None, None)),
        ),
        Full("bts_nyu", "PATH/TO/NYU", images=24_231, size=(416, 544), classes=1),
        Small("shapes_depth", (RESNET, RES2NET), ("AbsRel", "delta1"), says=SCENES),
        claim=NOTHING,
    ),
)
LEDGER.add(
    "translation",
    Experiment(
        "project page, applications",
        "Image-to-image translation: pix2pix",
        (Metric("SSIM", "SSIM"),),
        (Entry("ResNet generator", "resnet_generator", (None,)), Entry("Res2 generator", "res2_generator", (None,))),
        Full("pix2pix_facades", "PATH/TO/facades", images=400, size=(256, 256), classes=1),
        Small(
            "shapes_translate",
            ("resnet_generator_tiny", "res2_generator_tiny"),
            ("SSIM",),
            says="Images of 64 x 64 pixels from masks, 4,000 to train on and 500 others.",
        ),
        claim=NOTHING,
    ),
)
LEDGER.add(
    "single_stage",
    Experiment(
        "project page, applications",
        "Detection in a single stage: RetinaNet",
        (BOX,),
        (Entry("ResNet-50", "resnet50", (None,)), Entry("Res2Net-50", "res2net50_26w_4s", (None,))),
        replace(COCO, recipe="faster_rcnn_1x", options="--detector retinanet --lr 0.01"),
        Small("shapes_retinanet", (RESNET, RES2NET), ("box_AP50", "box_AP"), says=SCENES),
        claim=NOTHING,
    ),
)
for _name, _title, _claim, _missing in (
    ("speakers", "Speaker verification", "18.5 % lower equal error rate than ResNet.", "voices"),
    ("people", "Person re-identification", NOTHING, "people"),
    ("proteins", "Protein structure: trRosettaX", NOTHING, "proteins"),
):
    LEDGER.add(
        _name,
        Experiment(
            "project page, applications",
            _title,
            (),
            (),
            claim=_claim,
            missing=f"This library has no task for {_missing} yet, and so neither a recipe nor a small run.",
        ),
    )
