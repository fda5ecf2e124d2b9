"""Distillation in training runs: images without labels, the start of the student, resuming, what is saved."""

import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import lightning as L
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import res2net
from res2net.console import Console
from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from res2net.engine.folder import RunFolder
from res2net.engine.identity import split_keys
from res2net.engine.stop import StoppedError
from res2net.engine.train import make_task, open_data, train
from res2net.errors import InputError
from res2net.images import open_source
from res2net.images.samples import Transformed
from res2net.images.transforms import eval_transform
from res2net.recipes.study import run_study
from res2net.tasks.classify.distill import (
    WithUnlabelled,
    open_teacher,
    soft_label_loss,
)
from res2net.tasks.classify.labels import NO_LABEL, balanced_indices, class_weights, labels_of
from res2net.tasks.classify.options import ClassifyOptions
from res2net.tasks.classify.task import Classify
from res2net.weights import Preprocessing, read_checkpoint

SHAPES = "shapes:16,8"
NAMES = list(open_source(SHAPES).class_names)
TINY = "res2net20_26w_4s_tiny"


def run_config(teacher, out=None, **chosen):
    return TrainConfig(
        task_name="classify",
        source=SHAPES,
        task=ClassifyOptions(teacher=None if teacher is None else str(teacher), **chosen),
        model=ModelConfig(TINY),
        data=DataConfig(batch_size=8, workers=0),
        optim=OptimConfig(epochs=2, ema=0.9),
        accelerator="cpu",
        out=None if out is None else str(out),
    )


@pytest.fixture
def photos(tmp_path):
    """Images of grey shades without labels, at two depths."""
    (tmp_path / "photos/inner").mkdir(parents=True)
    for index in range(6):
        folder = tmp_path / ("photos/inner" if index % 2 else "photos")
        Image.new("RGB", (70, 60 + index), (40 * index,) * 3).save(folder / f"{index}.jpg")
    return tmp_path / "photos"


def test_images_without_labels_are_trained_on(trained, photos):
    plain = open_data(run_config(trained))
    source = open_data(run_config(trained, unlabelled=str(photos)))
    assert (len(source.train), len(source.val)) == (16 + 6, 8)
    assert labels_of(source.train) == [*labels_of(plain.train), *[NO_LABEL] * 6]
    image, target = source.train[16]
    assert (image.size, target) == ((70, 60), {"label": NO_LABEL})
    assert set(source.train[0][1]) == {"label"}
    assert "6 images of" in source.notes[-1]
    assert source.notes[-1].endswith("have no labels but those of the teacher.")
    assert "labels the training images softly" in source.notes[0]
    # Their files are part of what a resumed run compares; those of the labelled images stay as they are.
    keys = split_keys(source)["train"]
    assert keys[:16] == split_keys(plain)["train"]
    assert [key.name for key in keys[16:]] == ["0.jpg", "2.jpg", "4.jpg", "inner/1.jpg", "inner/3.jpg", "inner/5.jpg"]
    assert all(key.content for key in keys[16:])
    assert source.overfit(3).train[2][1].keys() == {"label"}


def test_a_teacher_of_other_classes_than_the_data(write_teacher, tmp_path):
    write_teacher(tmp_path / "other.safetensors", ["cat", "dog"])
    with pytest.raises(InputError, match=r"knows 2 classes \(cat, dog\), and shapes has 16 "):
        open_data(run_config(tmp_path / "other.safetensors"))


def test_scaled_decoding_and_transparency(photos):
    files = [str(path) for path in sorted(photos.glob("*.jpg"))]
    folder = open_source("shapes:4,2")
    samples = WithUnlabelled(folder.train, files)
    transform = eval_transform(Preprocessing(size=32))
    for decode in ("full", "scaled"):
        image, target = Transformed(samples, transform, decode=decode)[5]
        assert (tuple(image.shape), target) == ((3, 32, 32), {"label": NO_LABEL, "index": 5})
    assert not samples.alpha
    samples.alpha = True
    assert samples[5][0].mode == "RGBA"


def test_rare_classes_are_those_of_labels():
    labels = [0, NO_LABEL, 1, 0, 0, NO_LABEL]
    assert balanced_indices(labels, 2) == [0, 1, 2, 3, 4, 5, 2, 2]
    torch.testing.assert_close(
        class_weights("balanced", labels, ["a", "b"]), class_weights("balanced", [0, 1, 0, 0], ["a", "b"])
    )


def test_images_of_the_data_are_no_images_without_labels(write_teacher, tmp_path):
    for name, count in (("ball", 4), ("box", 4)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (32, 32), (60 * index, 0, 0)).save(tmp_path / "data" / name / f"{index}.png")
    write_teacher(tmp_path / "t.safetensors", ["ball", "box"])
    config = run_config(tmp_path / "t.safetensors", unlabelled=str(tmp_path / "data"))
    with pytest.raises(InputError, match=r"All images of .* are those of data"):
        Classify.open(tmp_path / "data", None, config.task)
    Image.new("RGB", (32, 32)).save(tmp_path / "data/more.png")
    source = Classify.open(tmp_path / "data", None, config.task)
    assert source.notes[-1].endswith("have no labels but those of the teacher; 8 of the data are left out.")


