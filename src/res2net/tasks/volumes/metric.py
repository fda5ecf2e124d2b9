"""Dice and the 95 % Hausdorff distance of the classes of voxels, both by MONAI."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from res2net.images.text import distinct_names
from res2net.tasks.volumes.nifti import needs_volumes


class VolumeScores(Metric):
    """`dice`, 0 to 1, and `hd95`, mm: for each class the mean over volumes, and of these the mean over classes.

    The background, the first of the classes, does not count. A class that is neither present nor predicted in a volume
    does not count there; one that is missed, or predicted where there is none, has a Dice of 0 and the diagonal of the
    volume as its distance, so that the worst result has the worst score.
    """

    full_state_update = False
    dice: list[Tensor]
    distance: list[Tensor]

    def __init__(self, class_names: Sequence[str]) -> None:
        super().__init__()
        self.class_names = distinct_names(class_names)
        self.add_state("dice", default=[], dist_reduce_fx="cat")
        self.add_state("distance", default=[], dist_reduce_fx="cat")

    def update(self, found: Tensor, truth: Tensor, spacing: Sequence[float]) -> None:
        """Add a volume: indices of classes, both `(D, H, W)`, and the distance of voxels, mm."""
        classes = len(self.class_names)
        self.dice.append(volume_dice(found, truth, classes)[None])
        self.distance.append(volume_hausdorff(found, truth, classes, spacing)[None])

    def compute(self) -> dict[str, Tensor]:
        """`dice`, `hd95`, and both of each class, such as `dice_liver`; NaN for a class that was nowhere."""
        dice = torch.cat(self.dice).nanmean(0)
        distance = torch.cat(self.distance).nanmean(0)
        names = self.class_names[1:]
        # Where nothing is, finding nothing is right.
        means = {"dice": dice.nanmean().nan_to_num(1.0), "hd95": distance.nanmean().nan_to_num(0.0)}
        by_class = {f"dice_{name}": value for name, value in zip(names, dice, strict=True)}
        return means | by_class | {f"hd95_{name}": value for name, value in zip(names, distance, strict=True)}


def volume_dice(found: Tensor, truth: Tensor, classes: int) -> Tensor:
    """The Dice score of each class but the background, `(classes - 1,)`, 0 to 1; NaN for a class in neither map.

    Both maps are `(D, H, W)` with indices of classes.
    """
    with needs_volumes():
        from monai.metrics.meandice import compute_dice
    ours, theirs = (one_hot(labels, classes) for labels in (found, truth))
    dice = compute_dice(ours, theirs, include_background=False, ignore_empty=False)[0].double()
    return dice.masked_fill(nowhere(ours, theirs), float("nan"))


def volume_hausdorff(found: Tensor, truth: Tensor, classes: int, spacing: Sequence[float]) -> Tensor:
    """The 95 % Hausdorff distance of each class but the background, `(classes - 1,)` mm; NaN for one in neither map.

    It is the larger one, of both directions, of the 95th percentiles of the distances of surface voxels to the other
    surface; for a class in one map only, the diagonal of the volume. Both maps are `(D, H, W)` with indices of classes,
    `classes` of them with the background, and `spacing` is the distance of voxels along each axis, mm.
    """
    with needs_volumes():
        from monai.metrics.hausdorff_distance import compute_hausdorff_distance
    ours, theirs = (one_hot(labels, classes) for labels in (found, truth))
    diagonal = float(torch.tensor([size * step for size, step in zip(truth.shape, spacing, strict=True)]).norm())
    distances = torch.full((classes - 1,), diagonal, dtype=torch.float64)
    both = ours[0, 1:].flatten(1).any(1) & theirs[0, 1:].flatten(1).any(1)
    for index in both.nonzero()[:, 0].tolist():
        pair = (ours[:, index + 1 : index + 2], theirs[:, index + 1 : index + 2])
        with warnings.catch_warnings():
            # MONAI warns of its own use of its own functions.
            warnings.filterwarnings("ignore", category=FutureWarning, module="monai")
            found_distance = compute_hausdorff_distance(
                *pair, include_background=True, percentile=95.0, spacing=list(spacing)
            )
        distances[index] = found_distance[0, 0]
    return distances.masked_fill(nowhere(ours, theirs), float("nan"))


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """`(D, H, W)` to `(1, classes, D, H, W)`, float32."""
    return F.one_hot(labels.detach().cpu().long(), classes).movedim(-1, 0)[None].float()


def nowhere(ours: Tensor, theirs: Tensor) -> Tensor:
    """For each class but the background whether neither has it."""
    return ~(ours[0, 1:].flatten(1).any(1) | theirs[0, 1:].flatten(1).any(1))
