"""What a user can choose for the task roads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from res2net.errors import check_choice, check_range

__all__ = ["RoadsOptions"]


@dataclass(frozen=True)
class RoadsOptions:
    """How roads are found, and how that is trained; lengths are in pixels."""

    tracings: ClassVar[tuple[str, ...]] = ("next-point", "skeleton")

    tracing: str = "next-point"
    """next-point (VecRoad: the graph is walked from point to point), or skeleton (the road map is thinned)."""
    channels: int = 128
    """Channels of the side outputs, and of what they are fused to."""
    branch_channels: int = 64
    """Channels of the branches for roads and junctions."""
    next_channels: int = 128
    """Channels of the hourglass for next points."""
    window: int = 256
    """Side of the square that is looked at for a step."""
    step: float = 20.0
    """From a point to the next, where no junction is nearer."""
    steps_per_image: int = 8
    """Steps that are learnt from in each image."""
    road_width: int = 8
    """Width of the lines in the road map that is learnt, where the data have no masks."""
    junction_radius: float = 4.0
    """Radius of the discs in the junction map that is learnt."""
    side_weight: float = 0.5
    """Weight of the maps of side outputs in training, all together."""
    color_jitter: float = 0.2
    """Largest relative change of brightness, contrast and saturation."""
    road_threshold: float = 0.5
    """Least value in the road map of what is thinned, and of where a walk starts."""
    junction_threshold: float = 0.3
    """Least value in the junction map of where a walk starts."""
    next_threshold: float = 0.3
    """Least value of a next point."""
    snap: float = 8.0
    """What is nearer to a known point, road or junction becomes that."""
    spur: float = 10.0
    """Dead ends at junctions that are shorter are cut."""
    apls_snap: float = 4.0
    """How far a control point of APLS may be from the other graph."""

    def __post_init__(self) -> None:
        check_choice("Tracing", self.tracing, self.tracings)
        for name, low, high in (
            ("channels", 1, 1 << 16),
            ("branch channels", 1, 1 << 16),
            ("next channels", 1, 1 << 16),
            ("window", 16, 4096),
            ("step", 4, 1024),
            ("steps per image", 1, 1024),
            ("road width", 1, 256),
            ("junction radius", 0.5, 256),
            ("side weight", 0, 1000),
            ("color jitter", 0, 1),
            ("road threshold", 0.001, 0.999),
            ("junction threshold", 0.001, 0.999),
            ("next threshold", 0.001, 0.999),
            ("snap", 1, 1024),
            ("spur", 0, 1024),
            ("apls snap", 0, 1024),
        ):
            check_range(name, getattr(self, name.replace(" ", "_")), low, high)
