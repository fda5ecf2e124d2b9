"""`res2net train`: what it prints and writes, files of options, stopping and resuming."""

import csv
import os
import re
import shutil

import pytest
import torch
import yaml
from PIL import Image

from conftest import interrupt_at_step


def config_of(folder):
    return yaml.safe_load((folder / "config.yaml").read_text())


def test_what_it_says(trained, images):
    out = trained.answer.out
    counts = "6 images to train, 2 to validate (val: 20% by hash), 2 classes"
    assert f"res2net20_26w_4s_tiny: {counts}; run folder {trained.folder}" in out
    for epoch in (1, 2):
        assert re.search(rf"epoch +{epoch}/2  train loss \d\.\d+  val loss \d\.\d+  top1 [\d.]+ %", out)
    assert f"Report: {trained.folder / 'report.html'}" in out
    assert f"res2net eval {images} --weights {trained.best}" in out
    assert f"--weights {trained.best}" in out.split("res2net predict")[1]
    assert trained.answer.err == ""


@pytest.mark.slow  # the parts are in test_classify_controls.py
@pytest.mark.parametrize("channels", [1, 4])
def test_other_numbers_of_channels(run, tiny, make_images, tmp_path, channels):
    folder = make_images()
    for path in folder.rglob("*.png"):
        with Image.open(path) as image:
            image.putalpha(99)
            image.save(path)
    answer = run("train", folder, *tiny(in_channels=channels), "--out", tmp_path / "run")
    assert answer.status == 0, answer.err
    assert config_of(tmp_path / "run")["data"]["in_channels"] == channels
    for words in (["eval", folder], ["predict", folder, "--draw", tmp_path / "drawn"]):
        answer = run(*words, "--weights", tmp_path / "run", "--accelerator", "cpu")
        assert answer.status == 0, answer.err


