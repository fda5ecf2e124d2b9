"""Key points of objects, top-down (SimpleBaseline) or with the boxes around them (Keypoint R-CNN)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from res2net.backbones.base import Backbone
from res2net.data.objects import Keypoints as Points
from res2net.tasks.base import register_task
from res2net.tasks.options.keypoints import KeypointsOptions
from res2net.tasks.parts.keypoints import KeypointTask, check_points
from res2net.tasks.parts.topdown import TopDownTask
from res2net.weights import Preprocessing

__all__ = ["Keypoints", "KeypointsOptions"]


@register_task
class Keypoints(KeypointTask):
    """Boxes around objects and the key points of each; a `TopDownTask` takes its place where boxes are known."""

    @classmethod
    def _around(
        cls,
        backbone: Backbone,
        class_names: Sequence[str],
        preprocessing: Preprocessing,
        options: Any,
        keypoints: Points | None,
        stuff_names: Sequence[str],
    ) -> Self:
        kind: Any = TopDownTask if options.detector == "simple_baseline" else super()
        task: Self = kind._around(backbone, class_names, preprocessing, options, check_points(keypoints), stuff_names)
        return task
