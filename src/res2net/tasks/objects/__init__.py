"""Tasks that find objects: boxes, masks, keypoints and panoptic segments."""
