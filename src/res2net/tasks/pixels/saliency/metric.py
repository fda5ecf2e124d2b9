"""How well salient objects were found: F-measures, MAE, S-measure and E-measure, as PySODMetrics counts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.ndimage import correlate1d, distance_transform_edt
from torch import Tensor

from res2net.errors import InputError
from res2net.tasks.objects.metrics.image_metric import ImageMetric, entry, pairs
from res2net.tasks.pixels.saliency.result import LEVELS, levels_of

BETA_SQUARED = 0.3
"""Weight of precision beside recall in the F-measure (Achanta et al., CVPR 2009)."""
EPS = np.spacing(1.0)
SMOOTHING = np.exp(-(np.arange(-3.0, 4.0) ** 2) / (2 * 5.0**2))
SMOOTHING /= SMOOTHING.sum()
"""One of the two equal factors of a Gaussian of 7x7 pixels and a standard deviation of 5."""

SINGLE = ("adaptive_F", "weighted_F", "MAE", "S", "adaptive_E")
"""The measures that are one number per image; the others are a number per threshold."""

Numbers = np.ndarray[Any, np.dtype[np.float64]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


class SaliencyMeasures(ImageMetric):
    """The measures of salient object detection, each a mean over images, as fractions from 0 to 1.

    - `max_F`, `mean_F`: over thresholds, of the F-measure with beta^2 = 0.3 (Achanta et al., CVPR 2009)
    - `adaptive_F`: at twice the mean of a map
    - `weighted_F`: of pixels weighted by where they are (Margolin et al., CVPR 2014)
    - `MAE`: mean absolute error (Perazzi et al., CVPR 2012); the lower, the better
    - `S`: structure measure (Fan et al., ICCV 2017)
    - `max_E`, `mean_E`, `adaptive_E`: enhanced alignment measure (Fan et al., IJCAI 2018)
    - `max_F_of_means`: the F-measure of the mean precision and the mean recall at the best threshold, as papers until
      about 2018 have it, DSS among them

    Maps are rounded to 256 levels, as `predict` writes them, and with `stretch` stretched to the full range, as in the
    usual evaluation toolboxes. Unlike in PySODMetrics, the E-measure of an image of one pixel is divided by 1 rather
    than by 2e-16, and the structure measure is not NaN if the mask's centre is in the last row or column.
    """

    def __init__(self, *, stretch: bool = True) -> None:
        super().__init__()
        self.stretch = stretch

    def update(self, results: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Add images, a result and a target for each.

        Args:
            results: `saliency` `(H, W)`: from 0 to 1, or uint8.
            targets: `image_id`, and `saliency` `(H, W)`, bool.

        Raises:
            InputError: something is missing, has another shape or type, has no pixel or is out of range.
        """
        for image_id, result, target in pairs(results, targets):
            mask = entry(target, "saliency", "target", (-1, -1))
            if mask.dtype != torch.bool:
                raise InputError(f"'saliency' of a target is {mask.dtype}: give bool, true where something is salient.")
            if not mask.numel():
                raise InputError(f"'saliency' of a target has no pixel (shape {tuple(mask.shape)}): leave it out.")
            saliency = entry(result, "saliency", "result", tuple(mask.shape))
            levels = levels_of(saliency).cpu().numpy()
            self.keep(image_id, _measure(levels, mask.cpu().numpy(), stretch=self.stretch))

    def curves(self) -> dict[str, Tensor]:
        """Means over images at each threshold, from 255 / 255 down to 0: precision, recall, F and E, `(256,)`."""
        return _mean_curves(*self.columns("precision", "recall", "E"))

    def compute(self) -> dict[str, float]:
        """The ten numbers by name; NaN without an image."""
        singles, *columns = self.columns("single", "precision", "recall", "E")
        curves = _mean_curves(*columns)
        means = torch.from_numpy(singles).view(-1, len(SINGLE)).mean(0)
        single = dict(zip(SINGLE, means.tolist(), strict=True))
        of_means = _f_measure(curves["precision"].numpy(), curves["recall"].numpy())
        return {
            "max_F": float(curves["F"].max()),
            "mean_F": float(curves["F"].mean()),
            "adaptive_F": single["adaptive_F"],
            "weighted_F": single["weighted_F"],
            "MAE": single["MAE"],
            "S": single["S"],
            "max_E": float(curves["E"].max()),
            "mean_E": float(curves["E"].mean()),
            "adaptive_E": single["adaptive_E"],
            "max_F_of_means": float(of_means.max()),
        }


def _mean_curves(precision: Numbers, recall: Numbers, e_measure: Numbers) -> dict[str, Tensor]:
    """Means over images of curves that are joined over all images."""
    curves = {"precision": precision, "recall": recall, "E": e_measure}
    every = {name: torch.from_numpy(values).view(-1, LEVELS) for name, values in curves.items()}
    every["F"] = torch.from_numpy(_f_measure(every["precision"].numpy(), every["recall"].numpy()))
    return {name: values.mean(0) for name, values in every.items()}


