"""Key points of objects, top-down (SimpleBaseline) or with the boxes around them (Keypoint R-CNN)."""

from __future__ import annotations

from typing import Any

from res2net.task.base import register_task
from res2net.tasks.objects.keypoints.options import KeypointsOptions
from res2net.tasks.objects.keypoints.parts import KeypointTask
from res2net.tasks.objects.keypoints.topdown import TopDownTask

__all__ = ["Keypoints", "KeypointsOptions"]


@register_task
class Keypoints(KeypointTask):
    """Boxes around objects and the key points of each; a `TopDownTask` takes its place where boxes are known."""

    @classmethod
    def kind(cls, options: Any) -> type[Any]:
        """SimpleBaseline is trained and evaluated in another way."""
        return TopDownTask if options.detector == "simple_baseline" else cls
