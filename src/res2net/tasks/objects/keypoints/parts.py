"""What the ways to find key points have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torchmetrics import Metric

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.images.keypoints import Keypoints
from res2net.images.sources import DataSource
from res2net.tasks.objects.base import ObjectTask, keypoints_of
from res2net.tasks.objects.keypoints.oks import OksAP
from res2net.tasks.objects.keypoints.options import KeypointsOptions

__all__ = ["KeypointTask", "check_points"]


class KeypointTask(ObjectTask):
    """Key points of objects; COCO's average precision by object key point similarity."""

    name = "keypoints"
    Options = KeypointsOptions
    labels = ("boxes", "labels", "keypoints", "visibility", "crowd", "area")
    parts = ("boxes", "labels", "keypoints", "visibility")
    monitor = "keypoint_AP"
    headline = ("keypoint_AP", "keypoint_AP50")
    tells = ("keypoints",)
    outputs: ClassVar[Sequence[str]] = ("boxes", "scores", "labels", "keypoints", "keypoint_scores")
    boxes: str = "detected"
    """Whose boxes the points are looked for in, in evaluation: one of `res2net.tasks.objects.keypoints.oks.BOXES`."""
    scored = "in detected boxes"

    @classmethod
    def network(cls, backbone: Backbone, options: Any, facts: Mapping[str, Any]) -> Any:
        """The detector; `InputError` without key points."""
        check_points(keypoints_of(facts))
        return super().network(backbone, options, facts)

    @property
    def points(self) -> Keypoints:
        """What the key points are."""
        assert self.keypoints is not None
        return self.keypoints

    def metric(self) -> Metric:
        """COCO's numbers of key points."""
        return OksAP(self.points.sigmas, self.boxes, self.class_names)

    def check_source(self, source: DataSource) -> None:
        """`InputError` unless it has the key points of the training."""
        if check_points(source.keypoints).names != self.points.names:
            raise InputError(
                f"The network knows the key points {', '.join(self.points.names)}, and {source.name} has others "
                f"({', '.join(check_points(source.keypoints).names)}): give data with the points of the training."
            )


def check_points(keypoints: Keypoints | None) -> Keypoints:
    """The key points; `InputError` where there are none."""
    if not keypoints:
        raise InputError("The data have no key points: give data whose objects have some, such as COCO key points.")
    return keypoints
