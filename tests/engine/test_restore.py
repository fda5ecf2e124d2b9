"""Trained tasks from checkpoints: which are restored, what may change afterwards, and which data fit."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from res2net import create_model
from res2net.engine.restore import adjust, restore_task, task_metadata, with_classes_of
from res2net.errors import InputError
from res2net.images import DataSettings, open_source
from res2net.tasks.classify.task import Classify, ClassifyOptions
from res2net.tasks.pixels.segment.task import Segment
from res2net.weights import Preprocessing, save

CHECKPOINTS = Path(__file__).parents[1] / "legacy" / "files" / "checkpoints"


def classifier(names, **facts):
    model = create_model("resnet20_tiny", num_classes=len(names))
    return Classify(model, Preprocessing(), ClassifyOptions(), {"class_names": names, **facts})


@pytest.mark.parametrize("name", ["classify", "detect", "segment"])
def test_the_file_names_its_task(name):
    task, checkpoint = restore_task(CHECKPOINTS / f"{name}.safetensors")
    assert task.name == checkpoint.metadata["task"] == name
    assert not task.training
    stated = task_metadata(task)
    assert stated["class_names"] == checkpoint.metadata["class_names"]
    assert stated["task_options"].keys() == vars(task.options).keys()


def test_another_task_than_that_of_the_file():
    with pytest.raises(InputError, match=r"was trained for detect, not for segment: name the task detect instead\.$"):
        restore_task(CHECKPOINTS / "detect.safetensors", name="segment")


def test_a_backbone_has_no_head(tmp_path):
    save(tmp_path / "backbone.safetensors", create_model("resnet20_tiny").state_dict(), {"model": "resnet20_tiny"})
    with pytest.raises(InputError, match=r"holds no network for detect: .*or start one from this backbone with"):
        restore_task(tmp_path / "backbone.safetensors", name="detect")


def test_tensors_that_are_not_those_of_the_network(tmp_path):
    _, checkpoint = restore_task(CHECKPOINTS / "segment.safetensors")
    fewer = dict(list(checkpoint.tensors.items())[1:])
    save(tmp_path / "cut.safetensors", fewer, checkpoint.metadata)
    with pytest.raises(InputError, match=r"does not hold the network it describes \(.*\)\.$"):
        restore_task(tmp_path / "cut.safetensors")


@pytest.mark.parametrize(("option", "value"), [("channels", 1 << 16), ("channels", 10**9), ("decoder", "fpn")])
def test_options_of_another_network_are_refused_before_it_is_built(option, value):
    """One of 65,536 channels has 154 GB in its first convolution."""
    _, checkpoint = restore_task(CHECKPOINTS / "segment.safetensors")
    options = checkpoint.metadata["task_options"] | {option: value}
    with pytest.raises(InputError, match=r"size mismatch|is out of range|Missing key|Unexpected key"):
        Segment.restore(
            checkpoint.metadata["model"], replace(checkpoint, metadata=checkpoint.metadata | {"task_options": options})
        )


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    _, checkpoint = restore_task(CHECKPOINTS / "segment.safetensors")
    name = next(name for name, tensor in checkpoint.tensors.items() if tensor.is_floating_point())
    broken = {**checkpoint.tensors, name: torch.full_like(checkpoint.tensors[name], float("nan"))}
    save(tmp_path / "broken.safetensors", broken, checkpoint.metadata)
    with pytest.raises(InputError, match=rf"broken.safetensors has NaN or infinite weights, .* in '{re.escape(name)}'"):
        restore_task(tmp_path / "broken.safetensors")


def test_options_that_may_change_after_training():
    task, _ = restore_task(CHECKPOINTS / "segment.safetensors")
    assert not task.options.flip_test
    decoder = task.options.decoder
    adjust(task, {"flip_test": True})
    assert (task.options.flip_test, task.options.decoder) == (True, decoder)
    unchanged = task.options
    adjust(task, {})
    assert task.options is unchanged
    with pytest.raises(
        InputError,
        match=r"'flip_tst' of segment is not known: did you mean 'flip_test'\? \(options that",
    ):
        adjust(task, {"flip_tst": True})
    with pytest.raises(InputError, match=r"'decoder' of segment cannot change after training: leave it out \("):
        adjust(task, {"decoder": "deeplabv3plus"})
    with pytest.raises(InputError, match="flip_test 'yes' in what is chosen by --task-options does not fit"):
        adjust(task, {"flip_test": "yes"})


def test_a_task_without_such_options():
    with pytest.raises(InputError, match=r"'flip' of classify cannot change after training: leave it out \(none can"):
        adjust(classifier(["cat", "dog"]), {"flip": 0.5})


def test_the_classes_of_data_are_those_of_the_training():
    source = open_source("shapes:2,2")
    names = list(source.class_names)
    with_classes_of(classifier(names), source)
    with pytest.raises(InputError, match=r"do not know 16 of the 16 classes of shapes, such as .*they know cat, dog"):
        with_classes_of(classifier(["cat", "dog"]), source)
    with pytest.raises(InputError, match=rf"do not know 1 of the 16 classes of shapes, such as {names[0]!r}"):
        with_classes_of(classifier(["cat", *names[1:]]), source)
    with pytest.raises(InputError, match="same classes in the same order"):
        with_classes_of(classifier(names), replace(source, class_names=names[::-1]))


def test_labels_follow_the_names_of_the_training(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "1.png")
    source = open_source(tmp_path, DataSettings(evaluate=True))
    found = with_classes_of(classifier(["b", "c", "a"]), source)
    assert list(zip(found.val.targets, found.val.paths, strict=True)) == [
        (2, str(tmp_path / "a" / "1.png")),
        (0, str(tmp_path / "b" / "1.png")),
    ]
    assert found.class_names == ["b", "c", "a"]
    assert found.notes == ["There are no images of 1 of the 3 classes: c."]
    with pytest.raises(InputError, match="same classes in the same order"):  # which "a" is meant is not known
        with_classes_of(classifier(["a", "b", "a"]), source)


def test_of_assumed_names_only_their_number_counts():
    source = open_source("shapes:2,2")
    task = classifier([f"class {index}" for index in range(16)])
    assert task.facts["class_names_assumed"]
    assert "order is assumed" in with_classes_of(task, source).notes[0]
    with pytest.raises(InputError, match="have 3 classes without names, and shapes has 16"):
        with_classes_of(classifier(["class 0", "class 1", "class 2"]), source)


def test_weights_of_a_named_model_have_assumed_classes(tmp_path):
    torch.save(create_model("resnet20_tiny", num_classes=3).state_dict(), tmp_path / "weights.pth")
    task, _ = restore_task(tmp_path / "weights.pth", "resnet20_tiny")
    assert (task.name, task.class_names) == ("classify", ("class 0", "class 1", "class 2"))
