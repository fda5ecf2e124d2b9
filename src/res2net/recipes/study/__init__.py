"""Studies: several configurations, each trained with several seeds, compared with the statistics that this allows."""

from res2net.recipes.study.paired import Interval, Paired, holm, mean_interval, paired_difference
from res2net.recipes.study.plan import models_of, swept
from res2net.recipes.study.recorded import Recorded, recorded
from res2net.recipes.study.result import Cost, Study
from res2net.recipes.study.runs import run_study, tune

__all__ = (
    "Cost",
    "Interval",
    "Paired",
    "Recorded",
    "Study",
    "holm",
    "mean_interval",
    "models_of",
    "paired_difference",
    "recorded",
    "run_study",
    "swept",
    "tune",
)
