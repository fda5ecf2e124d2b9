"""What each task is trained and evaluated on, in words, for `--help`."""

from __future__ import annotations

__all__ = ["ABOUT_DATA", "about_data"]

_OBJECTS = 'COCO, PASCAL VOC, Penn-Fudan or YOLO, or the embedded set "shapes"'

ABOUT_DATA = {
    "classify": "a folder of images (one folder for each class, or train/ and val/ of them), a CIFAR folder, the "
    'ImageNet layout, or the embedded set "shapes"',
    "click": f"images with masks of objects, as of {_OBJECTS}",
    "depth": "folders images and depth (PNG of 16 bits in mm, or .npy in metres, of the same names; another scale in "
    'depth.json), as NYUv2 has them, or the embedded set "shapes"',
    "detect": f"images with boxes of objects, as of {_OBJECTS}",
    "instance": f"images with masks of objects, as of {_OBJECTS}",
    "keypoints": 'images with key points, as of COCO, or the embedded set "shapes"',
    "panoptic": 'images with things and stuff, in the format of COCO panoptic, or the embedded set "shapes"',
    "roads": "folders images and graphs (JSON, GeoJSON or RoadTracer's text, in pixels) or masks, of the same names, "
    'or the embedded set "roads"',
    "saliency": "folders images and masks (white is salient) of the same names, as DUTS, ECSSD, HKU-IS, MSRA-B and SOD "
    'have them, or the embedded set "shapes"',
    "segment": "folders images and masks (PNG with the number of each pixel's class, 255 for none; the names in "
    'classes.txt) of the same names, ADE20K, PASCAL VOC, Cityscapes, COCO stuff, or the embedded set "shapes"',
    "translate": "folders A and B with images of the same names, images that are two side by side, or the embedded "
    'set "shapes-masks"',
    "volumes": "NIfTI files in imagesTr and labelsTr (as of the Medical Segmentation Decathlon) or images and labels, "
    'or the embedded set "volumes"',
}
"""By task."""


def about_data(task: str) -> str:
    """What a task is trained on; of one that nobody described, a data set."""
    return ABOUT_DATA.get(task, "a data set with what the task learns")
