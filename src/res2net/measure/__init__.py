"""The cost of a network, and its receptive fields."""

from res2net.measure.costs import Counts, Memory, count, count_memory, format_count, nearest_width
from res2net.measure.effective import EffectiveField, calibrate_norms, effective_field
from res2net.measure.field import PathCounts, ReceptiveField, mean_field
from res2net.measure.receptive import field_of, receptive_field, split_fields, stage_fields

__all__ = [
    "Counts",
    "EffectiveField",
    "Memory",
    "PathCounts",
    "ReceptiveField",
    "calibrate_norms",
    "count",
    "count_memory",
    "effective_field",
    "field_of",
    "format_count",
    "mean_field",
    "nearest_width",
    "receptive_field",
    "split_fields",
    "stage_fields",
]
