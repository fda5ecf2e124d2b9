"""Data sets with objects (boxes, masks and keypoints) in common formats."""

from res2net.images.faults import BAD_ANNOTATIONS, FAULTS, NOTES, AnnotationReport, Fault
from res2net.tasks.objects.formats.images import LABELS, Annotations, ObjectImages
from res2net.tasks.objects.formats.open import (
    OBJECT_FORMATS,
    ObjectFormat,
    find_formats,
    open_objects,
    read_objects,
)

__all__ = [
    "BAD_ANNOTATIONS",
    "FAULTS",
    "LABELS",
    "NOTES",
    "OBJECT_FORMATS",
    "AnnotationReport",
    "Annotations",
    "Fault",
    "ObjectFormat",
    "ObjectImages",
    "find_formats",
    "open_objects",
    "read_objects",
]
