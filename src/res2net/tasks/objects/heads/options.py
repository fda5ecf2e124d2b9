"""The options of detectors. Nothing here needs torch, so that `--help` answers at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from res2net.errors import InputError
from res2net.options import check_literals, check_ranges


@dataclass(frozen=True)
class DetectorOptions:
    """Sizes and thresholds of a detector. The defaults are those of the papers; an option it has no use for is ignored.

    Raises:
        InputError: a value is out of range.
    """

    everyday: ClassVar[tuple[str, ...]] = ()

    neck: Literal["fpn", "hrfpn"] = "fpn"
    """What makes the maps of a detector on a pyramid: fpn, the feature pyramid network, or hrfpn, that of HRNet, which
    mixes all stages at the finest resolution."""
    levels: tuple[int, ...] | None = None
    """Stages of the backbone below the feature pyramid, where 0 is the stem; by default what suits the detector."""
    anchor_sizes: tuple[float, ...] | None = None
    """Side of the anchors of each map, finest first, pixels; by default as in the papers, 32 to 512 for strides 4 to 64
    (8 times the stride)."""
    fpn_channels: int = 256
    """Channels of the feature pyramid, and of the convolutions on it."""
    head_channels: int = 1024
    """Channels of the two fully connected layers that classify a region."""
    score_threshold: float = 0.05
    """Minimum score of a detection."""
    nms_threshold: float = 0.5
    """Intersection over union of two detections of a class above which only the higher-scoring one is kept."""
    detections: int = 100
    """Maximum detections per image."""
    proposals_train: int = 2000
    """Regions that the first stage proposes in training: per map before non-maximum suppression, in all after it."""
    proposals: int = 1000
    """Regions that the first stage proposes in evaluation, counted likewise."""
    anchors_per_image: int = 256
    """Anchors per image that the loss of the first stage is computed on."""
    rois_per_image: int = 512
    """Regions per image that the loss of the second stage is computed on."""
    num_keypoints: int = 0
    """Keypoints per object; 0 finds none."""

    def __post_init__(self) -> None:
        check_literals(self)
        check_ranges(self, fpn_channels=(1, 1 << 16), head_channels=(1, 1 << 16))
        check_ranges(self, score_threshold=(0, 1), nms_threshold=(0, 1))
        counts = ("detections", "proposals_train", "proposals", "anchors_per_image", "rois_per_image")
        check_ranges(self, **dict.fromkeys(counts, (1, 1 << 20)), num_keypoints=(0, 1 << 10))
        if self.anchor_sizes is not None and (not self.anchor_sizes or min(self.anchor_sizes) <= 0):
            raise InputError(
                f"Anchor sizes {list(self.anchor_sizes)} do not fit: give pixels above 0, one for each map."
            )
