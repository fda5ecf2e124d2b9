"""`res2net info` of runs, checkpoints and exported networks."""

from pathlib import Path

import pytest
import torch

from res2net import create_model
from res2net.export.artefact import Artefact
from res2net.weights import Preprocessing, save

RUNS = Path(__file__).parents[1] / "legacy" / "files" / "runs"


@pytest.fixture
def info(run, monkeypatch):
    """The rows of `res2net info` by their first words, and all that it printed."""
    monkeypatch.setenv("COLUMNS", "400")

    def call(*words):
        answer = run("info", *words)
        assert (answer.status, answer.err) == (0, "")
        cells = [line.strip().split("   ", 1) for line in answer.out.splitlines() if "   " in line.strip()]
        return {name.strip(): value.strip() for name, value in cells}, answer.out

    return call


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("classify", {"classes": "2: green, red", "data": "pictures", "top1": "0.000   %"}),
        ("detect", {"classes": "4: square, triangle, cross, star", "box_AP_medium": "0.000   %", "channels": "3"}),
        ("segment", {"mIoU": "0.742   %", "task options": "channels 4", "model options": "depth 10, growth_rate 4"}),
        ("translate", {"SSIM": "42.305   %", "PSNR": "15.529   dB", "classes": "1: picture"}),
    ],
)
@pytest.mark.parametrize("file", ["", "best.safetensors"])
def test_a_run_and_its_checkpoint(info, task, expected, file):
    facts, text = info(RUNS / task / file)
    for name, value in (expected | {"task": task, "written by": "res2net 0.1.0"}).items():
        assert facts[name] == value
    assert f"Checkpoint {RUNS / task / 'best.safetensors'}" in text
    assert ("stopped" in text) == (file == "")


def test_a_finished_run_and_its_state(info, trained):
    facts, _ = info(trained.folder)
    assert facts["state"] == "finished"
    assert facts["epochs"].startswith("2 of 2, the best is ")
    assert facts["began with"] == "random weights"
    assert facts["samples"] == "6 train, 2 val"
    assert facts["split"] == "that of the data; where they have none, 0.2 to validate, by seed 0"
    assert facts["training"] == "sgd, learning rate 0.05, cosine"
    assert "metrics.csv (" in facts["files"]
    model = create_model("res2net20_26w_4s_tiny", num_classes=2)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert facts["size"].startswith(f"{count:,} parameters in {len(model.state_dict())} tensors, ")
    state, _ = info(trained.folder / "last.ckpt")
    assert state["trained"] == f"2 of 2 epochs: go on with --resume {trained.folder} --epochs 4"
    assert {name: state[name] for name in ("task", "model", "classes", "samples")} == {
        name: facts[name] for name in ("task", "model", "classes", "samples")
    }


def test_weights_of_other_programs(info, tmp_path):
    torch.save(
        {"state_dict": create_model("resnet20_tiny").state_dict(), "arch": "resnet20", "epoch": 3}, tmp_path / "a.pth"
    )
    facts, text = info(tmp_path / "a.pth")
    assert "give its name with --model" in text
    assert facts["model"] == "resnet20"
    assert "task" not in facts
    save(tmp_path / "b.safetensors", {"x": torch.zeros(3)}, {"model": "resnet50", "options": {}, "licence": "MIT"})
    facts, _ = info(tmp_path / "b.safetensors")
    assert (facts["task"], facts["licence"]) == ("none: weights of a backbone", "MIT")
    assert facts["size"].startswith("3 parameters in 1 tensors, ")


@pytest.mark.parametrize("name", ["net.onnx", "net.onnx.json"])
def test_an_exported_network(info, tmp_path, name):
    (tmp_path / "net.onnx").write_bytes(b"x" * 2**21)
    Artefact(
        "onnx", "classify", "resnet50", {"scale": 1}, (2, 3, 64, 48), False, ("logits",), ("a", "b"),
        Preprocessing(), int8=True, agreement={"logits": 0.25}, source="photos",
    ).write(tmp_path / "net.onnx")  # fmt: skip
    facts, _ = info(tmp_path / name)
    expected = {"format": "onnx, 8-bit integers", "size": "2.0 MiB", "classes": "2: a, b", "outputs": "logits"}
    expected |= {"input": "a batch of 2 of 3 x 64 x 48", "agreement": "logits 0.25", "data": "photos"}
    assert {entry: facts[entry] for entry in expected} == expected


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["none.pth"], "There is no file none.pth: "),
        (["runs/none"], "There is no file runs/none: "),
        ([RUNS], "is no run (it has no config.yaml): give a folder of `res2net train` or a checkpoint."),
        ([RUNS / "detect" / "config.yaml"], "not a checkpoint: "),
        ([RUNS / "detect" / "last.ckpt"], "is damaged or not the state of a run (it has no checksum"),
        ([RUNS / "detect", "resnet50"], "is described as it is: leave out names of models and options of their costs."),
        ([RUNS / "detect", "--size", "64"], "leave out names of models and options of their costs."),
    ],
)
def test_what_is_neither(refused, words, sentence):
    assert sentence in refused("info", *words)
