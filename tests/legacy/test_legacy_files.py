"""Checkpoints and exported files that version 0.1.0 wrote still load and predict the same; its runs are not resumed.

`files/README.md` describes the files. Everything goes through the command line.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from res2net.cli import main

FILES = Path(__file__).parent / "files"
EXPECTED = json.loads((FILES / "expected.json").read_text())
CLOSE = {"checkpoints": 1e-4, "exports": 1e-3}
"""Largest difference of numbers, absolute or relative."""
LEVELS = {"translate": 1, "saliency": 1, "roads": 1, "depth": 2}
"""Largest difference of a value in a saved image, by task; labels and masks are equal."""
SLOW = {"checkpoints/volumes.safetensors", "exports/volumes.onnx"}
"""Files that take more than a few seconds."""
LIBRARIES = {"openvino": ("openvino",), "onnx": ("onnxruntime",), "pt2": ()}


@pytest.fixture(autouse=True)
def among_the_files(monkeypatch):
    """Run in the folder of the files, to which their sources are relative, with one thread as they were made."""
    monkeypatch.chdir(FILES)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def predictions():
    for file in EXPECTED["predict"]:
        marks = [pytest.mark.slow] if file in SLOW else []
        yield pytest.param(file, id=file, marks=marks)


def check(found, expected, close, where="the answer"):
    """Assert that everything expected was found; there may be more entries."""
    if isinstance(expected, dict):
        assert isinstance(found, dict), where
        assert not expected.keys() - found.keys(), where
        for name, value in expected.items():
            check(found[name], value, close, f"{where} {name}")
    elif isinstance(expected, list):
        assert isinstance(found, list), where
        assert len(found) == len(expected), where
        for index, value in enumerate(expected):
            check(found[index], value, close, f"{where} {index}")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=close, abs=close, nan_ok=True), where
    else:
        assert found == expected, where


@pytest.mark.parametrize("file", list(predictions()))
def test_predictions(file, capsys, tmp_path):
    case = EXPECTED["predict"][file]
    command = case["command"]
    if "--runtime" in command:
        for library in LIBRARIES[command[command.index("--runtime") + 1]]:
            pytest.importorskip(library)
    if command[1] == "volumes":
        pytest.importorskip("nibabel")
    saved = tmp_path / "saved"
    more = ["--save", str(saved)] if "saved" in case else []
    # Files that can run code needed no trust in version 0.1.0.
    more += ["--trust"] if file.endswith(".pt2") else []
    assert main([*command, *more]) == 0
    close = CLOSE[file.split("/")[0]]
    check(json.loads(capsys.readouterr().out), case["json"], close)
    for name, expected in case.get("saved", {}).items():
        check_saved(saved / name, expected, LEVELS.get(command[1], 0))


def check_saved(path, expected, levels):
    """Compare some of the values of an image or a volume."""
    if path.suffix == ".gz":
        import nibabel

        array, axes = np.asarray(nibabel.load(path).dataobj), 3
    else:
        array, axes = np.asarray(Image.open(path)), 2
    assert list(array.shape) == expected["shape"]
    assert str(array.dtype) == expected["dtype"]
    some = array[tuple(slice(side // 16, None, max(1, side // 8)) for side in array.shape[:axes])]
    if path.stem.endswith("colours"):  # a step in a colour map is as large as it likes
        levels = 8
    assert np.abs(some.astype(float) - np.array(expected["some"], float)).max() <= levels
    assert array.mean(dtype=float) == pytest.approx(expected["mean"], rel=1e-2, abs=1e-3)


@pytest.mark.parametrize("name", list(EXPECTED["eval"]))
def test_evaluations(name, capsys):
    case = EXPECTED["eval"][name]
    assert main(case["command"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    found = {row[0]: row[1] for row in rows if len(row) > 1}
    for metric, value in case["metrics"].items():
        if value[-1].isdigit():  # else there is nothing to measure it on
            assert float(found[metric]) == pytest.approx(float(value), rel=1e-3, abs=2e-3), metric
        else:
            assert found[metric] == value


RUNS = sorted(path.name for path in (FILES / "runs").iterdir())


@pytest.mark.parametrize("name", RUNS)
def test_runs_are_not_resumed(name, capsys, tmp_path):
    """Their states have no checksum, version or identity that could be compared."""
    folder = shutil.copytree(FILES / "runs" / name, tmp_path / name)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert main(["train", "--resume", str(folder)]) == 2
    sentence = capsys.readouterr().err
    assert "it has no checksum, as those of version 0.1.0, which finishes such runs" in sentence
    assert f"start a new run with --weights {folder / 'best.safetensors'}." in sentence
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("name", RUNS)
def test_the_best_weights_of_runs_are_read(name, capsys):
    config = (FILES / "runs" / name / "config.yaml").read_text()
    task = next(line.split()[1] for line in config.splitlines() if line.startswith("task_name:"))
    weights = str(FILES / "runs" / name / "best.safetensors")
    assert main(["predict", task, "images/0.png", "--weights", weights, "--accelerator", "cpu", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["file"] == "images/0.png"
    assert len(entry) == 2
