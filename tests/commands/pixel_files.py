"""Checkpoints of small untrained networks of dense tasks, for the command line."""

from __future__ import annotations

import torch
from torch import nn

from res2net.engine.callbacks import save_task
from res2net.engine.config import TrainConfig
from res2net.images.sources import DataSource
from res2net.task.base import TASKS
from res2net.tasks.roads.synthetic import RoadScenes
from res2net.tasks.translate.synthetic import ShapeMasks
from res2net.tasks.volumes.synthetic import CLASSES, Bodies
from res2net.weights import Preprocessing
from res2net.zoo import create_model

SMALL = {
    "segment": {"channels": 16},
    "saliency": {"channels": 16, "decoder": "deeplabv3plus"},
    "depth": {"channels": 16},
    "click": {"channels": 16},
    "roads": {"channels": 8, "branch_channels": 8, "next_channels": 8, "window": 64, "tracing": "skeleton"},
    "translate": {"discriminator_channels": 8},
    "volumes": {"channels": 16, "depth": 16},
}
"""Options of small networks, by task."""

MODELS = {"translate": "res2_generator_tiny", "volumes": "res2net3d20_26w_4s_tiny"}


def source_of(task):
    """Two synthetic images or volumes with their ground truth."""
    if task == "roads":
        return DataSource("roads", *[RoadScenes(2, size=96, keep=True)] * 2, ("road",), Preprocessing(size=64))
    if task == "translate":
        pairs = ShapeMasks(2, size=32)
        return DataSource("pairs", pairs, pairs, ("input", "image"), Preprocessing(size=64))
    if task == "volumes":
        bodies = Bodies(2)
        usual = Preprocessing(size=16, crop=1.0, mean=(0.5,), std=(0.25,))
        return DataSource("volumes", bodies, bodies, CLASSES, usual)
    return TASKS[task].open("shapes:2,2")


def enlarge(network):
    """Change the weights of the last layers so that values differ from position to position."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d) and not name.startswith("backbone"):
            module.weight.data.normal_(std=2 * module.weight[0].numel() ** -0.5)
            around = module.weight.data.flatten(1).mean(1)
            module.weight.data -= around.reshape(-1, *[1] * (module.weight.ndim - 1))
            if module.bias is not None:
                module.bias.data.zero_()


def checkpoint(folder, task, **options):
    """Write the checkpoint of an untrained network."""
    torch.manual_seed(0)
    kind = TASKS[task]
    chosen = kind.Options(**SMALL[task] | options)
    source = source_of(task)

    def create(num_classes, in_channels=None, output_stride=None):
        channels = in_channels or len(source.preprocessing.mean)
        model = MODELS.get(task, "res2net20_26w_4s_tiny")
        more = {} if task in MODELS else {"zero_init_last": False}
        return create_model(model, num_classes=num_classes, in_channels=channels, **more)

    built = kind.build(create, source, source.preprocessing, chosen).eval()
    enlarge(built.model)
    path = folder / f"{task}.safetensors"
    save_task(path, built, {}, TrainConfig(task_name=task, source="none", task=built.options))
    return path
