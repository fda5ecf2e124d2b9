"""An image and a user who clicks on it, one click after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from res2net.images.decode import read_image
from res2net.images.joint_geometry import image_size
from res2net.tasks.pixels.click.clicks import Clicked, check_click


class ClickSession:
    """Finds an object of an image by clicks.

    The image is prepared once, and undoing computes nothing. Each click runs the whole network, since its first
    layer sees the clicks.

    Args:
        task: a trained `Click`.
        image: a file, a `PIL.Image`, or a tensor `(3, H, W)`, uint8 or float in 0..1.

    Raises:
        InputError: the file is no image.
    """

    def __init__(self, task: Any, image: Any) -> None:
        task.eval()
        self.task = task
        full_image = read_image(image) if isinstance(image, str | Path) else image
        self.size = image_size(full_image)
        """Height and width of the image."""
        self._images, self._noted = task.prepare(full_image)
        self._clicks: list[Clicked] = []
        self._masks: list[NDArray[np.bool_]] = [np.zeros(self.size, dtype=bool)]

    @property
    def clicks(self) -> tuple[Clicked, ...]:
        """All clicks so far."""
        return tuple(self._clicks)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The latest mask of the object, bool `(H, W)`; empty before the first click."""
        return self._masks[-1].copy()

    def click(self, x: float, y: float, positive: bool = True) -> NDArray[np.bool_]:
        """Click on the pixel in column `x` and row `y`, which belongs to the object or not, and return the new mask.

        Raises:
            InputError: it lies outside of the image.
        """
        clicked = Clicked(x, y, positive)
        check_click(clicked, *self.size)
        clicks = [*self._clicks, clicked]
        with torch.inference_mode():
            (mask,) = self.task.masks(self._images, self._noted, [clicks], [self._masks[-1]])
        self._clicks = clicks
        self._masks.append(mask)
        return self.mask

    def undo(self) -> NDArray[np.bool_]:
        """Take the last click back, if there is one, and return the mask before it."""
        if self._clicks:
            self._clicks.pop()
            self._masks.pop()
        return self.mask
