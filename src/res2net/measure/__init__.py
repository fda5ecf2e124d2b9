"""What a network costs and how far it sees."""

from res2net.measure.counts import Counts, count, human
from res2net.measure.receptive import ReceptiveField, field_of, receptive_field, split_fields, stage_fields

__all__ = ["Counts", "ReceptiveField", "count", "field_of", "human", "receptive_field", "split_fields", "stage_fields"]
