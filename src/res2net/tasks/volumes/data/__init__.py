"""Volumes of voxels with their classes: read, resampled, cut into patches."""

from res2net.tasks.volumes.data.folders import VolumeFiles, open_volumes, read_volumes
from res2net.tasks.volumes.data.nifti import Volume, list_volumes, read_label_map, read_volume, write_label_map
from res2net.tasks.volumes.data.patches import Patches
from res2net.tasks.volumes.data.prepare import PrepareVolume

__all__ = [
    "Patches",
    "PrepareVolume",
    "Volume",
    "VolumeFiles",
    "list_volumes",
    "open_volumes",
    "read_label_map",
    "read_volume",
    "read_volumes",
    "write_label_map",
]
