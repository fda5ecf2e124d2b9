"""A network whose images have one size, such as one that was exported."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from res2net.errors import InputError

__all__ = ["FixedPixels"]


class FixedPixels(nn.Module):
    """Gives a value to the pixels of images that fit into the one size that a network takes.

    Zeros are added at the right and the bottom, and what is found there is cut off. So in an image that does not fill
    the size, values near these edges, and those of a decoder that looks at the whole image, differ from what the
    network finds in the image alone.

    Args:
        network: images `(N, C, *size)` to logits `(N, K, *size)`.
        size: height and width.
    """

    def __init__(self, network: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.network = network
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        """`(N, C, H, W)` to logits `(N, K, H, W)`.

        Raises:
            InputError: images are larger than the size of the network.
        """
        height, width = images.shape[-2:]
        if height > self.size[0] or width > self.size[1]:
            raise InputError(
                f"An image of {height} x {width} pixels does not fit into the {self.size[0]} x {self.size[1]} of the "
                "exported network: resize it, export with a larger --size, or leave out scales above 1."
            )
        filled = F.pad(images, (0, self.size[1] - width, 0, self.size[0] - height))
        logits = self.network(filled)
        assert isinstance(logits, Tensor)
        return logits[..., :height, :width]
