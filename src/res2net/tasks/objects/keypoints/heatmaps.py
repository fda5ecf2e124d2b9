"""Keypoints as heat maps, one with a Gaussian for each point, and back; and the mean over a mirrored image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from res2net.errors import InputError, check_choice, check_range
from res2net.images.keypoints import mirrored_order
from res2net.tasks.objects.keypoints.crops import move_points

REACH = 3.0
"""How far from its centre a Gaussian is drawn, in standard deviations."""
REFINEMENTS = {"none": 0, "quarter": 1, "taylor": 2}
"""How the position of a largest value is refined (see `HeatmapCodec`): the values it needs on each side of it."""
MIN_VALUE = 1e-10
"""Below it a value counts as this much, so that it has a logarithm (the published code of DARK)."""


@dataclass(frozen=True)
class HeatmapCodec:
    """Between keypoints in pixels of a crop and heat maps with Gaussians whose largest value is 1.

    By default points keep their positions between the pixels of a heat map (Zhang et al., DARK, CVPR 2020), and a
    mirrored crop has mirrored heat maps, so that `flip_test` needs no shift. `HeatmapCodec.published()` is the way of
    SimpleBaseline, which rounds.

    Raises:
        InputError: an option is out of range, or heat maps are too small for the refinement.
    """

    size: tuple[int, int] = (256, 192)
    """Height and width of the crop, pixels."""
    stride: int = 4
    """Pixels of the crop for each of a heat map, along each side."""
    sigma: float = 2.0
    """Standard deviation of the Gaussians, in pixels of the heat map; they end at three of it."""
    rounded: bool = False
    """Whether the centre of a Gaussian is moved to the nearest pixel of the heat map."""
    first: float | None = None
    """Where in the crop the first pixel of a heat map lies; by default `stride / 2`, the middle of what it covers."""
    refine: str = "taylor"
    """From the largest value of a map to a point: "none" takes its position, "quarter" moves it by a quarter of a pixel
    towards the larger neighbour, "taylor" finds the maximum of the parabola through the logarithms around it (DARK).
    Where a neighbour is missing at the border, "taylor" does as "quarter", and "quarter" as "none"."""
    smooth: bool = True
    """Whether "taylor" first smooths with a Gaussian of the same `sigma`, as predicted maps need it."""

    def __post_init__(self) -> None:
        check_choice("Refinement", self.refine, REFINEMENTS)
        check_range("sigma", self.sigma, 0.1)
        if self.stride < 1 or any(side < 1 or side % self.stride for side in self.size):
            raise InputError(
                f"Crops of {self.size[0]} x {self.size[1]} pixels have no heat maps of stride {self.stride}: "
                "choose a stride of 1 or more that divides both sides."
            )
        needed = 2 * REFINEMENTS[self.refine] + 1
        if min(self.shape) < needed:
            raise InputError(
                f"Heat maps of {self.shape[0]} x {self.shape[1]} pixels are too small for the refinement "
                f"{self.refine!r}, which needs {needed}: choose larger crops, a smaller stride or another refinement."
            )

    @classmethod
    def published(cls, size: tuple[int, int] = (256, 192)) -> HeatmapCodec:
        """As in the published code of SimpleBaseline; its flip test has the shift of one pixel."""
        return cls(size, rounded=True, first=0.0, refine="quarter")

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a heat map."""
        return self.size[0] // self.stride, self.size[1] // self.stride

    @property
    def origin(self) -> float:
        """Where in the crop the first pixel of a heat map lies."""
        return self.stride / 2 if self.first is None else self.first

    def encode(self, keypoints: Tensor, visibility: Tensor) -> tuple[Tensor, Tensor]:
        """Heat maps and their weights.

        A point without a label, and one whose nearest pixel is not on the map, has an empty map and weight 0. (The
        published code of SimpleBaseline also draws what reaches into the map of a Gaussian outside.)

        Args:
            keypoints: `(..., k, 2)` x and y in pixels of the crop.
            visibility: `(..., k)`, 0 where a point is not labelled.

        Returns:
            Heat maps `(..., k, height, width)` and weights `(..., k)`, 0 or 1, of the type of the keypoints.
        """
        height, width = self.shape
        centre = (keypoints - self.origin) / self.stride
        nearest = (centre + 0.5).floor()
        x, y = nearest.unbind(-1)
        learnt = (visibility > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
        if self.rounded:
            centre = nearest
        across = self._bell(centre[..., 0], x, width)
        down = self._bell(centre[..., 1], y, height)
        heatmaps = down[..., :, None] * across[..., None, :]
        # Not a product: what is not labelled may be no number.
        return heatmaps.where(learnt[..., None, None], 0), learnt.to(keypoints.dtype)

    def _bell(self, centre: Tensor, nearest: Tensor, count: int) -> Tensor:
        """Along one axis of `count` pixels: the Gaussian around `centre`, `(..., k)` to `(..., k, count)`."""
        position = torch.arange(count, dtype=centre.dtype, device=centre.device)
        bell = torch.exp(-((position - centre[..., None]) ** 2) / (2 * self.sigma**2))
        return bell.where((position - nearest[..., None]).abs() <= REACH * self.sigma, 0)

    def decode(self, heatmaps: Tensor, matrix: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The point of the largest value of each map, and that value as its score.

        Args:
            heatmaps: `(N, k, height, width)`.
            matrix: `(N, 2, 3)` from the crops to their images; without it points stay in pixels of the crop.

        Returns:
            Points `(N, k, 2)` and scores `(N, k)`.

        Raises:
            InputError: the heat maps have another size.
        """
        height, width = self.shape
        if tuple(heatmaps.shape[-2:]) != (height, width):
            raise InputError(
                f"Heat maps of {heatmaps.shape[-2]} x {heatmaps.shape[-1]} pixels do not fit crops of {self.size[0]} x "
                f"{self.size[1]} with stride {self.stride}: give maps of {height} x {width}."
            )
        scores, best = heatmaps.flatten(2).max(-1)
        position = torch.stack([best % width, best // width], -1)
        points = position.to(heatmaps.dtype)
        if self.refine != "none":
            points = points + self._quarter(heatmaps, position)
        if self.refine == "taylor":
            offset, known = self._taylor(heatmaps, position)
            points = torch.where(known[..., None], position + offset, points)
        points = points * self.stride + self.origin
        return points if matrix is None else move_points(matrix.to(points), points), scores

    def _quarter(self, heatmaps: Tensor, position: Tensor) -> Tensor:
        """A quarter of a pixel towards the larger neighbour along each axis, `(N, k, 2)`."""
        near, complete = _neighbours(heatmaps, position, 1)
        slope = torch.stack([near(1, 0) - near(-1, 0), near(0, 1) - near(0, -1)], -1)
        return 0.25 * slope.sign() * complete

    def _taylor(self, heatmaps: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """From the largest value to the maximum of the parabola, `(N, k, 2)`, and where there is one, `(N, k)`.

        Equations 6 to 9 of the paper, with the differences of its code.
        """
        smooth = self._smoothed(heatmaps) if self.smooth else heatmaps
        near, complete = _neighbours(smooth.clamp(min=MIN_VALUE).log(), position, 2)
        x = 0.5 * (near(1, 0) - near(-1, 0))
        y = 0.5 * (near(0, 1) - near(0, -1))
        xx = 0.25 * (near(2, 0) - 2 * near(0, 0) + near(-2, 0))
        yy = 0.25 * (near(0, 2) - 2 * near(0, 0) + near(0, -2))
        xy = 0.25 * (near(1, 1) - near(1, -1) - near(-1, 1) + near(-1, -1))
        determinant = xx * yy - xy * xy
        known = complete.all(-1) & (determinant > 0) & (xx < 0)
        offset = torch.stack([xy * y - yy * x, xy * x - xx * y], -1) / determinant.where(known, 1)[..., None]
        # The maximum is next to the largest value, whatever noise says.
        return offset.clamp(-1, 1), known

    def _smoothed(self, heatmaps: Tensor) -> Tensor:
        """The maps under a Gaussian of the same `sigma` that ends at two and a half of it."""
        reach = round(2.5 * self.sigma)
        position = torch.arange(-reach, reach + 1, dtype=heatmaps.dtype, device=heatmaps.device)
        bell = torch.exp(-(position**2) / (2 * self.sigma**2))
        bell = (bell / bell.sum())[None, None]
        maps = heatmaps.flatten(0, 1)[:, None]
        maps = F.conv2d(F.conv2d(maps, bell[..., None], padding=(reach, 0)), bell[:, :, None], padding=(0, reach))
        return maps[:, 0].unflatten(0, heatmaps.shape[:2])


def _neighbours(heatmaps: Tensor, position: Tensor, reach: int) -> tuple[Callable[[int, int], Tensor], Tensor]:
    """The values around a position `(N, k, 2)` of each map, and along which axes they are all on the map.

    The values are a function of how many pixels to the right and down they are, `(N, k)`; the latter is `(N, k, 2)`.
    """
    height, width = heatmaps.shape[-2:]
    complete = (position >= reach) & (position < torch.tensor([width, height], device=position.device) - reach)
    padded = F.pad(heatmaps, (reach,) * 4).flatten(2)
    row = width + 2 * reach
    index = (position[..., 1] + reach) * row + position[..., 0] + reach
    return lambda right, down: padded.gather(2, (index + down * row + right)[..., None])[..., 0], complete


def flip_back(heatmaps: Tensor, flip_pairs: Sequence[tuple[int, int]], *, shift: bool = False) -> Tensor:
    """Heat maps `(N, k, h, w)` of mirrored images as those of the images themselves.

    Args:
        heatmaps: of mirrored images.
        flip_pairs: pairs of keypoints, by number, that a mirror swaps.
        shift: whether to move them a pixel to the right, the first column being kept, as the published code of
            SimpleBaseline does: for maps whose pixels do not lie in the middle of what they cover.
    """
    back = heatmaps[:, mirrored_order(heatmaps.shape[1], flip_pairs)].flip(-1)
    return torch.cat([back[..., :1], back[..., :-1]], -1) if shift else back


def flip_test(
    model: Callable[[Tensor], Tensor], images: Tensor, flip_pairs: Sequence[tuple[int, int]], *, shift: bool = False
) -> Tensor:
    """The mean of the heat maps of images `(N, C, H, W)` and of those of the mirrored images; see `flip_back`."""
    return (model(images) + flip_back(model(images.flip(-1)), flip_pairs, shift=shift)) / 2
