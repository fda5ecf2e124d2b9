"""Roads as graphs with the settings of published work."""

from __future__ import annotations

from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from res2net.engine.recipes import recipe, small_run
from res2net.tasks.roads.options import RoadsOptions


def defaults(options: RoadsOptions) -> TrainConfig[RoadsOptions]:
    """What a run starts from: squares, batches, optimizer and rate of VecRoad."""
    optim = OptimConfig(optimizer="adam", lr=1e-3, weight_decay=0.0)
    return TrainConfig("roads", "", options, data=DataConfig(batch_size=5, size=512), optim=optim)


@recipe()
def vecroad_res2net50() -> TrainConfig[RoadsOptions]:
    """VecRoad on Res2Net-50 (v1b), the 25 training cities of RoadTracer's data, 102,400 updates.

    Windows, steps, thresholds, optimizer and its steps are those of Tan et al. (CVPR 2020), as `configs/default.yml`
    and `train.py` of their code have them. An update there sees 20 windows of 256 x 256 pixels, each around a step;
    here 5 squares of 512 x 512 with 4 steps each, which is as much. What differs: steps are drawn anew for each square,
    not along walks that go on; squares are turned and mirrored; losses are means where those are sums; the side outputs
    learn too; and next points are in one map (see `res2net.tasks.roads.network`).

    The folder has `train` and `val`, each with `images` and `graphs`. The epochs are for cities of 8192 x 8192 pixels
    that are cut into pieces of 1024 x 1024: 1,600 images, 320 updates each epoch. All of `val` is walked after each
    epoch, so that a few pieces suffice there.

    - command: `res2net train --recipe vecroad_res2net50 PATH/TO/CITIES`
    - time: not run here
    - score: not run here; the paper's are APLS, pixel and junction F1 of 15 other cities as wholes, with other
      tolerances than here for paths, so that its numbers are to be computed by its own programs from `predict --save`
    """
    return TrainConfig(
        task_name="roads",
        source="",
        task=RoadsOptions(
            tracing="next-point",
            window=256,
            step=20.0,
            steps_per_image=4,
            color_jitter=0.0,
            road_threshold=0.3,
            junction_threshold=0.3,
        ),
        model=ModelConfig(model="res2net50d", weights="in1k"),
        data=DataConfig(batch_size=5, size=512),
        # Its decay of 2e-4 within the gradient is nothing beside that of a sum over all pixels.
        optim=OptimConfig(
            epochs=320,
            optimizer="adam",
            betas=(0.9, 0.99),
            lr=1e-3,
            weight_decay=0.0,
            schedule="step",
            milestones=(128,),
            step_factor=0.1,
        ),
    )


@recipe(
    goals={"APLS": 60.0},
    baselines="res2net.tasks.roads.task:one_graph_for_all",
    variants="res2net.tasks.roads.task:by_tracing",
)
def synthetic_roads() -> TrainConfig[RoadsOptions]:
    """Roads of synthetic towns as graphs, on a laptop: traced from point to point, and from the thinned road map.

    - command: `res2net reproduce synthetic_roads`, and `--model resnet20_tiny` for a ResNet of the same cost
    - time: at most 10 minutes on 2 cores
    - score: APLS 83.3 % traced and 82.1 % thinned (resnet20_tiny: 83.3 and 81.5 %), seed 0
    """
    return small_run(
        "roads",
        RoadsOptions(channels=48, branch_channels=32, next_channels=48, window=64, steps_per_image=8),
        6,
        source="roads",
        batch_size=8,
    )
