"""The options of the task translate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from res2net.errors import InputError
from res2net.options import check_literals, check_ranges

AdversarialLoss = Literal["least-squares", "cross-entropy"]
"""The loss by which a generator and its discriminator learn from each other."""


@dataclass(frozen=True)
class TranslateOptions:
    """Training and use of a generator."""

    adjustable: ClassVar[tuple[str, ...]] = ("window", "overlap")

    data_help: ClassVar[str] = (
        "folders A/ and B/ with images of the same names, images of two halves side by side, or the synthetic data "
        'set "shapes-masks"'
    )
    size_help: ClassVar[str] = (
        "One number, the side of the square to which training pairs are resized, pixels; --enlarge leaves a margin."
    )
    everyday: ClassVar[tuple[str, ...]] = ("direction", "l1", "adversarial", "enlarge", "flip")

    direction: Literal["forward", "backward"] = "forward"
    """forward makes the image in B, or on the right, of the one in A, or on the left; backward does the reverse."""
    l1: float = 100.0
    """Weight of the mean absolute difference from the true image."""
    adversarial: float = 1.0
    """Weight of the adversarial loss; 0 trains without a discriminator."""
    adversarial_loss: AdversarialLoss = "least-squares"
    """Least squares (LSGAN), or cross entropy (the original GAN)."""
    discriminator_channels: int = 64
    """Channels of the discriminator's first map; the next ones have twice and four times as many."""
    perceptual: float = 0.0
    """Weight of the difference between features of a trained network; 0 is off."""
    perceptual_weights: str | None = None
    """Weights of the network of the perceptual loss: a file, or with perceptual_model a tag such as "in1k"."""
    perceptual_model: str | None = None
    """Name of the network of the perceptual loss: vgg16 for torchvision's file, or a backbone; by default the file
    states it."""
    skips: bool = True
    """Skip connections from the encoder's finer maps to the decoder."""
    enlarge: float = 1.0
    """Factor of --size to which training pairs are resized before they are cut at random; pix2pix has 1.117."""
    flip: float = 0.0
    """Probability of a horizontal flip; pix2pix has 0.5."""
    window: int = 0
    """Side of the windows in which larger images are translated, pixels; 0 translates whole images."""
    overlap: float = 1 / 3
    """Least overlap of neighbouring windows, as a share of their side."""

    def __post_init__(self) -> None:
        check_literals(self)
        check_ranges(self, l1=(0, 1e6), adversarial=(0, 1e6), perceptual=(0, 1e6), discriminator_channels=(4, 1 << 12))
        check_ranges(self, enlarge=(1, 4), flip=(0, 1), window=(0, 16384), overlap=(0, 0.9))
        if not self.l1 + self.adversarial + self.perceptual:
            raise InputError("Nothing is learnt without a loss: give l1, adversarial or perceptual a weight above 0.")
        if bool(self.perceptual) != (self.perceptual_weights is not None):
            raise InputError("--perceptual and --perceptual-weights belong together: give both, or none of them.")
