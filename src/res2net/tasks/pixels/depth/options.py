"""What a user can choose for the task depth."""

from __future__ import annotations

from dataclasses import dataclass

from res2net.errors import InputError, check_range
from res2net.tasks.pixels.options import PixelOptions

__all__ = ["DepthOptions"]


@dataclass(frozen=True)
class DepthOptions(PixelOptions):
    """How distances are found, and how that is trained."""

    scale: tuple[float, float] = (1.0, 1.5)
    """Least and greatest factor of a training image's size, before it is cut."""
    zoom_depth: bool = True
    """What is enlarged counts as nearer by the same factor, in training and in evaluation; else its distance stays."""
    scale_invariance: float = 0.5
    """1 learns the distances of an image up to a common factor, 0 as they are, 0.5 something between (Eigen's)."""
    root: bool = False
    """Learn from ten times the root of that error over a batch, as BTS does, in place of its mean over images."""
    least: float = 0.001
    """Metres: nearer pixels do not count in evaluation, and none is found nearer."""
    most: float = 80.0
    """Metres: farther pixels do not count in evaluation, and none is found farther; 10 is usual for rooms."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("scale invariance", self.scale_invariance, 0, 1)
        if not 0 < self.least < self.most <= 1e6:
            raise InputError(
                f"Distances from {self.least} to {self.most} m do not fit: give two above 0, the smaller one first "
                "(--least, --most)."
            )
