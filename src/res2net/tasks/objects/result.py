"""The objects in an image: boxes, classes, scores, and where a task finds them masks and keypoints."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import box_convert

from res2net.images.keypoints import Keypoints
from res2net.images.run_lengths import decoded_masks, run_lengths
from res2net.images.text import distinct_names
from res2net.report import Column
from res2net.report.objects import draw_objects
from res2net.report.tables import Cell
from res2net.task.result import Result, write_png
from res2net.weights import atomic_write


@dataclass(eq=False)
class Objects(Result):
    """The objects that were found in an image, the best first; or those of its ground truth, which have no scores."""

    boxes: Tensor
    """`(m, 4)` XYXY, in pixels of the image."""
    labels: Tensor
    """`(m,)` int64, indices in `names`."""
    names: Sequence[str]
    """The names of all classes."""
    scores: Tensor | None = None
    """`(m,)`, 0 to 1."""
    run_lengths: Sequence[Mapping[str, Any]] | None = None
    """The mask of each object in COCO's run-length encoding of the whole image."""
    points: Tensor | None = None
    """`(m, k, 3)` x and y of each keypoint in pixels, and its score, or in a ground truth its visibility."""
    skeleton: Sequence[tuple[int, int]] = ()
    """Pairs of keypoints that lines connect."""
    min_score: float = 0.5
    """Objects with a lower score are neither drawn nor listed in the table."""
    min_point_score: float = 0.0
    """Keypoints are drawn whose score is higher."""

    columns = (
        Column("object"),
        Column("score", "%", digits=1),
        *(Column(corner, "px", digits=1) for corner in ("x1", "y1", "x2", "y2")),
    )

    formats = ("yolo", "crops")

    @classmethod
    def from_target(
        cls, target: Mapping[str, Any], names: Sequence[str], keypoints: Keypoints | None = None, **options: Any
    ) -> Self:
        """Make the ground truth of an image from its target, as of `ObjectImages`; crowds count as objects."""
        points = None
        if "keypoints" in target:
            places = target["keypoints"].as_subclass(Tensor)
            points = torch.cat([places, target["visibility"][..., None].to(places)], -1)
        return cls(
            boxes=target["boxes"].as_subclass(Tensor),
            labels=target["labels"],
            names=names,
            run_lengths=[run_lengths(mask.numpy()) for mask in target["masks"]] if "masks" in target else None,
            points=points,
            skeleton=keypoints.skeleton if keypoints else (),
            **options,
        )

    @property
    def masks(self) -> Tensor | None:
        """The mask of each object, `(m, H, W)` bool; None where there are no masks."""
        return decoded_masks(self.run_lengths) if self.run_lengths else None

    def select(self, indices: Sequence[int]) -> Self:
        """The objects of these indices, in their order."""
        chosen = torch.tensor(indices, dtype=torch.int64)
        parts = {name: getattr(self, name) for name in ("boxes", "labels", "scores", "points")}
        kept: dict[str, Any] = {name: None if part is None else part[chosen] for name, part in parts.items()}
        if self.run_lengths is not None:
            kept["run_lengths"] = [self.run_lengths[index] for index in indices]
        return dataclasses.replace(self, **kept)

    def shown(self) -> Self:
        """The objects that are drawn: those with a score of `min_score` or more, and all of a ground truth."""
        scores = [1.0] * len(self.boxes) if self.scores is None else self.scores.tolist()
        return self.select([index for index, score in enumerate(scores) if score >= self.min_score])

    @property
    def below(self) -> str:
        """How many objects have a score below `min_score`, such as "3 more below 0.5"; empty if none has."""
        count = len(self.boxes) - len(self.shown().boxes)
        return f"{count} more below {self.min_score:g}" if count else ""

    @property
    def hidden(self) -> str:
        """The number of objects that are neither drawn nor in the table, and how to see them; empty if there are none.

        A threshold in steps of 0.05 at which all of them are shown is suggested.
        """
        if not self.below or self.scores is None:
            return ""
        lowest = math.floor(20 * float(self.scores.min())) / 20
        return f"{self.below}: --score-threshold {lowest:g} shows them"

    @property
    def distinct(self) -> Sequence[str]:
        """The names of all classes, those that several share with the index of the class."""
        return distinct_names(self.names)

    def to_dict(self) -> dict[str, Any]:
        """`objects`: a list of `label`, `score`, `box`, `mask` and `keypoints`, what there is of these, in COCO's form.

        A box is left, top, width and height; keypoints are x, y and score of each, one after the other.
        """
        distinct = self.distinct
        columns = {
            "label": [distinct[label] for label in self.labels.tolist()],
            "score": self.scores,
            "box": box_convert(self.boxes.double(), "xyxy", "xywh"),
            "mask": self.run_lengths,
            "keypoints": None if self.points is None else self.points.flatten(1),
        }
        lists = {
            name: one.tolist() if isinstance(one, Tensor) else one for name, one in columns.items() if one is not None
        }
        return {"objects": [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]}

    def rows(self) -> Sequence[Sequence[Cell]]:
        """A row for each object that is drawn."""
        shown = self.shown()
        scores = [None] * len(shown.boxes) if shown.scores is None else (100 * shown.scores).tolist()
        distinct = self.distinct
        labels = [distinct[label] for label in shown.labels.tolist()]
        return [(*row, *box) for *row, box in zip(labels, scores, shown.boxes.tolist(), strict=True)]

    def draw(self, image: Any = None) -> Image.Image:
        """The image with its objects: boxes with names, masks and skeletons."""
        shown = self.shown()
        points = shown.points
        if points is not None and shown.scores is not None:
            # A score becomes what is drawn: the point or nothing.
            seen = torch.where(points[..., 2:] > self.min_point_score, 2.0, 0.0)
            points = torch.cat([points[..., :2], seen.to(points)], -1)
        return draw_objects(
            self.image if image is None else image,
            shown.boxes,
            shown.labels,
            scores=shown.scores,
            masks=shown.masks,
            keypoints=points if len(shown.boxes) else None,
            skeleton=self.skeleton,
            names=self.distinct,
            note=self.below,
        )

    def save_as(self, kind: str, stem: str | Path) -> list[Path]:
        """Write the objects that are drawn, in a format of other programs.

        "yolo" writes `STEM.txt` with a line for each object: index of the class, x and y of the middle, width and
        height as shares of the image, and the score; and beside it `classes.txt` with the names. "crops" writes each
        box as an image, `STEM-NUMBER-CLASS.png`.
        """
        if kind not in self.formats:
            return super().save_as(kind, stem)
        shown, canvas, stem = self.shown(), self._canvas(), Path(stem)
        if kind == "yolo":
            sides = torch.tensor([canvas.width, canvas.height] * 2)
            boxes = (box_convert(shown.boxes.double(), "xyxy", "cxcywh") / sides).tolist()
            scores = [[]] * len(boxes) if shown.scores is None else shown.scores[:, None].tolist()
            numbers = zip(shown.labels.tolist(), boxes, scores, strict=True)
            lines = [" ".join([str(label), *(f"{one:.6f}" for one in (*box, *score))]) for label, box, score in numbers]
            files = {stem.with_name(f"{stem.name}.txt"): lines, stem.with_name("classes.txt"): list(self.names)}
            for path, content in files.items():
                atomic_write(path, "".join(f"{line}\n" for line in content).encode())
            return list(files)
        paths = []
        for number, (label, box) in enumerate(zip(shown.labels.tolist(), shown.boxes.tolist(), strict=True), start=1):
            left, top = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
            right, bottom = min(canvas.width, math.ceil(box[2])), min(canvas.height, math.ceil(box[3]))
            name = re.sub(r"[^\w.-]+", "_", self.distinct[label])
            if right > left and bottom > top:
                part = canvas.crop((left, top, right, bottom))
                paths.append(write_png(stem.with_name(f"{stem.name}-{number:03d}-{name}.png"), part))
        return paths
