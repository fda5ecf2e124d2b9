"""What a user can choose for the task volumes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from res2net.errors import InputError
from res2net.options import check_ranges


@dataclass(frozen=True)
class VolumesOptions:
    """How the voxels of volumes are classified, and how that is trained."""

    adjustable: ClassVar[tuple[str, ...]] = ("overlap",)

    data_help: ClassVar[str] = (
        "NIfTI files in imagesTr/ and labelsTr/ (Medical Segmentation Decathlon) or images/ and labels/, or the "
        'synthetic data set "volumes"'
    )
    size_help: ClassVar[str] = "One number, the height and width of a patch, voxels; --depth is its number of slices."
    everyday: ClassVar[tuple[str, ...]] = ("depth", "slices", "spacing", "window", "patches")

    depth: int | None = None
    """Slices of a patch; its height and width are --size. By default as many as these."""
    slices: int = 1
    """Neighbouring slices that a network of two dimensions sees together, an odd number (2.5-D)."""
    channels: int = 256
    """Channels of the decoder's coarsest level; each finer one has half as many."""
    spacing: tuple[float, float, float] | None = None
    """Distance of slices, rows and columns that the network sees, mm; by default the median of the training volumes."""
    window: tuple[float, float] | None = None
    """Lowest and highest intensity that matter; by default nearly all of the foreground lies within."""
    patches: int = 8
    """Patches of each volume in an epoch."""
    foreground: float = 0.67
    """Share of the patches that are centred on a class, each class as often as the others."""
    flip: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Probability of a flip along slices, rows and columns; bodies have a left and a right."""
    jitter: float = 0.1
    """Largest change of contrast and of brightness, in standard deviations."""
    noise: float = 0.1
    """Largest standard deviation of noise that is added."""
    overlap: float = 0.5
    """Share that neighbouring windows have in common where a volume is larger than a patch."""

    def __post_init__(self) -> None:
        check_ranges(self, depth=(0, 8192), channels=(8, 1 << 16), patches=(1, 1 << 20), spacing=(1e-3, 1e3))
        check_ranges(self, foreground=(0, 1), flip=(0, 1), jitter=(0, 1), noise=(0, 10), overlap=(0, 0.95))
        check_ranges(self, window=(-1e9, 1e9))
        if self.slices < 1 or self.slices % 2 == 0:
            raise InputError(f"slices {self.slices} is not an odd number: give 1, 3, 5 and so on.")
        if self.window is not None and not self.window[0] < self.window[1]:
            raise InputError(f"The window {self.window} is empty: give the lowest intensity before the highest.")
