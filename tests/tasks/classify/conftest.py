"""Classification of made-up logits."""

from __future__ import annotations

import pytest
import torch

from res2net.backbones.base import Backbone
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
