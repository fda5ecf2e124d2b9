"""What a user can choose for the task translate."""

from __future__ import annotations

from dataclasses import dataclass

from res2net.errors import InputError, check_choice, check_range

__all__ = ["TranslateOptions"]


@dataclass(frozen=True)
class TranslateOptions:
    """How images are made of images, and how that is learnt."""

    direction: str = "forward"
    """forward makes the image in B, or on the right, of that in A, or on the left; backward the other way."""
    l1: float = 100.0
    """Weight of the mean absolute difference from the true image."""
    adversarial: float = 1.0
    """Weight of what the discriminator says; 0 trains without one."""
    adversarial_loss: str = "least-squares"
    """least-squares or cross-entropy."""
    discriminator_channels: int = 64
    """Channels of its first map; twice and four times as many of the next."""
    perceptual: float = 0.0
    """Weight of the difference that a trained network sees; 0 is off."""
    perceptual_weights: str | None = None
    """The weights of that network: a file, or with its name a tag such as "in1k"."""
    perceptual_model: str | None = None
    """Its name: vgg16 for torchvision's file, or a backbone; by default what the file says."""
    skips: bool = True
    """Let the second half of the generator see the finer maps of the first."""
    enlarge: float = 1.0
    """Factor of --size to which training pairs are resized before they are cut at random; pix2pix has 1.117."""
    flip: float = 0.0
    """Probability of a horizontal flip; pix2pix has 0.5."""
    window: int = 0
    """Make images that are larger than this side, in pixels, piece by piece; 0 makes all at once."""
    overlap: float = 1 / 3
    """Least share of a piece that is made again with the next one."""

    def __post_init__(self) -> None:
        check_choice("Direction", self.direction, ("forward", "backward"))
        check_choice("Adversarial loss", self.adversarial_loss, ("least-squares", "cross-entropy"))
        for name in ("l1", "adversarial", "perceptual"):
            check_range(name, getattr(self, name), 0, 1e6)
        if not self.l1 + self.adversarial + self.perceptual:
            raise InputError("Nothing is learnt without a loss: give l1, adversarial or perceptual a weight above 0.")
        check_range("discriminator channels", self.discriminator_channels, 4, 1 << 12)
        if bool(self.perceptual) != (self.perceptual_weights is not None):
            raise InputError("--perceptual and --perceptual-weights belong together: give both, or none of them.")
        check_range("enlarge", self.enlarge, 1, 4)
        check_range("flip", self.flip, 0, 1)
        check_range("window", self.window, 0, 16384)
        check_range("overlap", self.overlap, 0, 0.9)