def test_what_it_leaves(trained):
    names = {path.name for path in trained.folder.iterdir()}
    expected = {"config.yaml", "metrics.csv", "best.safetensors", "last.safetensors", "last.ckpt", "report.html"}
    assert names == expected | {"tensorboard", "samples.csv.gz", ".lock"}
    rows = list(csv.DictReader((trained.folder / "metrics.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert "Hardest images" in (trained.folder / "report.html").read_text()


def test_options_of_a_file_and_of_the_command_line(run, images, tmp_path):
    """Options on the command line override the file, and the file overrides the defaults."""
    file = tmp_path / "options.yaml"
    options = {
        "source": str(images),
        "model": {"model": "res2net20_26w_4s_tiny", "options": {"scale": 2, "base_width": 52}},
        "data": {"size": 32, "batch_size": 3, "workers": 0},
        "optim": {"epochs": 7, "lr": 1e-3, "ema": 0.9},
        "task": {"label_smoothing": 0.1},
        "accelerator": "cpu",
        "out": str(tmp_path / "run"),
    }
    file.write_text(yaml.safe_dump(options))
    answer = run("train", "--config", file, "--epochs", 1, "--seed", 5, "--label-smoothing", 0.2)
    assert answer.status == 0, answer.err
    used = config_of(tmp_path / "run")
    assert (used["optim"]["epochs"], used["seed"], used["task"]["label_smoothing"]) == (1, 5, 0.2)
    assert (used["optim"]["lr"], used["optim"]["ema"], used["data"]["batch_size"]) == (1e-3, 0.9, 3)
    assert used["model"]["options"] == {"scale": 2, "base_width": 52}
    assert used["optim"]["momentum"] == 0.9
    # What a run wrote down is itself such a file.
    again = run("train", "--config", tmp_path / "run" / "config.yaml", "--out", tmp_path / "again")
    assert again.status == 0, again.err
    assert config_of(tmp_path / "again") == used | {"out": str(tmp_path / "again")}


def test_a_stopped_run_prints_how_to_resume(run, images, tiny, tmp_path, trained, monkeypatch):
    """Ctrl-C in the second batch of three."""
    folder = tmp_path / "my run"
    with monkeypatch.context() as patch:
        interrupt_at_step(patch, torch.optim.SGD, 2)
        stopped = run("train", images, *tiny(epochs=2), "--out", folder)
    assert stopped.status == 1
    assert stopped.err == f"Stopped and saved. Resume with:\n  res2net train --resume '{folder}'\n"
    resumed = run("train", "--resume", folder)
    assert resumed.status == 0, resumed.err
    wanted, got = (
        list(csv.DictReader((one / "metrics.csv").read_text().splitlines())) for one in (trained.folder, folder)
    )
    for row, other in zip(wanted, got, strict=True):
        assert (row["train_loss"], row["val_top1"]) == (other["train_loss"], other["val_top1"])


def test_a_resumed_run_takes_no_other_options(refused, trained):
    sentence = refused("train", "--resume", trained.folder, "--seed", 3)
    assert sentence.startswith("A resumed run keeps --seed: leave that out of --resume")
    assert str(trained.best) in sentence


def test_a_resumed_run_knows_its_task(refused, trained, tmp_path):
    shutil.copytree(trained.folder, tmp_path / "run")
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("task_name: classify", "task_name: classifi"))
    assert "'classifi': did you mean 'classify'?" in refused("train", "--resume", tmp_path / "run")
    sentence = refused("train", "classify", "--resume", tmp_path / "run")
    assert (
        sentence
        == f"The configuration {config} is for the task classifi, not for classify: name the task classifi instead."
    )


def test_what_cannot_be_resumed(refused, trained, tmp_path):
    assert "is not the folder of a run (it does not exist)" in refused("train", "--resume", tmp_path / "none")
    shutil.copy(trained.folder / "config.yaml", tmp_path)
    assert "has no last.ckpt to resume from" in refused("train", "--resume", tmp_path)
    shutil.copy(trained.folder / "best.safetensors", tmp_path)
    sentence = refused("train", "--config", tmp_path / "config.yaml", "--out", tmp_path)
    assert sentence == f"{tmp_path} holds a run already: choose another --out."
    state = (trained.folder / "last.ckpt").read_bytes()
    (tmp_path / "last.ckpt").write_bytes(state[: len(state) // 2])
    assert "last.ckpt is damaged or not the state of a run" in refused("train", "--resume", tmp_path)


def test_fine_tuning_with_other_classes(run, make_images, tiny, trained, tmp_path):
    other = make_images(classes=("blue", "green", "red"))
    answer = run("train", other, *tiny(weights=trained.best, out=tmp_path / "run"), "--adapt-classifier")
    assert answer.status == 0, answer.err
    assert "3 classes" in answer.out


def test_a_full_disk_keeps_what_was_saved(run, refused, images, tiny, tmp_path, monkeypatch):
    """The disk fills up in the second epoch; when there is space again, the run goes on."""
    folder = tmp_path / "run"
    state, saved = folder / "last.ckpt", {}
    original = os.fsync

    def fsync(descriptor):
        if state.exists():
            saved["bytes"] = state.read_bytes()
            raise OSError(28, "No space left on device")
        original(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        sentence = refused("train", images, *tiny(epochs=2), "--out", folder)
    assert sentence.startswith(f"No space left on the disk for {folder}")
    assert state.read_bytes() == saved["bytes"]
    assert not list(folder.glob(".*.tmp"))
    assert run("train", "--resume", folder).status == 0


def test_a_folder_that_cannot_be_written(refused, images, tiny, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    sentence = refused("train", images, *tiny(out=tmp_path / "file" / "run"))
    assert sentence.startswith(f"Cannot write {tmp_path / 'file' / 'run'} (Not a directory)")
    assert "choose another folder with --out" in sentence

    def mkdir(self, *arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", mkdir)
    sentence = refused("train", images, *tiny(out=tmp_path / "run"))
    assert sentence.startswith(f"No permission to write {tmp_path / 'run'}")


def test_a_folder_with_a_run_is_kept(refused, images, tiny, trained):
    before = trained.best.read_bytes()
    sentence = refused("train", images, *tiny(out=trained.folder))
    assert sentence.startswith(f"{trained.folder} holds a run already: choose another --out")
    assert trained.best.read_bytes() == before


@pytest.mark.parametrize("each", [2, 3])
def test_the_smallest_folders(run, make_images, tiny, tmp_path, each):
    answer = run("train", make_images(each=each), *tiny(out=tmp_path / "run"))
    assert answer.status == 0, answer.err
