"""Checkpoints that are wrong: missing, damaged, malicious, or of something else."""

import os

import pytest
import torch

from res2net.weights import read_checkpoint, save


@pytest.fixture
def rejected(refused, images, tiny, tmp_path):
    """A function that gives weights to every command that takes some; all say the same, which it gives."""

    def call(path):
        image = images / "red" / "0.png"
        sentences = {
            refused("eval", images, "--weights", path),
            refused("predict", image, "--weights", path),
            refused("train", images, *tiny(weights=path, out=tmp_path / "run")),
        }
        assert not (tmp_path / "run").exists()
        (sentence,) = sentences
        return sentence

    return call


def test_a_missing_file(rejected, trained):
    path = trained.folder / "bets.safetensors"
    assert rejected(path) == f"There is no file {path}: did you mean 'best.safetensors'?"


def test_the_folder_of_a_run_has_its_best_weights(run, trained, images):
    for verb in ("eval", "predict"):
        by_file, by_folder = (
            run(verb, images, "--weights", chosen, "--accelerator", "cpu") for chosen in (trained.best, trained.folder)
        )
        assert (by_folder.status, by_folder.err) == (0, "")
        # The last line of an evaluation is its speed.
        assert by_folder.out.splitlines()[:-1] == by_file.out.splitlines()[:-1]


def test_another_folder(refused, images, tiny, tmp_path):
    sentence = f"{tmp_path} is not the folder of a finished run (it has no best.safetensors): give a file."
    for verb in ("eval", "predict"):
        assert refused(verb, images, "--weights", tmp_path) == sentence
    sentence = refused("train", images, *tiny(weights=tmp_path, out=tmp_path / "run"))
    assert (
        sentence == f"{tmp_path} is a folder without best.safetensors: give a checkpoint file, or the folder of a run."
    )


@pytest.mark.parametrize("name", ["best.safetensors", "last.ckpt"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.999])
def test_a_truncated_file(rejected, trained, tmp_path, name, kept):
    data = (trained.folder / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(kept * len(data))])
    assert rejected(path) == f"{path} is damaged, incomplete or not a checkpoint: download or save it again."


def test_an_empty_file(rejected, tmp_path):
    (tmp_path / "empty.pth").write_bytes(b"")
    assert rejected(tmp_path / "empty.pth") == f"{tmp_path / 'empty.pth'} is empty: download or save it again."


def test_nothing_is_executed(rejected, tmp_path):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "attacked"),)

    path = tmp_path / "malicious.pth"
    torch.save({"state_dict": {"conv1.weight": Attack()}}, path)
    assert "contains Python objects (posix.mkdir) that could run code, so it is not read" in rejected(path)
    assert not (tmp_path / "attacked").exists()


def test_weights_of_another_model(refused, images, trained, tiny, tmp_path):
    sentence = f"{trained.best} holds a 'res2net20_26w_4s_tiny', not a 'resnet20_tiny': create 'res2net20_26w_4s_tiny'"
    for words in (
        ["eval", images, "--weights", trained.best, "--model", "resnet20_tiny"],
        ["predict", images, "--weights", trained.best, "--model", "resnet20_tiny"],
        ["train", images, *tiny(weights=trained.best, model="resnet20_tiny", out=tmp_path / "run")],
    ):
        assert refused(*words).startswith(sentence)


def test_weights_of_the_model_with_other_options(refused, images, trained, tiny, tmp_path):
    options = tiny(weights=trained.best, out=tmp_path / "run")
    sentence = refused("train", images, *options, "--options", "scale", 2)
    assert sentence.startswith(f"The checkpoint {trained.best} is of another model")


def test_weights_for_another_number_of_classes(refused, make_images, trained, weights, tiny, tmp_path):
    three = make_images("three", classes=("blue", "green", "red"))
    assert refused("eval", three, *weights).startswith("The weights do not know 1 of the 3 classes of three")
    sentence = refused("train", three, *tiny(weights=trained.best, out=tmp_path / "run"))
    assert "has a classifier of 2 classes and the model a classifier of 3 classes" in sentence
    assert "--adapt-classifier" in sentence


def test_weights_for_other_classes(refused, make_images, weights):
    other = make_images("other", classes=("green", "yellow"))
    assert refused("eval", other, *weights).startswith(
        "The weights do not know 1 of the 2 classes of other, such as 'yellow'"
    )


def test_weights_that_do_not_say_their_model(run, refused, images, trained):
    """The state of a run holds weights too."""
    words = ["predict", images / "red" / "0.png", "--weights", trained.folder / "last.ckpt", "--accelerator", "cpu"]
    sentence = f"{words[3]} is the state of a run, to resume it from (--resume): give its weights, {trained.best}."
    assert refused(*words) == refused("eval", images, *words[2:4]) == sentence
    assert run(*words, "--model", "res2net20_26w_4s_tiny").status == 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"task": "../x"}, "states the task '../x', which does not exist (tasks: classify, "),
        ({"task": ""}, "states the task '', which does not exist (tasks: classify, "),
        ({"task": "Detect"}, "states the task 'Detect', which does not exist (tasks: classify, "),
        ({"preprocessing": {"size": 8193}}, "Size 8193 does not fit: give a number of pixels from 1 to 8,192."),
        ({"preprocessing": {"size": 8192, "crop": 0.01}}, "the shorter side would be resized to 819,200 pixels, and "),
    ],
)
def test_metadata_that_no_run_writes(refused, trained, images, tmp_path, changes, sentence):
    checkpoint = read_checkpoint(trained.best)
    metadata = dict(checkpoint.metadata)
    for name, value in changes.items():
        metadata[name] = metadata[name] | value if isinstance(value, dict) else value
    save(tmp_path / "edited.safetensors", checkpoint.tensors, metadata)
    assert sentence in refused("predict", images / "red" / "0.png", "--weights", tmp_path / "edited.safetensors")


def test_a_misspelt_name_of_weights_that_ship_is_answered_with_the_right_one(refused):
    sentence = refused("predict", "example", "--weights", "cifar10")
    wanted = "cifar10 is not a file (did you mean 'cifar100'?): to use published weights, give the name of the model"
    assert sentence == f"{wanted} as well."
