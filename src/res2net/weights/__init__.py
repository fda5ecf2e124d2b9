"""Weights of networks: records of published ones, downloads, formats, safe reading, strict loading, atomic writing."""

from res2net.weights.download import cache_folder, fetch
from res2net.weights.files import (
    BEST,
    Checkpoint,
    atomic_write,
    checkpoint_from,
    checkpoint_path,
    read_checkpoint,
    save,
)
from res2net.weights.formats import FORMATS, SAME_NAMES, Format, Native, from_native, to_native
from res2net.weights.load import LoadReport, check_usable, describe, inflate, load
from res2net.weights.records import Preprocessing, WeightRecord, find_record, records
from res2net.weights.shipped import ShippedWeights, find_shipped, shipped, shipped_for

__all__ = [
    "BEST",
    "FORMATS",
    "SAME_NAMES",
    "Checkpoint",
    "Format",
    "LoadReport",
    "Native",
    "Preprocessing",
    "ShippedWeights",
    "WeightRecord",
    "atomic_write",
    "cache_folder",
    "check_usable",
    "checkpoint_from",
    "checkpoint_path",
    "describe",
    "fetch",
    "find_record",
    "find_shipped",
    "from_native",
    "inflate",
    "load",
    "read_checkpoint",
    "records",
    "save",
    "shipped",
    "shipped_for",
    "to_native",
]
