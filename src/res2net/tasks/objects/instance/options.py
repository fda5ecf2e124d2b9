"""What a user can choose for the task instance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from res2net.errors import check_range
from res2net.tasks.objects.options import ObjectOptions

__all__ = ["InstanceOptions"]


@dataclass(frozen=True)
class InstanceOptions(ObjectOptions):
    """How objects and their masks are found, and how that is trained."""

    detectors: ClassVar[tuple[str, ...]] = ("mask_rcnn", "cascade_mask_rcnn")

    detector: str = "mask_rcnn"
    """mask_rcnn or cascade_mask_rcnn."""
    copy_paste: float = 0.0
    """Probability of pasting objects of another image (Ghiasi et al., 2021)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("copy paste", self.copy_paste, 0, 1)
