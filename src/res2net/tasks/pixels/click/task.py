"""Interactive segmentation: an object is found by clicks on it and beside it; the number of clicks it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors

from res2net.errors import InputError
from res2net.export.exporter import EXPORTERS
from res2net.images.samples import Samples, Transformed
from res2net.images.sources import DataSource
from res2net.images.transforms import Transform
from res2net.report import Column, Table
from res2net.task.base import TASKS, CreateBackbone, Evaluation, Scoring, device_of
from res2net.tasks.objects.formats.open import read_objects
from res2net.tasks.pixels.base import PixelTask, create_encoder
from res2net.tasks.pixels.click.clicks import (
    GOALS,
    WATCHED,
    Clicked,
    ClickViews,
    SingleObjects,
    check_click,
    clicks_tensor,
    next_click,
)
from res2net.tasks.pixels.click.network import (
    FirstClickBranch,
    FirstClickNetwork,
    click_maps,
    click_squares,
    clicked_cross_entropy,
    distance_cross_entropy,
)
from res2net.tasks.pixels.click.options import ClickOptions
from res2net.tasks.pixels.click.result import ObjectMask
from res2net.tasks.pixels.exporter import PixelExporter
from res2net.tasks.pixels.heads.binary_losses import mask_cross_entropy
from res2net.tasks.pixels.heads.network import DECODERS, PixelNetwork

if TYPE_CHECKING:
    from torchmetrics import Metric

COLOURS = 3
"""Channels of an image; two maps of clicks follow them."""
SHOWN_CLICKS = 3
"""Clicks on each object in a report."""


@dataclass
class Found:
    """How the mask of an object came about, click by click."""

    mask: NDArray[np.bool_]
    clicks: list[Clicked] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)
    """The IoU after each click."""


@TASKS.register("click")
class Click(PixelTask):
    """The mask of the object that a user clicks on; a sample is an object."""

    name = "click"
    Options = ClickOptions
    labels = ("boxes", "labels", "masks", "crowd")
    reader = staticmethod(read_objects)
    value_name = "object"
    scoring = Scoring(
        f"IoU@{WATCHED[1]}",
        headline=("NoC@85", "IoU@1", "IoU@3"),
        lower_is_better=tuple(f"NoC@{goal}" for goal in GOALS),
        units={"NoC@*": "clicks"},
        samples="objects",
    )

    clicks: Sequence[Clicked] = ()
    """The clicks from which `predict` finds the object of each image."""

    @classmethod
    def network(cls, create: CreateBackbone, options: Any, facts: Mapping[str, Any]) -> PixelNetwork:
        """Make the backbone, which also sees the maps of clicks, with a decoder that the first click may lead."""
        backbone = create_encoder(create, options, in_channels=COLOURS + 2 + options.previous_mask)
        build_decoder = DECODERS[options.decoder]
        if not options.first_click:
            return PixelNetwork(backbone, build_decoder(backbone.stages, 1, options.channels))
        branch = FirstClickBranch(backbone.stages, options.channels)
        decoder = build_decoder(branch.widened(backbone.stages), 1, options.channels)
        return FirstClickNetwork(backbone, decoder, branch)

    def transform(self, train: bool) -> Transform:
        """Random views that show a part of the object, with clicks; the whole image in evaluation."""
        if not train:
            return super().transform(False)
        return ClickViews(self.train_transform(), self.options.positives, self.options.negatives)

    def datasets(self, source: DataSource) -> tuple[Any, Any]:
        """Each training and each validation object with its image."""
        min_area = self.options.min_area
        train = SingleObjects(source.train, min_area=min_area)
        val = SingleObjects(source.val, min_area=min_area, max_objects=self.options.eval_objects)
        return (
            Transformed(train, self.transform(True), source.bad_images),
            Transformed(val, self.transform(False), source.bad_images),
        )

    def with_clicks(self, images: Tensor, clicks: Tensor, previous: Tensor | None = None) -> Tensor:
        """The input of the network: images, maps of positive and negative clicks, and maps that the options ask for.

        Args:
            images: images `(N, 3, H, W)`.
            clicks: their clicks `(N, K, 3)`, in pixels of these images; see `clicks_tensor`.
            previous: the mask found before the last click, 0 to 1, `(N, 1, H, W)`; by default empty.
        """
        size = images.shape[-2:]
        seen = [images, click_maps(clicks, size, self.options.sigma)]
        if self.options.previous_mask:
            seen.append(torch.zeros_like(images[:, :1]) if previous is None else previous.to(images))
        if self.options.first_click:
            seen.append(click_maps(first_of(clicks), size, self.options.first_sigma)[:, :1])
        return torch.cat(seen, 1)

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """Cross entropy of the mask after random clicks, and after some that correct the errors these lead to."""
        wanted = targets["object"].as_subclass(Tensor)
        clicks = torch.stack(list(targets["clicks"])).to(images.device)
        previous = None
        for _ in range(int(torch.randint(self.options.rounds + 1, ()))):
            clicks, previous = self.corrected(images, clicks, wanted, previous)
        seen = self.with_clicks(images, clicks, previous)
        answer, *others = self.model.all_outputs(seen)
        options, size = self.options, images.shape[-2:]
        by_distance = options.click_loss == "distance"
        if by_distance:
            losses = {"loss": distance_cross_entropy(answer, wanted, click_squares(clicks, size))}
        else:
            maps = seen[:, COLOURS : COLOURS + 2]
            losses = {"loss": clicked_cross_entropy(answer, wanted, maps, options.click_weight)}
        weight = options.first_weight if options.first_click else 1.0
        for index, logits in enumerate(others, start=1):
            if by_distance and options.first_click:
                loss = distance_cross_entropy(logits, wanted, click_squares(first_of(clicks), size))
            else:
                loss = mask_cross_entropy(logits, wanted)
            losses[f"loss_{index}"] = weight * loss
        return losses

    @torch.no_grad()
    def corrected(
        self, images: Tensor, clicks: Tensor, wanted: Tensor, previous: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The clicks with one more on the largest error of the mask that they lead to, and that mask."""
        training = self.model.training
        self.model.eval()  # as a user sees it
        mask = self(self.with_clicks(images, clicks, previous)) > 0
        self.model.train(training)
        found = mask[:, 0].cpu().numpy()
        more = [next_click(one, true, (), spread=True) for one, true in zip(found, wanted.cpu().numpy(), strict=True)]
        rows = torch.stack([clicks_tensor([one] if one else [], 1) for one in more])
        return torch.cat([clicks, rows.to(clicks)], 1), mask

    def activate(self, logits: Tensor) -> Tensor:
        """Turn logits `(N, 1, H, W)` into probabilities."""
        return logits.float().sigmoid()

    def prepare(self, image: Any, target: Mapping[str, Any] | None = None) -> tuple[Tensor, dict[str, Any]]:
        """A batch of one image as the network sees it, and the targets of this batch."""
        prepared, noted = self.transform(False)(image, {**(target or {}), "index": 0})
        return prepared[None].to(device_of(self)), {name: [one] for name, one in noted.items()}

    def masks(
        self,
        images: Tensor,
        targets: Mapping[str, Any],
        clicks: Sequence[Sequence[Clicked]],
        previous: Sequence[NDArray[np.bool_]] | None = None,
    ) -> list[NDArray[np.bool_]]:
        """The mask of the object of each image, from its clicks and the mask found before the last of them.

        All are in pixels of the file; by default the previous masks are empty.
        """
        count = max(1, *(len(one) for one in clicks))
        rows = torch.stack([clicks_tensor(one, count) for one in clicks])
        zoom = torch.tensor([float(one) for one in targets["zoom"]])[:, None, None]
        rows[..., :2] = (rows[..., :2] + 0.5) * zoom - 0.5  # the middle of a pixel stays where it is
        last = None
        if previous is not None and self.options.previous_mask:
            last = torch.zeros_like(images[:, :1])
            for index, (mask, now) in enumerate(zip(previous, targets["size_now"], strict=True)):
                size = (int(now[0]), int(now[1]))
                whole = torch.from_numpy(mask).to(images)[None, None]
                last[index, :, : size[0], : size[1]] = F.interpolate(whole, size, mode="bilinear", antialias=True)[0]
        values = self.values(self.with_clicks(images, rows.to(images.device), last), targets)
        found = [(one[0] >= self.options.mask_threshold).cpu().numpy() for one in values]
        if not self.options.connected:
            return found
        return [connected(mask, one) for mask, one in zip(found, clicks, strict=True)]

    def simulated(self, images: Tensor, targets: Mapping[str, Any], max_clicks: int) -> list[Found]:
        """Simulate a user who clicks on the largest error of each mask until it is good or has no error."""
        true = [truth["object"].as_subclass(Tensor).cpu().numpy() for truth in targets["truth"]]
        found = [Found(np.zeros(one.shape, bool)) for one in true]
        unfinished = list(range(len(true)))
        for count in range(1, max_clicks + 1):
            for index in list(unfinished):
                one = found[index]
                click = next_click(one.mask, true[index], one.clicks)
                if click is None:
                    unfinished.remove(index)
                else:
                    one.clicks.append(click)
            if not unfinished:
                break
            names = ("size_now", "original_size", "zoom")
            some = {name: [targets[name][index] for index in unfinished] for name in names}
            clicks, previous = zip(*((found[index].clicks, found[index].mask) for index in unfinished), strict=True)
            masks = self.masks(images[unfinished], some, clicks, previous)
            for index, mask in zip(list(unfinished), masks, strict=True):
                iou = intersection_over_union(mask, true[index])
                found[index].mask = mask
                found[index].ious.append(iou)
                # No score depends on what follows.
                if iou >= max(GOALS) / 100 and count >= max(WATCHED):
                    unfinished.remove(index)
        return found

    def constant(self, samples: Samples) -> Tensor:
        """The radius `(1,)` of a disc that is as large as the median object, pixels, for `ClickDiscs`."""
        objects = SingleObjects(samples, min_area=self.options.min_area)
        areas = torch.tensor([float(objects[index][1]["object"].sum()) for index in range(len(objects))])
        return (areas.median() / torch.pi).sqrt()[None]

    def metric(self) -> Metric:
        """Clicks to an IoU, and the IoU after some clicks."""
        from res2net.tasks.pixels.click.metric import ClicksToIoU

        return ClicksToIoU(self.options.max_clicks)

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """For each object the number of its `clicks`, and the `iou` after the last of them."""
        found = self.simulated(images, targets, self.options.max_clicks)
        for one in found:
            metric.update(one.ious or [0.0])
        return {
            "clicks": torch.tensor([float(len(one.clicks)) for one in found]),
            "iou": torch.tensor([one.ious[-1] if one.ious else 0.0 for one in found]),
        }

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> list[ObjectMask]:
        """The object of each image from the `clicks` of this task, in the size of its file."""
        assert targets is not None
        if not self.clicks:
            raise InputError("Nothing is found without a click: give some, such as --clicks 120,80,+ or 10,20,-.")
        for size in targets["original_size"]:
            for click in self.clicks:
                check_click(click, int(size[0]), int(size[1]))
        masks = None
        # The last click is enough for a network that does not see the previous mask.
        for count in range(1 if self.options.previous_mask else len(self.clicks), len(self.clicks) + 1):
            masks = self.masks(images, targets, [self.clicks[:count]] * len(images), masks)
        assert masks is not None
        return [ObjectMask(mask, list(self.clicks)) for mask in masks]

    def predict_sample(self, image: Any, target: Mapping[str, Any]) -> ObjectMask:
        """The largest object of a sample as a simulated user finds it; `InputError` if no objects are known."""
        if "masks" not in target:
            raise InputError("A simulated user clicks on known objects: give a data set with their masks.")
        images, targets = self.eval().prepare(image, {"object": tv_tensors.Mask(largest(target).to(torch.uint8))})
        with torch.inference_mode():
            (found,) = self.simulated(images, targets, SHOWN_CLICKS)
        return ObjectMask(found.mask, found.clicks)

    def truth(self, image: Any, target: Mapping[str, Any]) -> ObjectMask:
        """The largest object of a sample."""
        return ObjectMask(largest(target).numpy().astype(bool), ())

    def score_table(self, evaluation: Evaluation) -> Table:
        """The number of clicks to each IoU, and how often it is reached."""
        metrics = evaluation.metrics
        rows = [(goal, metrics.get(f"NoC@{goal}"), metrics.get(f"reached@{goal}")) for goal in GOALS]
        columns = (Column("IoU", "%"), Column("clicks"), Column("objects that reach it", "%", digits=1))
        return Table(f"Clicks to an IoU, {self.options.max_clicks} at most", columns, rows)


