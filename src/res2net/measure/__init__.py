"""What a network costs and how far it sees."""

from res2net.measure.counts import Counts, count, human
from res2net.measure.effective import EffectiveField, effective_field, settle
from res2net.measure.memory import Memory, count_memory
from res2net.measure.paths import PathCounts, mean_field
from res2net.measure.receptive import ReceptiveField, field_of, receptive_field, split_fields, stage_fields
from res2net.measure.solve import nearest_width

__all__ = [
    "Counts",
    "EffectiveField",
    "Memory",
    "PathCounts",
    "ReceptiveField",
    "count",
    "count_memory",
    "effective_field",
    "field_of",
    "human",
    "mean_field",
    "nearest_width",
    "receptive_field",
    "settle",
    "split_fields",
    "stage_fields",
]