def _measure(levels: Bytes, mask: Mask, *, stretch: bool) -> dict[str, Numbers]:
    """All measures of an image: three curves over thresholds, the highest first, and `SINGLE`."""
    values = np.arange(LEVELS) / (LEVELS - 1)
    least, most = int(levels.min()), int(levels.max())
    if stretch and least != most:
        values = (values - values[least]) / (values[most] - values[least])
    saliency = values[levels]
    # Stretched values are cut to levels again for the curves; cutting, not rounding, is what the toolbox does.
    again = (values[least : most + 1] * (LEVELS - 1)).astype(np.int64)
    present = np.arange(least, most + 1)
    inside, outside = (np.bincount(levels[where], minlength=LEVELS)[present] for where in (mask, ~mask))
    hits = np.cumsum(np.bincount(again, inside, LEVELS)[::-1], dtype=np.float64)
    wrong = np.cumsum(np.bincount(again, outside, LEVELS)[::-1], dtype=np.float64)
    salient = int(mask.sum())
    precision, recall = hits / np.maximum(hits + wrong, 1), hits / max(salient, 1)

    found = saliency >= min(2 * saliency.mean(), 1.0)
    hit = np.array([np.count_nonzero(found & mask)], dtype=np.float64)
    miss = np.array([np.count_nonzero(found)]) - hit
    adaptive = _f_measure(hit / np.maximum(hit + miss, 1), hit / max(salient, 1))
    single = [
        float(adaptive[0]),
        _weighted_f(saliency, mask) if salient else 0.0,
        float(np.abs(saliency - mask).mean()),
        _structure(saliency, mask),
        float(_alignment(hit, miss, salient, mask.size)[0]),
    ]
    return {
        "precision": precision,
        "recall": recall,
        "E": _alignment(hits, wrong, salient, mask.size),
        "single": np.array(single),
    }


def _f_measure(precision: Numbers, recall: Numbers) -> Numbers:
    numerator = (1 + BETA_SQUARED) * precision * recall
    return numerator / np.where(numerator == 0, 1, BETA_SQUARED * precision + recall)


def _alignment(hits: Numbers, wrong: Numbers, salient: int, pixels: int) -> Numbers:
    """The E-measure of binary maps with so many salient pixels found and so many others."""
    found = hits + wrong
    if salient in (0, pixels):
        total = found if salient else pixels - found
    else:
        mean_found, mean = found / pixels, salient / pixels
        total = np.zeros_like(found)
        counts = (hits, wrong, salient - hits, pixels - found - (salient - hits))
        signs = ((1, 1), (1, 0), (0, 1), (0, 0))
        for count, (one_found, one_true) in zip(counts, signs, strict=True):
            ours, true = one_found - mean_found, one_true - mean
            aligned = 2 * ours * true / (ours**2 + true**2 + EPS)
            total = total + count * (aligned + 1) ** 2 / 4
    return total / max(pixels - 1, 1)


def _structure(saliency: Numbers, mask: Mask) -> float:
    """The S-measure: how alike a map and a mask are within object and background, and in four parts of the image."""
    share = mask.mean()
    if share == 0:
        return float(1 - saliency.mean())
    if share == 1:
        return float(saliency.mean())
    objects = share * _evenness(saliency[mask]) + (1 - share) * _evenness(1 - saliency[~mask])
    height, width = mask.shape
    rows, columns = mask.nonzero()
    row, column = int(rows.mean().round()) + 1, int(columns.mean().round()) + 1
    parts = 0.0
    for top, bottom in ((0, row), (row, height)):
        for left, right in ((0, column), (column, width)):
            pixels = (bottom - top) * (right - left)
            if pixels:
                where = np.s_[top:bottom, left:right]
                parts += pixels / mask.size * _similarity(saliency[where], mask[where])
    return max(0.0, float(0.5 * objects + 0.5 * parts))


def _evenness(values: Numbers) -> float:
    """How close values are to 1 and to one another."""
    mean, spread = values.mean(), values.std(ddof=1) if values.size > 1 else 0.0
    return float(2 * mean / (mean**2 + 1 + spread + EPS))


def _similarity(saliency: Numbers, mask: Mask) -> float:
    """The structural similarity of a part."""
    mean, share, free = saliency.mean(), mask.mean(), saliency.size - 1 + EPS
    away, apart = saliency - mean, mask - share
    joint = 4 * mean * share * (away * apart).sum() / free
    own = (mean**2 + share**2) * ((away**2).sum() + (apart**2).sum()) / free
    if joint:
        return float(joint / (own + EPS))
    return 0.0 if own else 1.0


def _weighted_f(saliency: Numbers, mask: Mask) -> float:
    """The weighted F-measure, with beta = 1, of a mask with a salient pixel."""
    distance, nearest = distance_transform_edt(~mask, return_indices=True)
    error = np.abs(saliency - mask)
    # Errors of neighbours make up for one another within the object: outside, each counts as the nearest inside.
    smooth = error[nearest[0], nearest[1]]
    for axis in (0, 1):
        smooth = correlate1d(smooth, SMOOTHING, axis, mode="constant")
    inside = np.minimum(error, smooth)[mask]
    # What is found far from the object counts twice.
    outside = (error * (2 - np.exp(np.log(0.5) / 5 * distance)))[~mask].sum()
    hits = len(inside) - inside.sum()
    recall, precision = 1 - inside.mean(), hits / (hits + outside + EPS)
    return float(2 * recall * precision / (recall + precision + EPS))
