"""An evaluation depends on the weights and the images alone."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

from res2net import create_model
from res2net.engine.evaluate import evaluate, workers_for
from res2net.errors import InputError
from res2net.images import DataSettings, open_source
from res2net.images.folder import ImageFiles
from res2net.images.loader import eval_loader
from res2net.tasks.classify.task import Classify, ClassifyOptions
from res2net.weights import Preprocessing


def make_task(classes, size):
    torch.manual_seed(0)
    model = create_model("res2net20_26w_4s_tiny", num_classes=classes, zero_init_last=False)
    names = [f"class {index}" for index in range(classes)]
    preprocessing = Preprocessing(size=size, crop=1.0, mean=(0.5,) * 3, std=(0.25,) * 3)
    return Classify(model, preprocessing, ClassifyOptions(), {"class_names": names})


def loader(task, source, batch_size, workers=0):
    return eval_loader(source.transformed(task.transform(True), task.transform(False))[1], batch_size, workers=workers)


@pytest.fixture
def shapes_task():
    return make_task(16, 64), open_source("shapes:80,40")


def test_the_batch_size_changes_nothing(shapes_task):
    task, source = shapes_task
    first, *others = (evaluate(task, loader(task, source, size), accelerator="cpu") for size in (40, 1, 7))
    assert set(first.metrics) == {"loss", "top1", "top5"}
    assert len(first.records["loss"]) == 40
    for other in others:
        assert other.metrics == pytest.approx(first.metrics, abs=1e-4)
        assert other.records.keys() == first.records.keys()
        for name, values in first.records.items():
            torch.testing.assert_close(other.records[name], values, atol=1e-5, rtol=1e-4)


def test_records_and_metrics_against_the_network_itself(shapes_task):
    task, source = shapes_task
    found = evaluate(task, loader(task, source, 16), accelerator="cpu", channels_last=False)
    right = within = loss = 0
    task.eval()
    for index, (image, target) in enumerate(source.val[i] for i in range(40)):
        pixels = (torch.as_tensor(image).float() / 255 - 0.5) / 0.25
        with torch.no_grad():
            logits = task.model(pixels[None].as_subclass(torch.Tensor))[0].double()
        order = logits.argsort(descending=True).tolist()
        right += order[0] == target["label"]
        within += target["label"] in order[:5]
        loss += float(logits.logsumexp(0) - logits[target["label"]])
        assert int(found.records["index"][index]) == index
        assert int(found.records["label"][index]) == target["label"]
        assert int(found.records["predicted"][index]) == order[0]
        assert float(found.records["size"][index]) == pytest.approx(target["size"])
    expected = {"loss": loss / 40, "top1": 100 * right / 40, "top5": 100 * within / 40}
    assert found.metrics == pytest.approx(expected, rel=1e-4)


@pytest.fixture
def folder(tmp_path):
    """Images of two classes in files, of which the third is broken."""
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for number in range(6):
            path = tmp_path / split / f"class {number % 2}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(256, size=(40, 40, 3), dtype=np.uint8)).save(path)
    (tmp_path / "val" / "class 0" / "2.png").write_bytes(b"broken")
    return tmp_path


@pytest.mark.parametrize("batch_size", [1, 4])
def test_skipped_images_are_named_and_do_not_count(folder, batch_size):
    task = make_task(2, 32)
    found = evaluate(
        task, loader(task, open_source(folder, DataSettings(bad_images="skip")), batch_size), accelerator="cpu"
    )
    assert found.skipped == (str(folder / "val" / "class 0" / "2.png"),)
    assert found.records["index"].tolist() == [0, 2, 3, 4, 5]  # class 0 has 0, 2 and 4
    right = found.records["label"] == found.records["predicted"]
    assert found.metrics["top1"] == pytest.approx(100 * int(right.sum()) / 5)
    assert found.metrics["loss"] == pytest.approx(float(found.records["loss"].mean()))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_stops_it_with_one_sentence(folder, workers):
    task = make_task(2, 32)
    with pytest.raises(InputError, match=r"^Cannot read the image .*2\.png: .*\.$"):
        evaluate(task, loader(task, open_source(folder), 4, workers), accelerator="cpu")


def test_no_image_that_can_be_read_has_no_metrics(folder):
    for path in (folder / "val").rglob("*.png"):
        path.write_bytes(b"broken")
    task = make_task(2, 32)
    with pytest.raises(InputError, match="No image to validate on could be read"):
        evaluate(task, loader(task, open_source(folder, DataSettings(bad_images="skip")), 4), accelerator="cpu")


def test_evaluating_leaves_the_weights_as_they_are(shapes_task):
    task, source = shapes_task
    before = {name: value.clone() for name, value in task.state_dict().items()}
    evaluate(task, loader(task, source, 16), accelerator="cpu")
    assert all(torch.equal(value, before[name]) for name, value in task.state_dict().items())


def test_what_this_machine_cannot_do(shapes_task, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    task, source = shapes_task
    with pytest.raises(InputError, match=r"^This machine cannot run that \(.*\): choose another --accelerator\.$"):
        evaluate(task, loader(task, source, 16), accelerator="gpu")
    with pytest.raises(InputError, match=r"^Precision fp16 needs a GPU: choose --precision bf16 or fp32 on a CPU\.$"):
        evaluate(task, loader(task, source, 16), precision="fp16")


@pytest.mark.parametrize(("processors", "workers"), [(1, 1), (2, 1), (5, 4), (64, 8)])
def test_workers_leave_a_processor_free(folder, monkeypatch, processors, workers):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: range(processors), raising=False)
    files = open_source(folder)
    assert isinstance(files.train, ImageFiles)
    assert workers_for(files) == workers
    assert workers_for(open_source("shapes")) == 0