class ClickExporter(PixelExporter):
    """A network of images with the maps of their clicks."""

    task: Click

    @property
    def in_channels(self) -> int:
        """The channels of `Click.with_clicks`."""
        return COLOURS + 2 + self.task.options.previous_mask + self.task.options.first_click

    def transform(self) -> Callable[[Any], Tensor]:
        """The image with a click in the middle, on which networks can be compared."""
        prepare = super().transform()

        def clicked(image: Any) -> Tensor:
            pixels = prepare(image).as_subclass(Tensor)
            middle = Clicked(pixels.shape[-1] // 2, pixels.shape[-2] // 2, positive=True)
            return self.task.with_clicks(pixels[None], clicks_tensor([middle], 1)[None])[0]

        return clicked


EXPORTERS.add("click", ClickExporter)


def first_of(clicks: Tensor) -> Tensor:
    """The first positive click `(N, 1, 3)` among clicks `(N, K, 3)`."""
    index = (clicks[..., 2] == 1).int().argmax(1)
    return clicks[torch.arange(len(clicks), device=clicks.device), index][:, None]


def intersection_over_union(mask: NDArray[np.bool_], true: NDArray[np.uint8]) -> float:
    """The IoU of a mask and the true one: 1 for the object, 0 for its surroundings; other pixels do not count."""
    counted = true <= 1
    union = ((mask | (true == 1)) & counted).sum()
    return float((mask & (true == 1)).sum() / union) if union else 1.0


def connected(mask: NDArray[np.bool_], clicks: Sequence[Clicked]) -> NDArray[np.bool_]:
    """The connected parts of a mask that contain a positive click."""
    from scipy.ndimage import label as connected_parts

    parts, _ = connected_parts(mask)
    kept = {int(parts[int(one.y), int(one.x)]) for one in clicks if one.positive} - {0}
    return np.isin(parts, list(kept))


def largest(target: Mapping[str, Any]) -> Tensor:
    """The mask `(H, W)` of the largest object of an image; empty where there is none."""
    masks = target["masks"].as_subclass(Tensor)
    if not len(masks):
        return masks.new_zeros(masks.shape[1:])
    return masks[int(masks.flatten(1).sum(1).argmax())]
