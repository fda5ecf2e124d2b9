"""A ResNet-18 of timm and its converted twin, trained alike on `shapes`.

- command: `python benchmarks/convert_resnet18.py`
- time: 3.7 minutes on 2 cores
- score: top-1 34.0 % and, converted, 40.2 % after 3 epochs (seed 0; others differ by some points)
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import timm
import torch
import tyro
from rich.console import Console
from torch import nn
from torch.utils.data import Subset

from res2net.images.loader import TrainBatches, eval_loader, train_loader
from res2net.images.sources import DataSource, open_source
from res2net.images.transforms import eval_transform
from res2net.measure import count
from res2net.report import Column, Table
from res2net.surgery import Conversion, convert

__all__ = ["Arguments", "conversion_table", "networks", "run", "train_network"]


@dataclass(frozen=True)
class Arguments:
    """Train a ResNet-18 with a quarter of the channels and its converted twin on images drawn on the spot."""

    epochs: int = 3
    """Epochs of each run."""
    scale: int = 4
    """Splits of the twin."""
    images: int = 12000
    """Images to train with; up to half as many validate."""
    source: str = "shapes"
    """The images."""
    seed: int = 0
    """Of the first weights and the order of the images."""


def networks(classes: int, scale: int) -> tuple[dict[str, nn.Module], Conversion]:
    """The network, its twin with the same parameters, and what the conversion did."""
    plain = timm.create_model("resnet18", num_classes=classes, channels=(16, 32, 64, 128))
    twin, report = convert(plain, scale)
    return {"resnet18": plain, "converted": twin}, report


def conversion_table(report: Conversion) -> Table:
    """A row for each convolution that was replaced or kept."""
    rows: list[tuple[str, str, str]] = [(one.name, one.before, one.after) for one in report.replaced]
    rows += [(one.name, one.before, f"left: {one.reason.value}") for one in report.kept]
    title = f"{100 * report.share:.1f} % of the weights of k x k convolutions outside the stem replaced"
    return Table(title, (Column("convolution"), Column("before"), Column("after")), rows)


def train_network(model: nn.Module, source: DataSource, arguments: Arguments, console: Console) -> tuple[float, float]:
    """Train with AdamW and a one-cycle schedule; top-1 accuracy on the validation images in %, and seconds."""
    transform = eval_transform(source.preprocessing)
    train_set, val_set = source.transformed(transform, transform)
    batches = TrainBatches(min(arguments.images, len(train_set)), 32, seed=arguments.seed)
    val_subset: Any = Subset(val_set, range(min(arguments.images // 2, len(val_set))))
    loader = train_loader(train_set, batches)
    steps = max(1, arguments.epochs * len(batches))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps + 1)
    start, accuracy = time.monotonic(), 0.0
    for epoch in range(arguments.epochs):
        batches.set_epoch(epoch)
        model.train()
        for batch in loader:
            images, targets = batch[0], batch[1]
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), targets["label"]).backward()
            optimizer.step()
            schedule.step()
        accuracy = top1(model, val_subset)
        console.print(f"epoch {epoch + 1}/{arguments.epochs}  top1 {accuracy:.2f} %", highlight=False)
    return accuracy, time.monotonic() - start


def top1(model: nn.Module, dataset: Any) -> float:
    """The share of images whose likeliest class is the true one, %."""
    right = total = 0
    model.eval()
    with torch.inference_mode():
        for batch in eval_loader(dataset, 250):
            labels = batch[1]["label"]
            right += int((model(batch[0]).argmax(1) == labels).sum())
            total += len(labels)
    return 100 * right / total


def run(arguments: Arguments, console: Console) -> Table:
    """Convert, train both, and compare them."""
    source = open_source(arguments.source)
    torch.manual_seed(arguments.seed)
    both, report = networks(len(source.class_names), arguments.scale)
    console.print(conversion_table(report).to_rich())
    rows = []
    for name, model in both.items():
        console.print(f"\n{name}", style="bold")
        accuracy, seconds = train_network(model, source, arguments, console)
        size = source.preprocessing.size
        counts = count(model, (3, size, size))
        rows.append((name, counts.parameters / 1e6, counts.macs / 1e6, accuracy, seconds))
    columns = (
        Column("network"),
        Column("parameters", "M", digits=3),
        Column("MACs", "M", digits=1),
        Column("top1", "%", best="high"),
        Column("time", "s", digits=0, best="low"),
    )
    return Table(f"{arguments.source}, {arguments.epochs} epochs, seed {arguments.seed}", columns, rows)


def main() -> None:
    """The command."""
    console = Console()
    console.print(run(tyro.cli(Arguments), console).to_rich())


if __name__ == "__main__":
    main()
