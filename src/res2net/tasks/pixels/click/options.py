"""What a user can choose for the task click."""

from __future__ import annotations

from dataclasses import dataclass

from res2net.errors import InputError, check_choice, check_range
from res2net.tasks.pixels.options import PixelOptions

__all__ = ["ClickOptions"]

CLICK_LOSSES = ("bell", "distance")


@dataclass(frozen=True)
class ClickOptions(PixelOptions):
    """How objects are found by clicks, and how that is trained."""

    output_stride: int | None = 16
    """Stride of the last map, 32, 16 or 8; none for the network's own."""
    first_click: bool = True
    """Let a branch of its own look around the first click (FCANet)."""
    first_weight: float = 1.0
    """Weight of the mask that this branch finds, in the loss."""
    click_loss: str = "bell"
    """How pixels count in the loss: bell (more within the bells of clicks), or distance (by how near a click of their
    kind is, as in FCANet)."""
    click_weight: float = 10.0
    """How much more than other pixels those count in the loss bell that are clicked; less around them."""
    previous_mask: bool = False
    """Let the network see what it found by the clicks before (RITM)."""
    sigma: float = 10.0
    """Width of a click in its map at half the height, pixels of what the network sees."""
    first_sigma: float = 30.0
    """The same of the first click for its branch."""
    positives: int = 3
    """Random clicks on the object in training at most, beside the first."""
    negatives: int = 4
    """Random clicks beside the object in training at most."""
    rounds: int = 3
    """Times at most that training clicks on the largest error of what the network finds, and looks again."""
    most_clicks: int = 20
    """Clicks on an object in evaluation at most."""
    least_area: float = 64.0
    """Square pixels of the box of the smallest object that is trained and evaluated with."""
    eval_objects: int = 0
    """Evaluate with so many objects from all over the data; 0 takes all."""
    connected: bool = False
    """Leave out what is not connected to a positive click (the structural integrity of FCANet)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("Loss of clicks", self.click_loss, CLICK_LOSSES)
        check_range("first weight", self.first_weight, 0, 1e6)
        check_range("click weight", self.click_weight, 0, 1e6)
        check_range("sigma", self.sigma, 0.5, 1000)
        check_range("first sigma", self.first_sigma, 0.5, 1000)
        for name in ("positives", "negatives", "rounds"):
            check_range(name, getattr(self, name), 0, 100)
        check_range("most clicks", self.most_clicks, 1, 1000)
        check_range("least area", self.least_area, 0)
        check_range("eval objects", self.eval_objects, 0)
        if self.freeze:
            raise InputError(
                "The clicks enter the network at its first convolution, which has to learn them: leave out --freeze."
            )
