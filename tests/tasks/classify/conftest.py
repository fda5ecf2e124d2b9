"""Classification of made-up logits, and networks with random weights that teach."""

from __future__ import annotations

import pytest
import torch

from res2net import create_model
from res2net.backbones.base import Backbone
from res2net.engine.callbacks import save_task
from res2net.engine.config import default_config
from res2net.images import open_source
from res2net.tasks.classify.task import Classify, ClassifyOptions
from res2net.weights import Preprocessing


class Echo(Backbone):
    """Not a network: the logits of an image are the first numbers in it."""

    def __init__(self, num_classes):
        torch.nn.Module.__init__(self)
        self.num_classes, self.variant_name = num_classes, "echo"

    def forward(self, images):
        return images.flatten(1)[:, : self.num_classes]


@pytest.fixture
def echo():
    """A function that makes a task of so many classes, whose logits are the first numbers of an image."""

    def make(classes=8, **options):
        names = [f"class {index}" for index in range(classes)]
        return Classify(Echo(classes), Preprocessing(size=8), ClassifyOptions(**options), {"class_names": names})

    return make


@pytest.fixture(scope="session")
def write_teacher():
    """`write_teacher(path, names)` writes a network with random weights: the least that can teach."""

    def write(path, names=None):
        names = list(names or open_source("shapes:2,2").class_names)
        model = create_model("res2net20_26w_4s_tiny", num_classes=len(names))
        task = Classify(model, Preprocessing(size=64), ClassifyOptions(), {"class_names": names})
        save_task(path, task, {}, default_config("classify", "shapes"))

    return write


@pytest.fixture(scope="session")
def trained(write_teacher, tmp_path_factory):
    """The file of a network for `shapes`."""
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    write_teacher(path)
    return path
