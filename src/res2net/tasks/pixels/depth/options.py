"""The options of the task depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from res2net.errors import InputError
from res2net.options import check_ranges
from res2net.tasks.pixels.options import PixelOptions


@dataclass(frozen=True)
class DepthOptions(PixelOptions):
    """The loss of depth estimation, and the range of distances."""

    renamed: ClassVar[Mapping[str, str]] = {"least": "min_depth", "most": "max_depth"}

    # Without `resize`: the network judges distances by how large things are in the pixels of its training.
    adjustable: ClassVar[tuple[str, ...]] = ("window", "overlap", "scales", "flip_test", "min_depth", "max_depth")

    data_help: ClassVar[str] = (
        "folders images/ and depth/ with files of the same names (16-bit PNG in mm or .npy in metres; depth.json "
        'states another scale), or the synthetic data set "shapes"'
    )
    everyday: ClassVar[tuple[str, ...]] = ("decoder", "output_stride", "crop", "max_depth", "freeze", "freeze_norms")

    scale: tuple[float, float] = (1.0, 1.5)
    """Smallest and largest random factor by which a training image is resized before it is cropped."""
    zoom_depth: bool = True
    """Divide distances by the factor by which an image is enlarged, in training and in evaluation."""
    scale_invariance: float = 0.5
    """1 learns the distances of an image up to a common factor, 0 learns them absolutely, 0.5 is Eigen's choice."""
    root: bool = False
    """Learn from ten times the root of that error over a batch, as BTS does, in place of its mean over images."""
    min_depth: float = 0.001
    """Smallest distance, metres: predictions are clamped to it, and nearer pixels do not count in evaluation."""
    max_depth: float = 80.0
    """Largest distance, metres: predictions are clamped to it, and farther pixels do not count in evaluation; 10 is
    usual for rooms."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, scale_invariance=(0, 1))
        if not 0 < self.min_depth < self.max_depth <= 1e6:
            raise InputError(
                f"Distances from {self.min_depth} to {self.max_depth} m do not fit: give two above 0, the smaller one "
                "first (--min-depth, --max-depth)."
            )
