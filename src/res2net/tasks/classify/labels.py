"""Names of classes, and labels of a data set: rare classes get a higher weight, or their images several times."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from res2net.errors import InputError, listed
from res2net.files import read_text
from res2net.images.samples import true_targets

NO_LABEL = -1
"""The label of an image whose class is not known."""


def labels_of(samples: Any) -> list[Any]:
    """The class of each sample of a data set, or the classes."""
    labels = getattr(samples, "targets", None)
    return list(labels) if labels is not None else [int(target["label"]) for target in true_targets(samples)]


def assumed_class_names(classes: int) -> list[str]:
    """The names of ImageNet's classes for a classifier of 1000, else numbers."""
    if classes == 1000:
        from torchvision.models import ResNet50_Weights

        return list(ResNet50_Weights.IMAGENET1K_V2.meta["categories"])
    return [f"class {index}" for index in range(classes)]


def balanced_indices(labels: Sequence[int], classes: int) -> list[int]:
    """The indices of all samples, and after them those of rare classes again, until all classes have equally many.

    Samples without a label are listed once.
    """
    members: list[list[int]] = [[] for _ in range(classes)]
    for index, label in enumerate(labels):
        if label != NO_LABEL:
            members[label].append(index)
    most = max(map(len, members))
    repeated = [one for some in members if some for one in itertools.islice(itertools.cycle(some), most - len(some))]
    return [*range(len(labels)), *repeated]


def class_weights(chosen: str, labels: Sequence[int], names: Sequence[str]) -> Tensor:
    """The weight of each class in the loss, `(classes,)`.

    Args:
        chosen: "balanced" for weights in inverse proportion to the number of samples, whose mean over the samples is 1;
            or a file with a line `NAME,WEIGHT` for each class.
        labels: the class of each training sample; those without a label do not count.
        names: the names of the classes.

    Raises:
        InputError: the file cannot be read, or does not give a weight to each class once.
    """
    if chosen == "balanced":
        known = [label for label in labels if label != NO_LABEL]
        counts = torch.bincount(torch.tensor(known), minlength=len(names)).double()
        return (counts.sum() / (len(names) * counts.clamp(min=1))).float()
    try:
        text = read_text(chosen)
    except OSError as error:
        raise InputError(
            f"Cannot read the class weights {chosen} ({error.strerror}): give balanced, or a file with lines "
            "NAME,WEIGHT."
        ) from error
    found: dict[str, float] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, _, value = line.replace("\t", ",").rpartition(",")
        name = name.strip().strip('"')
        try:
            weight = float(value)
        except ValueError:
            weight = math.nan
        if name not in names or name in found or not 0 <= weight < math.inf:
            raise InputError(
                f"Line {number} of {chosen} is {line.strip()!r}: give NAME,WEIGHT with a weight of 0 or more, once for "
                f"each class ({listed(names)})."
            )
        found[name] = weight
    if missing := [name for name in names if name not in found]:
        raise InputError(f"{chosen} has no weight for {listed(missing)}: add a line NAME,WEIGHT for each class.")
    if not any(found.values()):
        raise InputError(f"All weights in {chosen} are 0, and nothing is learnt: give one above 0.")
    return torch.tensor([found[name] for name in names])
