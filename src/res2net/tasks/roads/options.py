"""The options of the task roads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from res2net.options import check_literals, check_ranges

Tracing = Literal["next-point", "skeleton"]
"""How a graph is traced."""
TRACINGS: tuple[Tracing, ...] = get_args(Tracing)


@dataclass(frozen=True)
class RoadsOptions:
    """How roads are found, and how that is trained; lengths are in pixels."""

    renamed: ClassVar[Mapping[str, str]] = {"steps_per_picture": "steps_per_image"}

    data_help: ClassVar[str] = (
        "folders images/ and graphs/ (JSON, GeoJSON or RoadTracer text, in pixels) or masks/ with files of the same "
        'names, or the synthetic data set "roads"'
    )
    adjustable: ClassVar[tuple[str, ...]] = (
        *("tracing", "step", "road_threshold", "junction_threshold", "next_threshold", "snap", "spur", "apls_snap"),
    )
    """The options that may change after training."""

    size_help: ClassVar[str] = "One number, the side of the squares that are cut from images in training, pixels."
    everyday: ClassVar[tuple[str, ...]] = ("tracing", "window", "step", "road_threshold")

    tracing: Tracing = "next-point"
    """next-point walks the graph from point to point (VecRoad), skeleton thins the road map."""
    channels: int = 128
    """Channels of the side outputs and of their fusion."""
    branch_channels: int = 64
    """Channels of the branches for roads and junctions."""
    next_channels: int = 128
    """Channels of the hourglass for next points."""
    window: int = 256
    """Side of the square that the network sees for a step."""
    step: float = 20.0
    """Distance from a point to the next, where no junction is nearer."""
    steps_per_image: int = 8
    """Training steps in each image."""
    road_width: int = 8
    """Width of the lines in the road map that is learnt, where the data have no masks."""
    junction_radius: float = 4.0
    """Radius of the discs in the junction map that is learnt."""
    side_weight: float = 0.5
    """Weight of the maps of side outputs in training, all together."""
    color_jitter: float = 0.2
    """Largest relative change of brightness, contrast and saturation."""
    road_threshold: float = 0.5
    """Least value in the road map of pixels that are thinned, and of points where a walk starts."""
    junction_threshold: float = 0.3
    """Least value in the junction map of points where a walk starts."""
    next_threshold: float = 0.3
    """Least value of a next point."""
    snap: float = 8.0
    """A point that is nearer to a known point, road or junction is joined with it."""
    spur: float = 10.0
    """Shorter dead ends at junctions are removed."""
    apls_snap: float = 4.0
    """Largest distance of a control point of APLS from the other graph."""

    def __post_init__(self) -> None:
        check_literals(self)
        check_ranges(self, channels=(1, 1 << 16), branch_channels=(1, 1 << 16), next_channels=(1, 1 << 16))
        check_ranges(self, window=(16, 4096), step=(4, 1024), steps_per_image=(1, 1024), road_width=(1, 256))
        check_ranges(self, junction_radius=(0.5, 256), side_weight=(0, 1000), color_jitter=(0, 1))
        thresholds = ("road_threshold", "junction_threshold", "next_threshold")
        check_ranges(self, **dict.fromkeys(thresholds, (0.001, 0.999)))
        check_ranges(self, snap=(1, 1024), spur=(0, 1024), apls_snap=(0, 1024))
