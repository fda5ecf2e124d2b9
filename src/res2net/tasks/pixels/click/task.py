"""Interactive segmentation: an object is found by clicks on it and beside it; the number of clicks it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import label as connected_parts
from torch import Tensor
from torchmetrics import Metric
from torchvision import tv_tensors

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.images.run_lengths import run_lengths
from res2net.images.samples import Samples, Transformed
from res2net.images.sources import DataSource
from res2net.images.transforms import Transform
from res2net.report import Column, Table
from res2net.report.images import as_image
from res2net.report.tables import Cell
from res2net.task.base import Evaluation, register_task
from res2net.tasks.pixels.base import PixelTask
from res2net.tasks.pixels.click.data import Clicked, SingleObjects, check_click, clicks_tensor, next_click
from res2net.tasks.pixels.click.drawing import draw_clicks
from res2net.tasks.pixels.click.metric import GOALS, WATCHED, ClicksToIoU
from res2net.tasks.pixels.click.network import (
    FirstClickBranch,
    FirstClickNetwork,
    click_maps,
    click_squares,
    clicked_cross_entropy,
    distance_cross_entropy,
)
from res2net.tasks.pixels.click.options import ClickOptions
from res2net.tasks.pixels.click.session import ClickSession
from res2net.tasks.pixels.click.views import ClickViews
from res2net.tasks.pixels.heads.binary_losses import mask_cross_entropy
from res2net.tasks.pixels.heads.decoders import build_decoder
from res2net.tasks.pixels.heads.network import PixelNetwork
from res2net.weights import atomic_write

__all__ = ["Click", "ClickOptions", "ClickSession"]

COLOURS = 3
"""Channels of an image, which two maps of clicks follow."""
SHOWN_CLICKS = 3
"""On each object in a report."""


@dataclass
class Found:
    """How the mask of an object came about, click by click."""

    mask: NDArray[np.bool_]
    clicks: list[Clicked] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)


@register_task
class Click(PixelTask):
    """The mask of the object that a user clicks on; a sample is an object."""

    name = "click"
    Options = ClickOptions
    labels = ("boxes", "labels", "masks", "crowd")
    monitor = f"IoU@{WATCHED[1]}"
    lower = tuple(f"NoC@{goal}" for goal in GOALS)
    headline = ("NoC@85", "IoU@1", "IoU@3")
    sample_name = "objects"
    tells_classes = False
    result_name = "object"
    columns = (Column("share of the image", "%", digits=1), Column("clicks"))

    clicks: Sequence[Clicked] = ()
    """Those that `predict` takes in every image."""

    @classmethod
    def facts(cls, source: DataSource) -> dict[str, Any]:
        """An object is an object, whatever classes the data know."""
        return {"class_names": ["object"]}

    @classmethod
    def backbone_options(cls, options: Any) -> dict[str, Any]:
        """More channels: the maps of clicks, and the mask before."""
        return super().backbone_options(options) | {"in_channels": COLOURS + 2 + options.previous_mask}

    @classmethod
    def network(cls, backbone: Backbone, options: Any, facts: Mapping[str, Any]) -> PixelNetwork:
        """The backbone with a decoder that the first click leads, or that sees it as any other."""
        if not options.first_click:
            return super().network(backbone, options, facts)
        branch = FirstClickBranch(backbone.stages, options.channels)
        decoder = build_decoder(options.decoder, branch.widened(backbone.stages), 1, options.channels)
        return FirstClickNetwork(cls.frozen(backbone, options), decoder, branch)

    @property
    def in_channels(self) -> int:
        """The image, the maps of positive and of negative clicks, the mask before, and the map of the first click."""
        return COLOURS + 2 + self.options.previous_mask + self.options.first_click

    def unit(self, metric: str) -> str:
        """Clicks, where they are counted."""
        return "clicks" if metric.startswith("NoC") else "%"

    def transform(self, train: bool) -> Transform:
        """Random views in which something of the object is left, with clicks; the whole image in evaluation."""
        if not train:
            return super().transform(False)
        return ClickViews(self.augmented(), self.options.positives, self.options.negatives)

    def fitted(self) -> Transform:
        """What an exported network sees of an image: with a click in the middle, to try it with."""
        prepare = super().fitted()

        def clicked(image: Any) -> Tensor:
            pixels = prepare(image).as_subclass(Tensor)
            middle = Clicked(pixels.shape[-1] // 2, pixels.shape[-2] // 2, positive=True)
            return self.with_clicks(pixels[None], clicks_tensor([middle], 1)[None])[0]

        return clicked

    def datasets(self, source: DataSource) -> tuple[Any, Any]:
        """Each object of the training, and of the validation, with the image that it is in."""
        options = self.options
        train = SingleObjects(source.train, least_area=options.least_area)
        val = SingleObjects(source.val, least_area=options.least_area, most=options.eval_objects)
        sets = ((train, self.transform(True)), (val, self.transform(False)))
        return tuple(Transformed(objects, transform, source.bad_images) for objects, transform in sets)  # type: ignore[return-value]

    def with_clicks(self, images: Tensor, clicks: Tensor, before: Tensor | None = None) -> Tensor:
        """What the network sees of images.

        Args:
            images: `(N, 3, H, W)`.
            clicks: `(N, K, 3)`, in their pixels.
            before: what was found by the clicks before, 0 to 1, `(N, 1, H, W)`; nothing by default.

        Returns:
            `(N, in_channels, H, W)`.
        """
        size = (images.shape[-2], images.shape[-1])
        seen = [images, click_maps(clicks, size, self.options.sigma)]
        if self.options.previous_mask:
            seen.append(torch.zeros_like(images[:, :1]) if before is None else before.to(images))
        if self.options.first_click:
            seen.append(click_maps(first_of(clicks), size, self.options.first_sigma)[:, :1])
        return torch.cat(seen, 1)

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """Cross entropy of the mask after random clicks, and after some that correct what they lead to."""
        wanted = targets["object"].as_subclass(Tensor)
        clicks = torch.stack(list(targets["clicks"])).to(images.device)
        before = None
        for _ in range(int(torch.randint(self.options.rounds + 1, ()))):
            clicks, before = self.corrected(images, clicks, wanted, before)
        seen = self.with_clicks(images, clicks, before)
        answer, *others = self.model.every(seen)
        options, size = self.options, (images.shape[-2], images.shape[-1])
        by_distance = options.click_loss == "distance"
        if by_distance:
            losses = {"loss": distance_cross_entropy(answer, wanted, click_squares(clicks, size))}
        else:
            maps = seen[:, COLOURS : COLOURS + 2]
            losses = {"loss": clicked_cross_entropy(answer, wanted, maps, options.click_weight)}
        weight = options.first_weight if options.first_click else 1.0
        for place, logits in enumerate(others, start=1):
            if by_distance and options.first_click:
                loss = distance_cross_entropy(logits, wanted, click_squares(first_of(clicks), size))
            else:
                loss = mask_cross_entropy(logits, wanted)
            losses[f"loss_{place}"] = weight * loss
        return losses

    @torch.no_grad()
    def corrected(
        self, images: Tensor, clicks: Tensor, wanted: Tensor, before: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The clicks, with one more on the largest error of what the network makes of them, and what that is."""
        training = self.model.training
        self.model.eval()  # as a user sees it
        mask = self(self.with_clicks(images, clicks, before)) > 0
        self.model.train(training)
        found = mask[:, 0].cpu().numpy()
        more = [next_click(one, true, (), spread=True) for one, true in zip(found, wanted.cpu().numpy(), strict=True)]
        rows = torch.stack([clicks_tensor([one] if one else [], 1) for one in more])
        return torch.cat([clicks, rows.to(clicks)], 1), mask

    def activated(self, logits: Tensor) -> Tensor:
        """Logits `(N, 1, H, W)` to probabilities."""
        return logits.float().sigmoid()

    def masks(
        self,
        images: Tensor,
        targets: Mapping[str, Any],
        clicks: Sequence[Sequence[Clicked]],
        before: Sequence[NDArray[np.bool_]] | None = None,
    ) -> list[NDArray[np.bool_]]:
        """The mask of the object of each image by its clicks, and by the mask before the last of them.

        All are in pixels of the file; without masks before nothing was found.
        """
        most = max(1, *(len(one) for one in clicks))
        rows = torch.stack([clicks_tensor(one, most) for one in clicks])
        zoom = torch.tensor([float(one) for one in targets["zoom"]])[:, None, None]
        rows[..., :2] = (rows[..., :2] + 0.5) * zoom - 0.5  # the middle of a pixel stays where it is
        last = None if before is None or not self.options.previous_mask else self.seen_masks(images, targets, before)
        values = self.values(self.with_clicks(images, rows.to(images.device), last), targets)
        found = [(one[0] >= 0.5).cpu().numpy() for one in values]
        if not self.options.connected:
            return found
        return [connected(mask, one) for mask, one in zip(found, clicks, strict=True)]

    def seen_masks(self, images: Tensor, targets: Mapping[str, Any], masks: Sequence[NDArray[np.bool_]]) -> Tensor:
        """Masks of files `(height, width)` where the network sees these, `(N, 1, H, W)` from 0 to 1."""
        seen = torch.zeros_like(images[:, :1])
        for place, (mask, (height, width)) in enumerate(zip(masks, targets["size_now"], strict=True)):
            size = (int(height), int(width))
            whole = torch.from_numpy(mask).to(images)[None, None]
            seen[place, :, : size[0], : size[1]] = F.interpolate(whole, size, mode="bilinear", antialias=True)[0]
        return seen

    def simulated(self, images: Tensor, targets: Mapping[str, Any], most: int) -> list[Found]:
        """What a simulated user gets, who clicks on the largest error until the mask is good, or has no error left."""
        true = [truth["object"].as_subclass(Tensor).cpu().numpy() for truth in targets["truth"]]
        found = [Found(np.zeros(one.shape, bool)) for one in true]
        open_ones = list(range(len(true)))
        for count in range(1, most + 1):
            for place in list(open_ones):
                one = found[place]
                click = next_click(one.mask, true[place], one.clicks)
                if click is None:
                    open_ones.remove(place)
                else:
                    one.clicks.append(click)
            if not open_ones:
                break
            some = {
                name: [targets[name][place] for place in open_ones] for name in ("size_now", "original_size", "zoom")
            }
            clicks, before = zip(*((found[place].clicks, found[place].mask) for place in open_ones), strict=True)
            masks = self.masks(images[open_ones], some, clicks, before)
            for place, mask in zip(list(open_ones), masks, strict=True):
                iou = intersection_over_union(mask, true[place])
                found[place].mask = mask
                found[place].ious.append(iou)
                # Enough for every number of the metric.
                if iou >= max(GOALS) / 100 and count >= max(WATCHED):
                    open_ones.remove(place)
        return found

    def constant(self, samples: Samples) -> Tensor:
        """The radius `(1,)` of a disc that is as large as the median object, pixels."""
        objects = SingleObjects(samples, least_area=self.options.least_area)
        areas = torch.tensor([float(objects[index][1]["object"].sum()) for index in range(len(objects))])
        return (areas.median() / torch.pi).sqrt()[None]

    def metric(self) -> Metric:
        """Clicks to an IoU, and the IoU after some clicks."""
        return ClicksToIoU(self.options.most_clicks)

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """For each object its `clicks`, and the `iou` after the last of them."""
        found = self.simulated(images, targets, self.options.most_clicks)
        for one in found:
            metric.update(one.ious or [0.0])
        return {
            "clicks": torch.tensor([float(len(one.clicks)) for one in found]),
            "iou": torch.tensor([one.ious[-1] if one.ious else 0.0 for one in found]),
        }

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> list[Any]:
        """Of each image the `mask` `(height, width)` by the `clicks` of this task, bool, in the size of its file."""
        assert targets is not None
        if not self.clicks:
            raise InputError("Nothing is found without a click: give some, such as --clicks 120,80,+ or 10,20,-.")
        for size in targets["original_size"]:
            for click in self.clicks:
                check_click(click, int(size[0]), int(size[1]))
        masks = None
        # The last click is enough for a network that does not see what was found before.
        for count in range(1 if self.options.previous_mask else len(self.clicks), len(self.clicks) + 1):
            masks = self.masks(images, targets, [self.clicks[:count]] * len(images), masks)
        assert masks is not None
        return [{"mask": mask, "clicks": list(self.clicks)} for mask in masks]

    def described(self, result: Any) -> dict[str, Any]:
        """The `clicks`, the `share` of the image, and the object as `segmentation`, COCO's run lengths."""
        return {
            "clicks": [one._asdict() for one in result["clicks"]],
            "share": float(result["mask"].mean()),
            "segmentation": run_lengths(result["mask"]),
        }

    def save(self, result: Any, stem: Path) -> list[Path]:
        """The mask as a PNG, white on black."""
        path = stem.with_name(f"{stem.name}-mask.png")
        atomic_write(path, lambda file: Image.fromarray(result["mask"]).save(file, "PNG"))
        return [path]

    def tabulate(self, result: Any) -> Sequence[Sequence[Cell]]:
        """The share of the image, and the clicks."""
        return [(100 * float(result["mask"].mean()), len(result["clicks"]))]

    def draw(self, image: Image.Image, result: Any) -> Image.Image:
        """The image with the mask and the clicks."""
        return draw_clicks(image, result["mask"], result["clicks"])

    def draw_truth(self, image: Any, target: Mapping[str, Any]) -> Image.Image:
        """The image with its largest object."""
        return draw_clicks(as_image(image), largest(target).numpy().astype(bool), ())

    def found_in(self, image: Any, target: Mapping[str, Any]) -> Any:
        """What a simulated user gets of the largest object after a few clicks; `InputError` where none is known."""
        if "masks" not in target:
            raise InputError("A simulated user clicks on objects that are known: give a data set with their masks.")
        sample = {"object": tv_tensors.Mask(largest(target).to(torch.uint8)), "index": 0}
        prepared, noted = self.transform(False)(image, sample)
        with torch.inference_mode():
            self.eval()
            targets = {name: [one] for name, one in noted.items()}
            (found,) = self.simulated(prepared[None].to(self.device), targets, SHOWN_CLICKS)
        return {"mask": found.mask, "clicks": found.clicks}

    def numbers(self, evaluation: Evaluation) -> Table:
        """Clicks to a goal, and how often it is reached."""
        metrics = evaluation.metrics
        rows = [(goal, metrics.get(f"NoC@{goal}"), metrics.get(f"reached@{goal}")) for goal in GOALS]
        columns = (Column("IoU", "%"), Column("clicks"), Column("objects that reach it", "%", digits=1))
        return Table(f"Clicks to an IoU, {self.options.most_clicks} at most", columns, rows)


