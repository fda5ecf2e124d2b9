"""What a user can choose for every task that gives a value to each pixel; it is no task of its own."""

from __future__ import annotations

from dataclasses import dataclass

from res2net.errors import InputError, check_range

__all__ = ["PixelOptions"]


@dataclass(frozen=True)
class PixelOptions:
    """How images are seen in training and in evaluation, and what of the backbone is trained."""

    decoder: str = "deeplabv3plus"
    """deeplabv3plus; or unet, unetplusplus, manet, linknet, fpn, pspnet, pan, upernet (segmentation_models.pytorch)."""
    channels: int = 256
    """Channels within the decoder; those of segmentation_models.pytorch have their own."""
    output_stride: int | None = None
    """Stride of the last map, 32, 16 or 8; by default the network's own."""
    crop: tuple[int, int] | None = None
    """Height and width that training sees of an image, pixels; by default a square of --size."""
    scale: tuple[float, float] = (0.5, 2.0)
    """Least and greatest factor of a training image's size, before it is cut."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    color_jitter: float = 0.0
    """Largest relative change of brightness, contrast and saturation."""
    resize: int = 0
    """Shorter side that images get, pixels, in training before the random factor; 0 leaves them as large as they
    are."""
    window: int = 0
    """Look at images that are larger than this side, in pixels, piece by piece; 0 looks at all at once."""
    overlap: float = 1 / 3
    """Least share of a piece that the next one sees again."""
    scales: tuple[float, ...] = (1.0,)
    """Evaluate with the mean over these sizes of each image, such as 0.5 0.75 1 1.25 1.5 1.75."""
    flip_test: bool = False
    """Evaluate with the mean of each image and its mirror image."""
    freeze: int = 0
    """How many stages of the backbone are not trained, the stem first."""
    freeze_norms: bool = False
    """Batch normalisations of the backbone never learn, as is usual with published weights and small batches."""

    def __post_init__(self) -> None:
        check_range("channels", self.channels, 1, 1 << 16)
        if self.output_stride not in (None, 8, 16, 32):
            raise InputError(f"The output stride {self.output_stride} does not fit: give 8, 16 or 32.")
        for side in self.crop or ():
            check_range("crop", side, 8, 16384)
        if not 0 < self.scale[0] <= self.scale[1] <= 100:
            raise InputError(f"The scales {self.scale} do not fit: give a least and a greatest factor, up to 100.")
        check_range("flip", self.flip, 0, 1)
        check_range("color jitter", self.color_jitter, 0, 1)
        check_range("resize", self.resize, 0, 16384)
        check_range("window", self.window, 0, 16384)
        check_range("overlap", self.overlap, 0, 0.9)
        if not self.scales or not all(0.05 <= scale <= 10 for scale in self.scales):
            raise InputError(f"The scales {self.scales} of evaluation do not fit: give numbers from 0.05 to 10.")
        check_range("freeze", self.freeze, 0, 100)
