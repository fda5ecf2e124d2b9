"""How well activation maps fit the objects: pointing game, energy, IoU and coverage, with confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import bootstrap
from torch import Tensor

from res2net.errors import InputError, check_choice, check_range
from res2net.explain.explained import classifier_of, explained
from res2net.explain.masked import MaskedImages, known_classes
from res2net.explain.options import THRESHOLD, Method, Target, View
from res2net.images.samples import Skipped

Numbers = NDArray[np.float64]

METRICS = ("pointing", "energy", "iou", "covered")
THRESHOLDS = tuple(step / 20 for step in range(1, 20))
"""The thresholds of which the best is found."""
SIZES = (0.02, 0.1, 0.2, 0.3, 0.45, 1.0)
"""Edges of the groups of objects by size; smaller ones belong to the first group."""
RESAMPLES = 2000
"""Samples of a bootstrap."""
BATCH = 200
"""Samples at once, which bounds the memory."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class MapScores:
    """The scores of the maps of one model, one for each of n images; all shares are 0..1."""

    indices: NDArray[np.int64]
    """The images in the data set."""
    images: Sequence[str]
    """Their files, or numbers."""
    classes: Sequence[str]
    """The class of the object in the data, which is the largest of those that are known."""
    sizes: Numbers
    """The side of a square as large as the object, as a share of that of the image."""
    predicted: Sequence[str]
    """The likeliest class of the network."""
    correct: NDArray[np.bool_]
    """Whether that is the class of the object."""
    area: Numbers
    """The share of the object of what the network saw: the scores of a map that is 1 everywhere."""
    pointing: Numbers
    """Whether the maximum of the map lies in the object; where there are several, the share of them (Zhang et al.,
    IJCV 2018, without a tolerance)."""
    energy: Numbers
    """The share of the sum of the map that lies in the object (Wang et al., Score-CAM, CVPR workshops 2020)."""
    iou: Numbers
    """The intersection over union of the object and the map from `threshold` on."""
    covered: Numbers
    """The share of the object that the map from `threshold` on covers."""
    ious: Numbers
    """The IoU at each of `THRESHOLDS`, `(n, thresholds)`."""
    threshold: float
    skipped: Sequence[str] = ()
    """Images that could not be read, or show no known class."""

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def best(self) -> tuple[float, Numbers]:
        """The threshold with the highest mean IoU over these images, and the IoU of each image at it."""
        index = int(self.ious.mean(0).argmax())
        return THRESHOLDS[index], self.ious[:, index]

    def values(self, metric: str) -> Numbers:
        """The values of one of `METRICS`, or of "best_iou"."""
        check_choice("metric", metric, (*METRICS, "best_iou"))
        found: Numbers = self.best[1] if metric == "best_iou" else getattr(self, metric)
        return found

    def keep(self, chosen: NDArray[Any]) -> MapScores:
        """The scores of some of the images, by a mask or indices."""
        rows = np.arange(len(self))[chosen]
        arrays = {name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        lists = {name: [getattr(self, name)[row] for row in rows] for name in ("images", "classes", "predicted")}
        return MapScores(**{**vars(self), **arrays, **lists})

    def by_size(self) -> list[tuple[float, float, NDArray[np.bool_]]]:
        """The limits of each group of sizes, and which images belong to it."""
        groups = np.clip(np.searchsorted(SIZES, self.sizes, side="right") - 1, 0, len(SIZES) - 2)
        return [(low, high, groups == index) for index, (low, high) in enumerate(pairwise(SIZES))]


def score_maps(
    model: Any,
    images: MaskedImages,
    *,
    method: Method = "gradcam",
    layer: str | None = None,
    target: Target = "true",
    view: View = "whole",
    threshold: float = THRESHOLD,
    class_map: Mapping[str, Sequence[str]] | None = None,
    bad_images: str = "stop",
    accelerator: str = "auto",
    progress: Callable[[], Any] = lambda: None,
) -> MapScores:
    """Score the activation maps of images with masks.

    The object of an image is all pixels of one class: of the largest class that the network knows, or with the target
    "predicted" of the largest of all. Maps and masks are compared in the pixels that the network sees. A map of zeros,
    as Grad-CAM gives where nothing speaks for the class, scores 0.

    Args:
        model: a trained classifier: what `res2net.load` returned, or its task.
        images: the images with masks.
        method: "gradcam", "gradcam++" or "eigen".
        layer: name of a layer of the network; by default its last stage.
        target: "true" takes the map of the class of the object, "predicted" that of the likeliest class.
        view: "whole" shows the network the whole image, "crop" what `predict` does.
        threshold: share of the maximum of a map from which on a pixel belongs to the object.
        class_map: other names of classes, see `known_classes`; of several, the likeliest is taken.
        bad_images: "stop" raises `BadImage` at an image that cannot be read, "skip" skips it.
        accelerator: "cpu", "gpu", "mps" or "auto".
        progress: called after each image.

    Raises:
        InputError: the network knows none of the classes, no image shows one, or an option is out of range.
    """
    task = classifier_of(model)
    check_choice("target", target, Target)
    check_range("threshold", threshold, 0.01, 1)
    if target == "true":
        known = meant = known_classes(images.class_names, task.class_names, class_map)
    else:  # any class may be the likeliest, and that of the object need not be known
        every = list(range(len(task.class_names)))
        known = {label: every for label in range(len(images.class_names))}  # noqa: C420 - none of them changes it
        meant = _known_or_none(images.class_names, task.class_names, class_map)

    def choose(logits: Tensor, targets: Sequence[Mapping[str, Any]]) -> list[list[int]]:
        chosen: list[list[int]] = []
        for scores, entry in zip(logits, targets, strict=True):
            row = _largest(entry, known)
            candidates = [] if row is None else known[int(entry["labels"][row])]
            chosen.append([one for one in candidates if scores[one] == scores[candidates].max()][:1])
        return chosen

    rows: list[tuple[Any, ...]] = []
    skipped: list[str] = []
    found = explained(
        task,
        images,
        choose,
        method=method,
        layer=layer,
        view=view,
        bad_images=bad_images,
        accelerator=accelerator,
    )
    names = [str(path) for path in images.paths]
    for index, (maps, entry) in enumerate(found):
        progress()
        name = names[index]
        if isinstance(maps, Skipped):
            skipped.append(f"{maps.path} ({maps.reason})")
            continue
        row = _largest(entry, known)
        if row is None:
            skipped.append(f"{name} (no object of a known class)")
            continue
        (one,) = maps
        label = int(entry["labels"][row])
        mask = entry["masks"][row].as_subclass(Tensor)
        scores = map_scores(one.heat, mask, entry["ignored"].as_subclass(Tensor), threshold)
        rows.append(
            (
                *(index, name, images.class_names[label], float(entry["sizes"][row])),
                *(one.predicted, one.predicted_index in meant.get(label, ())),
                *scores,
            )
        )
    if not rows:
        raise InputError(f"No image has an object of a known class: {skipped[0]}.")
    columns = list(zip(*rows, strict=True))
    indices, images_of, classes, sizes, predicted, correct = columns[:6]
    shares = ("area", "pointing", "energy", "iou", "covered", "ious")
    arrays = {name: np.array(column, dtype=np.float64) for name, column in zip(shares, columns[6:], strict=True)}
    return MapScores(
        indices=np.array(indices),
        images=images_of,
        classes=classes,
        sizes=np.array(sizes),
        predicted=predicted,
        correct=np.array(correct, dtype=np.bool_),
        **arrays,
        threshold=threshold,
        skipped=skipped,
    )


def map_scores(
    heat: Tensor, mask: Tensor, ignored: Tensor | None = None, threshold: float = THRESHOLD
) -> tuple[float, float, float, float, float, list[float]]:
    """Score one map.

    Args:
        heat: `(H, W)`, 0..1.
        mask: the pixels of the object, `(H, W)` bool, at least one.
        ignored: pixels that do not count, `(H, W)` bool.
        threshold: the value from which on a pixel of the map belongs to the object.

    Returns:
        The share of the object of all pixels, and `pointing`, `energy`, `iou`, `covered` and `ious` of `MapScores`.
    """
    counted = torch.ones_like(mask) if ignored is None else ~ignored
    heat, mask = heat[counted].double(), mask[counted]
    peak, total = float(heat.max()), float(heat.sum())
    pointing = float(mask[heat == peak].double().mean()) if peak > 0 else 0.0
    energy = float(heat[mask].sum()) / total if total > 0 else 0.0

    def overlap(limit: float) -> tuple[float, float]:
        hot = heat >= limit
        both = float((hot & mask).sum())
        return both / float((hot | mask).sum()), both / float(mask.sum())

    iou, covered = overlap(threshold)
    return float(mask.double().mean()), pointing, energy, iou, covered, [overlap(one)[0] for one in THRESHOLDS]


def interval(values: Numbers, seed: int = 0) -> tuple[float, float]:
    """The 95 % confidence interval of the mean of values of images, by a percentile bootstrap over images.

    The same seed and number of values give the same resamples, so that models can be compared on the same images. NaN
    for fewer than two values.
    """
    if len(values) < 2:
        return math.nan, math.nan
    found = bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=BATCH,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def on_common_images(scores: Mapping[str, MapScores]) -> dict[str, MapScores]:
    """The scores of several models on the images that all of them scored; `InputError` if there are none."""
    common = set.intersection(*(set(one.indices.tolist()) for one in scores.values()))
    if not common:
        raise InputError("The models have no scored image in common: give data with classes that all of them know.")
    return {name: one.keep(np.isin(one.indices, list(common))) for name, one in scores.items()}


def _largest(entry: Mapping[str, Any], known: Mapping[int, Sequence[int]]) -> int | None:
    """The row of the known class with most pixels in view; None if there is none."""
    counts = entry["masks"].as_subclass(Tensor).flatten(1).sum(1).tolist()
    rows = [row for row, label in enumerate(entry["labels"].tolist()) if label in known and counts[row]]
    return max(rows, key=counts.__getitem__, default=None)


def _known_or_none(
    class_names: Sequence[str], model_names: Sequence[str], class_map: Mapping[str, Sequence[str]] | None
) -> dict[int, list[int]]:
    try:
        return known_classes(class_names, model_names, class_map)
    except InputError:
        if class_map:
            raise
        return {}
