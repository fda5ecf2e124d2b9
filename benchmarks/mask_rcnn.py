"""Time a training step of Mask R-CNN at full size: ours on Res2Net-50 and ResNet-50, and torchvision's on ResNet-50.

    uv run --group test python benchmarks/mask_rcnn.py

One image of 800x1333 with ten objects, forward and backward, interleaved in one process; the peak of memory of each
in a process of its own. See `--help` for the options.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from rich.console import Console
from torch import Tensor
from torchvision.models.detection import maskrcnn_resnet50_fpn

import res2net
from res2net.bench.memory import resident
from res2net.bench.timing import Spread
from res2net.bench.timing import interleaved as in_turn
from res2net.nn import freeze_norms
from res2net.report import Column, Table
from res2net.tasks.objects.heads.detector import build_detector

NETWORKS = {
    "Res2Net-50 26w4s, ours": "res2net50_26w_4s",
    "ResNet-50, ours": "resnet50",
    "ResNet-50, torchvision's": "",
}
CLASSES = 80
OBJECTS = 10

Losses = Callable[[], Tensor]


@dataclass(frozen=True)
class Arguments:
    """What is timed, and how often."""

    height: int = 800
    width: int = 1333
    repetitions: int = 3
    out: str | None = None
    """Write the results to this JSON file."""
    only_memory_of: str | None = None
    """Used by the measurement of memory itself: the name of a network."""


def losses_of(name: str, chosen: Arguments) -> Losses:
    """What computes the sum of all losses of one image."""
    torch.manual_seed(0)
    height, width = chosen.height, chosen.width
    image = torch.rand(1, 3, height, width)
    corners = torch.rand(OBJECTS, 2) * torch.tensor([width * 0.6, height * 0.6])
    boxes = torch.cat([corners, corners + torch.rand(OBJECTS, 2) * torch.tensor([width, height]) * 0.35 + 8], 1)
    masks = torch.zeros(OBJECTS, height, width, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = 1
    target = {"boxes": boxes, "labels": torch.arange(OBJECTS) % CLASSES, "masks": masks}
    if NETWORKS[name]:
        backbone = res2net.create_model(NETWORKS[name], num_classes=0).freeze(2)
        freeze_norms(backbone)
        model = build_detector("mask_rcnn", backbone, CLASSES).train()
        side = 32
        padded = torch.zeros(1, 3, -(-height // side) * side, -(-width // side) * side)
        padded[..., :height, :width] = image
        return lambda: torch.stack(list(model.losses(padded, [(height, width)], [target]).values())).sum()
    theirs = maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=CLASSES + 1,
        min_size=min(height, width),
        max_size=max(height, width),
    ).train()
    # Two of five stages are frozen in torchvision's recipe, and so in ours.
    for name_, parameter in theirs.backbone.body.named_parameters():
        parameter.requires_grad_(name_.startswith(("layer2", "layer3", "layer4")))
    with_background = target | {"labels": target["labels"] + 1}
    return lambda: torch.stack(list(theirs([image[0]], [with_background]).values())).sum()


def main() -> None:
    chosen = tyro.cli(Arguments, description=__doc__)
    if chosen.only_memory_of:
        step = losses_of(chosen.only_memory_of, chosen)
        before = resident("VmHWM")
        step().backward()
        print(resident("VmHWM") - before)
        return
    steps = {name: losses_of(name, chosen) for name in NETWORKS}
    cases: dict[tuple[str, str], Callable[[], object]] = {}
    for name, step in steps.items():
        cases[name, "forward"] = step
        cases[name, "forward and backward"] = lambda step=step: step().backward()  # type: ignore[misc]
    samples, _ = in_turn(cases, chosen.repetitions, shortest=0)
    results = []
    for name in NETWORKS:
        command = [sys.executable, __file__, "--only-memory-of", name]
        command += ["--height", str(chosen.height), "--width", str(chosen.width)]
        mib = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        forward: Spread = samples[name, "forward"].spread
        both: Spread = samples[name, "forward and backward"].spread
        results.append(
            {"network": name, "forward_s": forward.median, "backward_s": both.median - forward.median, "peak_mib": mib}
        )
    columns = (
        Column("Mask R-CNN on"),
        Column("forward", "s"),
        Column("backward", "s"),
        Column("peak memory of a step", "MiB", digits=0),
    )
    title = f"One image of {chosen.height}x{chosen.width}, {chosen.repetitions} repetitions, medians"
    rows = [tuple(result.values()) for result in results]
    Console(width=110).print(Table(title, columns, rows).to_rich())
    if chosen.out:
        content = {"torch": torch.__version__, "threads": torch.get_num_threads(), "results": results}
        Path(chosen.out).write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
