"""The similarity of images that were made to the real ones; all measures are torchmetrics'."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
    visual_information_fidelity,
)

from res2net.errors import InputError

MIN_SIDES = {"SSIM": 11, "VIF": 41}
"""Pixels of the shorter side from which a measure is defined: of its windows, in all of its resolutions."""


class ImageSimilarity(Metric):
    """`SSIM`, `PSNR` and `VIF` of images in 0 ... 1: the mean over all images, of any sizes.

    SSIM (Wang et al., 2004) is of Gaussian windows of 11 pixels; PSNR is in decibels, 100 at most; VIF (Sheikh and
    Bovik, 2006), in the domain of pixels, estimates how much of what an eye sees in the real image is in the other one,
    and no network is needed for it. An image that is too small for a measure does not count there.
    """

    full_state_update = False

    totals: Tensor
    counts: Tensor
    names = ("SSIM", "PSNR", "VIF")

    def __init__(self) -> None:
        super().__init__()
        self.add_state("totals", torch.zeros(len(self.names), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(len(self.names), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, made: Tensor, real: Tensor) -> None:
        """Add an image, `(C, H, W)` in 0 ... 1 as it was made and as it is; `InputError` where their sizes differ."""
        if made.shape != real.shape:
            raise InputError(f"Images {tuple(made.shape)} and {tuple(real.shape)} cannot be compared: give one size.")
        one, other = made[None].float(), real[None].float()
        values = {"PSNR": min(100.0, float(peak_signal_noise_ratio(one, other, data_range=1.0)))}
        side = min(made.shape[-2:])
        if side >= MIN_SIDES["SSIM"]:
            similar = structural_similarity_index_measure(one, other, data_range=1.0)
            assert isinstance(similar, Tensor)
            values["SSIM"] = float(similar)
        if side >= MIN_SIDES["VIF"]:
            # Its constant for the noise of an eye is for values 0 ... 255.
            values["VIF"] = float(visual_information_fidelity(255 * one, 255 * other))
        for index, name in enumerate(self.names):
            if name in values:
                self.totals[index] += values[name]
                self.counts[index] += 1

    def compute(self) -> dict[str, Tensor]:
        """The measures by name; NaN for one that no image was large enough for."""
        means = torch.where(self.counts > 0, self.totals / self.counts, math.nan)
        return dict(zip(self.names, means, strict=True))
