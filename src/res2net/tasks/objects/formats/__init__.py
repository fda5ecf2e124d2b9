"""Data sets with objects (boxes, masks and keypoints) in common formats."""

from res2net.tasks.objects.formats.images import Annotations, ObjectImages
from res2net.tasks.objects.formats.open import OBJECT_FORMATS, ObjectFormat, find_formats, open_objects, read_objects

__all__ = ["OBJECT_FORMATS", "Annotations", "ObjectFormat", "ObjectImages"]
__all__ += ["find_formats", "open_objects", "read_objects"]