def test_a_teacher_does_not_change_how_the_student_begins(trained):
    starts = []
    for teacher in (trained, None):
        L.seed_everything(0, verbose=False)
        config = run_config(teacher)
        starts.append(make_task(config, open_data(config)).state_dict())
    assert all(torch.equal(starts[0][name], starts[1][name]) for name in starts[1])
    assert starts[0].keys() == starts[1].keys()


class CtrlC(L.Callback):
    """Sends Ctrl-C in a batch."""

    def __init__(self, batch):
        self.left = batch

    def on_train_batch_start(self, *_arguments):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
def test_a_run_with_a_teacher_resumes_bit_exactly(write_teacher, trained, photos, tmp_path):
    chosen = {"unlabelled": str(photos), "mixup": 0.3, "distill_weight": 0.6, "distill": "kl", "temperature": 4.0}
    teacher = tmp_path / "teacher.safetensors"
    teacher.write_bytes(trained.read_bytes())
    quiet = Console(quiet=True)
    whole = train(run_config(teacher, tmp_path / "whole", **chosen), console=quiet)
    config = run_config(teacher, tmp_path / "stopped", **chosen)
    with pytest.raises(StoppedError):
        train(config, console=quiet, callbacks=[CtrlC(3)])
    stopped = RunFolder.existing(config.out)
    state = stopped.state.read_bytes()

    def refused(text):
        with pytest.raises(InputError, match=text):
            train(config, resume=RunFolder.existing(config.out), console=quiet)
        assert stopped.state.read_bytes() == state

    teacher.unlink()
    refused("The teacher .*teacher.safetensors cannot be opened. There is no file")
    torch.manual_seed(5)
    write_teacher(teacher)
    refused("The teacher is not the one that the run in .* learns from .*: restore its file")
    teacher.write_bytes(trained.read_bytes())
    Image.new("RGB", (50, 50)).save(photos / "new.jpg")
    refused("added .such as new.jpg")
    (photos / "new.jpg").unlink()
    resumed = train(config, resume=RunFolder.existing(config.out), console=quiet)
    for name in ("last", "best"):
        one, other = (load_file(getattr(run.folder, name)) for run in (whole, resumed))
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert read_checkpoint(whole.folder.best).metadata["teacher"] == open_teacher(str(trained)).digest


@pytest.mark.slow
def test_from_python_with_and_without_a_teacher(trained, tmp_path):
    options = {"model": TINY, "epochs": 1, "batch_size": 8, "workers": 0, "accelerator": "cpu"}
    quiet = Console(quiet=True)
    learnt = res2net.train("classify", SHAPES, teacher=trained, out=tmp_path / "learnt", console=quiet, **options)
    alone = res2net.train("classify", SHAPES, out=tmp_path / "alone", console=quiet, **options)
    sizes = [{name: getattr(run.folder, name).stat().st_size for name in ("best", "state")} for run in (learnt, alone)]
    for name in ("best", "state"):  # the weights of the teacher, 0.3 MB, are in none of them
        assert abs(sizes[0][name] - sizes[1][name]) < 2000
    assert learnt.rows[0]["train_loss"] != alone.rows[0]["train_loss"]
    assert 0 < learnt.rows[0]["train_loss"] < math.log(2)
    assert res2net.load(tmp_path / "learnt").class_names == tuple(NAMES)
    assert Path(tmp_path, "learnt", "report.html").is_file()


@pytest.mark.slow
def test_a_study_with_and_without_a_teacher(tmp_path):
    """A teacher that was trained on the shapes: its student agrees with it more than the one without."""
    quiet = Console(quiet=True)
    base = replace(run_config(None), source="shapes:300,64", data=DataConfig(batch_size=32, workers=0))
    base = replace(base, optim=OptimConfig(epochs=6, optimizer="adamw", lr=5e-3, schedule="one-cycle", warmup=1.0))
    wide = replace(base, model=ModelConfig(TINY, options={"base_width": 52}), out=str(tmp_path / "teacher"))
    teacher = train(wide, console=quiet).task
    chosen = ClassifyOptions(teacher=str(tmp_path / "teacher"), distill="kl", temperature=4.0, distill_weight=0.9)
    arms = {"alone": base, "distilled": replace(base, task=chosen)}
    study = run_study(arms, (0, 1), tmp_path / "study", console=quiet)
    assert {name: len(scores) for name, scores in study.scores().items()} == {"alone": 2, "distilled": 2}
    assert math.isfinite(study.differences()["distilled"].mean)
    samples = open_data(base).val
    images = torch.stack([eval_transform(teacher.preprocessing)(samples[index][0]) for index in range(64)])
    distances = {}
    for name in arms:
        students = [res2net.load(tmp_path / "study" / f"{name}-seed{seed}" / "last.safetensors") for seed in (0, 1)]
        with torch.no_grad():
            distances[name] = [float(soft_label_loss(one.task(images), teacher(images), "js")) for one in students]
    assert max(distances["distilled"]) < min(distances["alone"])
