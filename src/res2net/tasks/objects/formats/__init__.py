"""Data sets with objects: boxes, masks and key points, from the formats that people have."""

from res2net.images.faults import BAD_ANNOTATIONS, FAULTS, NOTES, AnnotationReport, Fault
from res2net.tasks.objects.formats.images import LABELS, NO_STUFF, Annotations, ObjectImages
from res2net.tasks.objects.formats.keypoints import COCO_PERSON, PIXEL_MIDDLE, Keypoints
from res2net.tasks.objects.formats.open import OBJECT_FORMATS, ObjectFormat, find_formats, open_objects, read_splits

__all__ = [
    "BAD_ANNOTATIONS",
    "COCO_PERSON",
    "FAULTS",
    "LABELS",
    "NOTES",
    "NO_STUFF",
    "OBJECT_FORMATS",
    "PIXEL_MIDDLE",
    "AnnotationReport",
    "Annotations",
    "Fault",
    "Keypoints",
    "ObjectFormat",
    "ObjectImages",
    "find_formats",
    "open_objects",
    "read_splits",
]
