"""What a user can choose for every task that finds objects; nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from res2net.errors import check_range
from res2net.options import check_literals
from res2net.tasks.objects.heads.options import DetectorOptions

__all__ = ["ObjectOptions"]


@dataclass(frozen=True)
class ObjectOptions:
    """How images with objects are prepared, and what of the network is trained.

    Raises:
        InputError: a value is out of range or not known.
    """

    everyday: ClassVar[tuple[str, ...]] = ("detector", "max_size", "flip", "freeze", "freeze_norms")

    detector: str = ""
    """The network that finds the objects."""
    head: DetectorOptions = field(default_factory=DetectorOptions)
    """Sizes and thresholds of the detector."""
    max_size: int = 1333
    """Longest side of an image, pixels; --size is the shorter side."""
    min_sizes: tuple[int, ...] = ()
    """Shorter sides to draw from in training; by default --size alone."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    jitter: tuple[float, float] | None = None
    """Large-scale jitter: the least and the largest factor of the size, such as 0.1 2.0, before a crop to a square."""
    color_jitter: float = 0.0
    """Largest relative change of brightness, contrast and saturation."""
    photometric_distort: float = 0.0
    """Probability of each of SSD's changes: brightness, contrast, saturation, hue, order of channels; 0.5 in SSD."""
    freeze: int = 0
    """How many stages of the backbone are not trained, the stem first."""
    freeze_norms: bool = False
    """Batch normalisations of the backbone never learn, as is usual with published weights and small batches."""

    def __post_init__(self) -> None:
        check_literals(self)
        check_range("max size", self.max_size, 16, 16384)
        for size in self.min_sizes:
            check_range("min sizes", size, 16, 16384)
        check_range("flip", self.flip, 0, 1)
        check_range("color jitter", self.color_jitter, 0, 1)
        check_range("photometric distort", self.photometric_distort, 0, 1)
        check_range("freeze", self.freeze, 0, 100)