def first_of(clicks: Tensor) -> Tensor:
    """The first positive one of clicks `(N, K, 3)`, `(N, 1, 3)`."""
    place = (clicks[..., 2] == 1).int().argmax(1)
    return clicks[torch.arange(len(clicks), device=clicks.device), place][:, None]


def intersection_over_union(mask: NDArray[np.bool_], true: NDArray[np.uint8]) -> float:
    """Of a mask and the true one, in which 1 is the object and what is neither 1 nor 0 does not count."""
    counted = true <= 1
    union = ((mask | (true == 1)) & counted).sum()
    return float((mask & (true == 1)).sum() / union) if union else 1.0


def connected(mask: NDArray[np.bool_], clicks: Sequence[Clicked]) -> NDArray[np.bool_]:
    """The parts of a mask that hold a positive click."""
    parts, _ = connected_parts(mask)
    kept = {int(parts[int(one.y), int(one.x)]) for one in clicks if one.positive} - {0}
    return np.isin(parts, list(kept))


def largest(target: Mapping[str, Any]) -> Tensor:
    """The mask `(H, W)` of the largest object of an image; empty where there is none."""
    masks = target["masks"].as_subclass(Tensor)
    if not len(masks):
        return masks.new_zeros(masks.shape[1:])
    return masks[int(masks.flatten(1).sum(1).argmax())]
