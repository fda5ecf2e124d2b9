"""What export knows of the tasks that find objects: sizes, outputs, and tasks on exported networks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from PIL import Image
from torch import nn

import res2net
from res2net.errors import InputError
from res2net.export.exporter import EXPORTERS
from res2net.images.shapes.dataset import CLASS_NAMES, POINTS
from res2net.images.sources import DataSource
from res2net.task.base import TASKS
from res2net.tasks.objects.heads.fixed import FixedDetector
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.weights import Preprocessing

HEAD = DetectorOptions(
    fpn_channels=16, head_channels=16, proposals=20, proposals_train=20, anchor_sizes=(8, 16, 32, 64), detections=5
)
OUTPUTS = {
    "detect": ("boxes", "scores", "labels"),
    "instance": ("boxes", "scores", "labels", "masks"),
    "panoptic": ("boxes", "scores", "labels", "masks", "semantic"),
    "keypoint_rcnn": ("boxes", "scores", "labels", "keypoints", "keypoint_scores"),
    "simple_baseline": ("heatmaps",),
}
SOURCE = DataSource("scenes", [], [], CLASS_NAMES, keypoints=POINTS, stuff_names=("sky",))


@pytest.fixture
def make():
    """A function that builds a task, keypoints by the name of its network."""

    def build(name, size=64, **options):
        if name in ("keypoint_rcnn", "simple_baseline"):
            name, options = "keypoints", options | {"detector": name, "crop": (64, 48), "channels": 16}
        chosen = TASKS[name].Options(head=HEAD, **({"max_size": 96} | options))
        create = partial(res2net.create_model, "res2net20_26w_4s_tiny")
        return TASKS[name].build(create, SOURCE, Preprocessing(size=size), chosen).eval()

    return build


def exporter_of(task):
    return EXPORTERS[task.name](task)


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_task_runs_on_an_exported_network_as_on_its_own(make, name):
    """The network stands for an exported one; the image fills its input, so that nothing is added beside it."""
    task = make(name)
    exporter = exporter_of(task)
    assert exporter.outputs == OUTPUTS[name]
    assert exporter.in_channels == 3
    size = exporter.set_size((64, 48) if name == "simple_baseline" else (64, 64))
    image = Image.new("RGB", (size[1], size[0]), "grey")
    with torch.inference_mode():
        expected = task.predict_sample(image, {})
        again = type(task)(task.model, task.preprocessing, task.options, task.facts)
        exporter_of(again).restore(task.model, OUTPUTS[name], size)
        found = again.predict_sample(image, {})
    assert isinstance(again.model, FixedDetector) == (name != "simple_baseline")
    if name == "keypoint_rcnn":  # forward looks for the largest values of heat maps in another way
        assert found.boxes.equal(expected.boxes)
    else:
        assert found.to_dict() == expected.to_dict()


@pytest.mark.parametrize(
    ("side", "longest", "size"), [(64, 96, 96), (64, 1333, 128), (800, 1333, 1344), (100, 100, 128)]
)
def test_the_usual_size_holds_images_of_five_to_three(make, side, longest, size):
    assert exporter_of(make("detect", side, max_size=longest)).set_size() == (size, size)


def test_sizes_that_do_not_fit(make):
    exporter = exporter_of(make("detect"))
    assert exporter.set_size((64, 96)) == (64, 96)
    with pytest.raises(InputError, match=r"multiples of 32, and 100 is not: choose a --size such as 96"):
        exporter.set_size((64, 100))
    crops = exporter_of(make("simple_baseline"))
    assert crops.set_size() == crops.set_size((64, 48)) == (64, 48)
    with pytest.raises(InputError, match="sees crops of 64 x 48 pixels, as it was trained: leave out --size"):
        crops.set_size((64, 64))


def test_images_lie_at_the_left_and_the_top(make):
    exporter = exporter_of(make("detect"))
    exporter.set_size((64, 128))
    prepared = exporter.transform()(Image.new("RGB", (100, 50), "white"))
    assert prepared.shape == (3, 64, 128)
    assert (prepared[:, :48, :96] != 0).all()
    assert (prepared[:, 48:] == 0).all()
    crops = exporter_of(make("simple_baseline"))
    assert crops.transform()(Image.new("RGB", (100, 50), "white")).shape == (3, 64, 48)


def test_what_detectors_can_be_written_as(make):
    exporter = exporter_of(make("panoptic"))
    assert (exporter.formats, exporter.int8, exporter.dynamic_batch) == (("pt2", "onnx", "openvino"), False, False)
    assert [image.shape for image in exporter.examples(2)] == [(3, 256, 256)] * 2
    crops = exporter_of(make("simple_baseline"))
    assert crops.int8
    assert crops.dynamic_batch
    assert "aoti" in crops.formats


def test_detections_are_compared(make):
    class Finds(nn.Module):
        def forward(self, images):
            return torch.ones(len(images), 2, 4), torch.ones(len(images), 2) / 2, torch.zeros(len(images), 2)

    agreement = exporter_of(make("detect")).compare(Finds(), Finds(), [torch.zeros(3, 3, 64, 64)])
    assert agreement.summary("images").startswith("3 images, 6 detections: 100.0 % equal")


def test_a_file_that_does_not_fit(make):
    task = make("panoptic")
    with pytest.raises(InputError, match=r"returns boxes, scores, labels, and panoptic needs boxes, .*, semantic"):
        exporter_of(task).restore(task.model, OUTPUTS["detect"], (64, 64))
    task.facts["stuff_names"] = []
    with pytest.raises(InputError, match="does not state its stuff_names: export it again"):
        exporter_of(task).restore(task.model, OUTPUTS["panoptic"], (64, 64))


def test_points_that_were_not_stated(make):
    task = make("keypoint_rcnn")
    again = type(task)(task.model, task.preprocessing, task.options, task.facts | {"keypoints": None})
    with pytest.raises(InputError, match="does not state its keypoints: export it again"):
        exporter_of(again).restore(task.model, OUTPUTS["keypoint_rcnn"], (64, 64))


def test_options_of_the_evaluation_stay(make):
    task = make("simple_baseline")
    again = type(task)(task.model, task.preprocessing, replace(task.options, flip_test=False), task.facts)
    exporter_of(again).restore(task.model, ("heatmaps",), (64, 48))
    assert again.options.flip_test is False
