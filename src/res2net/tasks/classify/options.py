"""What a user can choose for the task classify."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from res2net.options import check_ranges

if TYPE_CHECKING:
    from res2net.images.transforms import TrainAugment


@dataclass(frozen=True)
class ClassifyOptions:
    """How classification is trained; where nothing is given, what is usual for the data."""

    data_help: ClassVar[str] = (
        "a folder with one folder of images per class (or train/ and val/ with these), a CIFAR folder, "
        'ImageNet as downloaded, or the synthetic data set "shapes"'
    )
    size_help: ClassVar[str] = (
        "One number, the side of the square that the network sees, pixels; by default what suits the weights or data."
    )
    everyday: ClassVar[tuple[str, ...]] = ("mixup", "cutmix", "rand_augment", "label_smoothing")

    label_smoothing: float = 0.0
    """Share of each label that is spread over all classes."""
    mixup: float = 0.0
    """Alpha of mixup; 0 is off."""
    cutmix: float = 0.0
    """Alpha of CutMix; 0 is off."""
    rand_augment: int = 0
    """Operations of RandAugment; 0 is off."""
    magnitude: int = 9
    """Strength of those operations, 0 to 30."""
    color_jitter: float = 0.0
    """Largest relative change of brightness, contrast and saturation."""
    erase: float = 0.0
    """Probability of erasing a rectangle."""
    flip: float | None = None
    """Probability of a horizontal flip."""
    crop_area: float | None = None
    """Smallest share of the image's area that the random resized crop takes."""

    def __post_init__(self) -> None:
        check_ranges(self, label_smoothing=(0, 0.999), mixup=(0, 1000), cutmix=(0, 1000))
        check_ranges(self, rand_augment=(0, 100), magnitude=(0, 30), color_jitter=(0, 1))
        check_ranges(self, erase=(0, 1), flip=(0, 1), crop_area=(0.001, 1))

    def augment(self, usual: TrainAugment) -> TrainAugment:
        """The random changes: `usual`, but for what is chosen here."""
        chosen: dict[str, Any] = {
            name: getattr(self, name) for name in ("rand_augment", "magnitude", "color_jitter", "erase")
        }
        if self.flip is not None:
            chosen["flip"] = self.flip
        if self.crop_area is not None:
            chosen |= {"scale": (self.crop_area, 1.0), "pad": None}
        return replace(usual, **chosen)
