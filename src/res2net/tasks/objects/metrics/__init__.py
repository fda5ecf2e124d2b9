"""Average precision and panoptic quality, as COCO and PASCAL VOC define them."""
