"""Interactive segmentation with the settings of published work."""

from __future__ import annotations

from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from res2net.engine.recipes import recipe, small_run
from res2net.tasks.pixels.click.options import ClickOptions


def defaults(options: ClickOptions) -> TrainConfig[ClickOptions]:
    """What a run starts from: crop, batches, rate and schedule of FCANet."""
    optim = OptimConfig(lr=0.007, weight_decay=5e-4, schedule="poly")
    return TrainConfig("click", "", options, data=DataConfig(batch_size=8, size=384), optim=optim)


@recipe()
def fcanet_res2net101() -> TrainConfig[ClickOptions]:
    """FCANet on Res2Net-101 (v1b) at output stride 16, the 25,832 objects of PASCAL VOC 2012 with SBD, 33 epochs.

    The settings are those of Lin et al. (CVPR 2020) as the training code for MindSpore has them, to which theirs
    refers: images whose shorter side is made 384 pixels, of which 384 x 384 are seen; batches of 8, SGD; the
    click-based loss. What differs: there an object keeps its clicks from one epoch to the next with a probability of
    0.7 and gets one more where the network was wrong, 2.3 on average, while here up to 5 are added at once; the rate
    reaches its end after 30 epochs; the dilations of DeepLab shrink with the crop; and images are not normalised.

    The folder is of COCO's format, with masks: VOC's own files tell boxes alone.

    - command: `res2net train --recipe fcanet_res2net101 PATH/TO/SBD`
    - time: not run here
    - score: not run here; that code tells 2.76 clicks to an IoU of 90 % on GrabCut (`NoC@90`), and 4.85 on Berkeley
    """
    return TrainConfig(
        task_name="click",
        source="",
        task=ClickOptions(
            output_stride=16,
            resize=384,
            crop=(384, 384),
            scale=(1.0, 1.0),
            flip=0.0,
            click_loss="distance",
            sigma=10.0,
            first_sigma=30.0,
            positives=9,
            negatives=10,
            rounds=5,
        ),
        model=ModelConfig(model="res2net101d", weights="in1k"),
        data=DataConfig(batch_size=8),
        optim=OptimConfig(epochs=33, lr=0.007, momentum=0.9, weight_decay=5e-4, schedule="poly", poly_power=0.9),
    )


@recipe(goals={"NoC@85": 5.0}, baselines="res2net.tasks.pixels.click.network:discs")
def shapes_click() -> TrainConfig[ClickOptions]:
    """A small network finds objects of synthetic scenes by clicks, on a laptop.

    - command: `res2net reproduce shapes_click`, and `--model resnet20_tiny` for a ResNet of the same cost
    - time: 13 minutes on 2 cores; 9 minutes with `--precision bf16`
    - score: 4.08 clicks to an IoU of 85 % (4.36 in bf16; a disc around each click: 18.5; untrained: 20), seed 0
    """
    # At this size the finest maps of DeepLabv3+ are too coarse for the last clicks.
    return small_run(
        "click", ClickOptions(scale=(0.75, 1.5), decoder="unet", channels=32, previous_mask=True, eval_objects=300), 2
    )
