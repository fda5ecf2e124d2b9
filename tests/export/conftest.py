"""A small network, and files made of it once for all tests of a worker."""

from pathlib import Path

import pytest
import torch

import res2net
from res2net.export import FORMATS, Artefact, export_network
from res2net.weights import Preprocessing

SIZE = 32


def describe(format_name, model, shape, **options):
    return Artefact(
        format=format_name,
        task="classify",
        model=model.variant_name,
        options={},
        input_shape=shape,
        dynamic_batch=options.pop("dynamic_batch", False),
        outputs=options.pop("outputs", ["logits"]),
        class_names=[f"class {index}" for index in range(model.num_classes)],
        preprocessing=Preprocessing(size=SIZE),
        **options,
    )


@pytest.fixture(scope="session")
def described():
    """A function that describes an exported network."""
    return describe


@pytest.fixture(scope="session")
def network():
    torch.manual_seed(0)
    model = res2net.create_model("res2net20_26w_4s_tiny", num_classes=7).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return model


@pytest.fixture(scope="session")
def exported(network, tmp_path_factory):
    """A function that gives the file of a format, for a fixed or any number of images."""
    made: dict[tuple[str, bool], Path] = {}

    def export(format_name, dynamic_batch=False):
        key = format_name, dynamic_batch
        if key not in made:
            path = tmp_path_factory.mktemp("exported") / f"network{FORMATS[format_name]}"
            shape = (2, 3, SIZE, SIZE)
            export_network(network, torch.randn(shape), path, format_name, dynamic_batch=dynamic_batch)
            describe(format_name, network, shape, dynamic_batch=dynamic_batch).write(path)
            made[key] = path
        return made[key]

    return export
