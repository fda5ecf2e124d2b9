"""Tasks that find objects: boxes, masks, key points and panoptic segments."""
