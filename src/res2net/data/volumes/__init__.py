"""Volumes of voxels with their classes: read, resampled, cut into patches."""

from res2net.data.volumes.folders import VolumeFiles, open_volumes
from res2net.data.volumes.nifti import Volume, list_volumes, read_label_map, read_volume, write_label_map
from res2net.data.volumes.patches import Patches
from res2net.data.volumes.prepare import PrepareVolume

__all__ = [
    "Patches",
    "PrepareVolume",
    "Volume",
    "VolumeFiles",
    "list_volumes",
    "open_volumes",
    "read_label_map",
    "read_volume",
    "write_label_map",
]
