"""What the full-scale runs cost: multiply-accumulates of each network, counted on the meta device, and GPU hours.

`python -m res2net.recipes.ledger.cost` counts anew and writes `macs.json`, which the tables read, so that printing them
needs no torch; tests compare the file with what is counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from res2net.recipes.ledger.experiment import LEDGER, Entry, Experiment, arms_of, gpu_hours

PATH = Path(__file__).with_name("macs.json")
POSITIVE = 4
"""One of so many sampled regions has an object, at most, and so a mask."""


@cache
def counted() -> Mapping[str, Mapping[str, int]]:
    """Multiply-accumulates by experiment and label, as they were counted."""
    found: dict[str, dict[str, int]] = json.loads(PATH.read_text(encoding="utf-8"))
    return found


def hours(name: str, entry: Entry) -> float | None:
    """GPU hours of training a network at full scale; None if there is no command for it."""
    experiment = LEDGER[name]
    macs = counted().get(name, {}).get(entry.label)
    if macs is None or experiment.full is None:
        return None
    return gpu_hours(macs, experiment.full.images, epochs_of(experiment, entry))


def epochs_of(experiment: Experiment, entry: Entry) -> int:
    """Epochs of the command that trains a network."""
    words = f"{experiment.full.options if experiment.full else ''} {entry.options}".split()
    given = words[words.index("--epochs") + 1] if "--epochs" in words else experiment.config_of(entry).optim.epochs
    return int(given)


def count_macs(experiment: Experiment, entry: Entry) -> int:
    """Multiply-accumulates of a forward pass of a network with its heads, for one training sample.

    Of detectors of two stages they are those of the backbone, the neck, the first stage and the heads of as many
    regions as are sampled in training; of other detectors, without what follows the network.
    """
    import torch

    from res2net.measure import count
    from res2net.task.base import TASKS
    from res2net.zoo import create_model

    assert experiment.full is not None
    full = experiment.full
    config = arms_of(experiment.config_of(entry), [entry.model])[entry.model]
    options: dict[str, Any] = dict(config.model.options)

    def create(num_classes: int, in_channels: int | None = None, output_stride: int | None = None) -> Any:
        stride: dict[str, Any] = {} if output_stride is None else {"output_stride": output_stride}
        channels = full.channels if in_channels is None else in_channels
        return create_model(config.model.model, num_classes=num_classes, in_channels=channels, **options, **stride)

    facts = {"class_names": list(map(str, range(full.classes))), **full.facts}
    with torch.device("meta"):
        network: Any = TASKS[config.task_name].network(create, config.task, facts)
        if hasattr(network, "roi_heads"):
            network = _training_pass(network, config.task.head)
    return count(network, (full.channels, *full.size)).macs


def _training_pass(detector: Any, head: Any) -> Any:
    """What a detector of two stages computes for an image in training, without the choice of regions."""
    import torch
    from torch import Tensor, nn

    class Pass(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.whole = detector

        def forward(self, images: Tensor) -> Tensor:
            maps = self.whole.maps(images)
            self.whole.rpn.head(list(maps.values()))
            channels = next(iter(maps.values())).shape[1]
            for step in getattr(self.whole.roi_heads, "steps", [self.whole.roi_heads]):
                side = step.box_roi_pool.output_size[0]
                step.box_head(torch.empty(head.rois_per_image, channels, side, side))
                if step.has_mask():
                    side = step.mask_roi_pool.output_size[0]
                    regions = torch.empty(head.rois_per_image // POSITIVE, channels, side, side)
                    step.mask_predictor(step.mask_head(regions))
            if hasattr(self.whole, "semantic"):
                self.whole.semantic(list(maps.values())[: len(self.whole.semantic.levels)], images.shape[-2:])
            return images

    return Pass()


def main() -> None:
    """Count all and write the file."""
    found = {
        name: {entry.label: count_macs(experiment, entry) for entry in experiment.entries if entry.model}
        for name, experiment in LEDGER.items()
        if experiment.full is not None
    }
    PATH.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
