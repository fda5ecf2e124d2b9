"""The keypoints of a data set: their names, skeleton, left-right pairs, and annotation accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from res2net.errors import InputError

PIXEL_MIDDLE = 0.5
"""Offset from the index of a pixel to the coordinate of its centre, where an image of w pixels spans 0 to w.

Keypoints in COCO's files are pixel indices from 0 to w - 1, while boxes span 0 to w. Here, keypoints of targets and
results use the coordinates of boxes, as in Detectron2, so that the mirror image of pixel i is exactly w - 1 - i.
"""

USUAL_SIGMA = 0.05
"""Default sigma of keypoints whose annotation accuracy was not measured; the mean of COCO's sigmas is 0.062."""


@dataclass(frozen=True)
class Keypoints:
    """The keypoints that each object of a data set has, in order.

    Args:
        names: names of the points.
        skeleton: pairs of indices, from 0, to connect by a line.
        flips: pairs of indices, such as left and right, that are swapped when an image is mirrored.
        sigmas: for each point, the standard deviation of annotations in COCO's object keypoint similarity (OKS), as a
            share of the square root of the object's area.

    Raises:
        InputError: an index is out of range, or there is not one positive sigma per point.
    """

    names: tuple[str, ...]
    skeleton: tuple[tuple[int, int], ...] = ()
    flips: tuple[tuple[int, int], ...] = ()
    sigmas: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.names)
        if not self.sigmas:
            object.__setattr__(self, "sigmas", (USUAL_SIGMA,) * count)
        if any(not 0 <= index < count for pair in (*self.skeleton, *self.flips) for index in pair):
            raise InputError(f"The skeleton and the flips name points outside of the {count}: give 0 to {count - 1}.")
        if len(self.sigmas) != count or min(self.sigmas, default=1) <= 0:
            raise InputError(f"{len(self.sigmas)} sigmas for {count} keypoints: give one above 0 for each.")

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def named(cls, names: tuple[str, ...], skeleton: tuple[tuple[int, int], ...] = ()) -> Keypoints:
        """Keypoints by their names: `COCO_PERSON` if these are its names; else left_x and right_x become flips."""
        if names == COCO_PERSON.names:
            return COCO_PERSON
        index_of = {name: index for index, name in enumerate(names)}
        flips = tuple(
            (index, index_of[other])
            for name, index in index_of.items()
            if "left" in name and (other := name.replace("left", "right")) in index_of
        )
        return cls(names, skeleton, flips)


COCO_PERSON = Keypoints(
    names=(
        *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
        *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
        *("left_knee", "right_knee", "left_ankle", "right_ankle"),
    ),
    skeleton=(
        *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9)),
        *((8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
    ),
    flips=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    sigmas=(
        *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062),
        *(0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
    ),
)
"""The 17 points of people in COCO, with the sigmas of its evaluation (https://cocodataset.org/#keypoints-eval)."""


def mirrored_order(count: int, flip_pairs: Sequence[tuple[int, int]]) -> list[int]:
    """For each of `count` keypoints, the index of the one that takes its position in a mirrored image."""
    order = list(range(count))
    used = [point for pair in flip_pairs for point in pair]
    if len(set(used)) < len(used) or not all(0 <= point < count for point in used):
        raise InputError(
            f"The flip pairs {list(flip_pairs)} do not fit {count} keypoints: name each point, 0 to {count - 1}, at "
            "most once."
        )
    for left, right in flip_pairs:
        order[left], order[right] = right, left
    return order
