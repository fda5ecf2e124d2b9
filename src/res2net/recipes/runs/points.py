"""Key points with the settings of the published code of SimpleBaseline (Xiao, Wu and Wei, ECCV 2018)."""

from __future__ import annotations

from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from res2net.recipes.runs import recipe
from res2net.tasks.objects.keypoints.options import KeypointsOptions

__all__ = ["simple_baseline_256x192"]


@recipe
def simple_baseline_256x192() -> TrainConfig[KeypointsOptions]:
    """SimpleBaseline of Res2Net-50 on crops of 256 x 192, COCO's people, 140 epochs.

    - command: `res2net train --recipe simple_baseline_256x192 PATH/TO/COCO`
    - time: not run here
    - score: not run here; the paper's is AP 73.7 (ResNet-50: 70.4). Its rows of Res2Net are of true boxes and those of
      ResNet of a detector's; with a detector's, Res2Net-50 has 71.5. Points are found as DARK does, which is later than
      the paper: `--refine quarter` is nearer to its code
    """
    return TrainConfig(
        task_name="keypoints",
        source="",
        task=KeypointsOptions(detector="simple_baseline", crop=(256, 192)),
        model=ModelConfig(model="res2net50_26w_4s", weights="in1k"),
        data=DataConfig(batch_size=128, bad_annotations="skip"),
        # Adam, since there is no decay.
        optim=OptimConfig(
            epochs=140, optimizer="adamw", lr=1e-3, weight_decay=0.0, schedule="step", milestones=(90, 120)
        ),
    )
