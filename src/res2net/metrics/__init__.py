"""What detections, masks, key points, panoptic segments and saliency maps are worth, as their fields count it."""

from res2net.metrics.coco import CocoAP
from res2net.metrics.oks import COCO_SIGMAS, OksAP
from res2net.metrics.panoptic import PanopticQuality
from res2net.metrics.saliency import SaliencyMeasures
from res2net.metrics.voc import VocAP

__all__ = ["COCO_SIGMAS", "CocoAP", "OksAP", "PanopticQuality", "SaliencyMeasures", "VocAP"]
