"""`res2net quickstart`, with few images."""

import re

import pytest
import torch

from conftest import interrupt_at_step


def test_it_trains_compares_explains_and_says_what_is_next(run, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    folder = tmp_path / "first"
    answer = run("quickstart", "--source", "shapes:80,40", "--epochs", 1, "--seeds", 2, "--out", folder)
    assert answer.status == 0, answer.err
    for name in ("ResNet", "Res2Net"):
        for seed in (0, 1):
            assert f"{name}, seed {seed}" in answer.out
    assert "2 seeds of each, the same data and epochs" in answer.out
    assert re.search(r"(points more accurate than|are equally accurate)", answer.out)

    report = folder / "report.html"
    assert str(report) in answer.out
    page = report.read_text()
    sections = ("Accuracy by the size of the object", "Training", "What the networks look at")
    assert all(f">{section}</h2>" in page for section in sections)
    assert page.count("<svg") + page.count("<img") >= 3

    best = folder / "res2net20_26w_4s_tiny-seed0" / "best.safetensors"
    assert best.is_file()
    after = answer.out.split("Next,")[1]
    assert "res2net train PATH/TO/IMAGES --model res2net50_26w_4s\n" in after
    assert f"res2net eval shapes:80,40 --weights {best}\n" in after
    # The command that it proposes works.
    again = run("eval", "shapes:80,40", "--weights", best, "--accelerator", "cpu")
    assert "40 images of shapes" in again.out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--seeds", "0"], "0 seeds and 3 epochs do not fit: give 1 to 100 and 1 to 1000."),
        (["--epochs", "-1"], "2 seeds and -1 epochs do not fit: give 1 to 100 and 1 to 1000."),
        (["--epochs", "two"], "--epochs 'two' does not fit: give a whole number."),
        (["--epcohs", "2"], "`res2net quickstart` has no option '--epcohs': did you mean '--epochs'?"),
        (["shapes"], "Unexpected argument 'shapes': see `res2net quickstart --help`."),
    ],
)
def test_it_refuses(refused, options, sentence):
    assert refused("quickstart", *options) == sentence


def test_a_folder_that_is_not_empty_is_kept(refused, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for out in (tmp_path, tmp_path / "mine.txt"):
        assert refused("quickstart", "--out", out) == f"{out} exists and is not empty: choose another --out."
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_stopped_run_prints_how_to_resume(run, tmp_path, monkeypatch):
    interrupt_at_step(monkeypatch, torch.optim.AdamW, 1)
    answer = run("quickstart", "--source", "shapes:130,10", "--out", tmp_path / "my runs")
    assert answer.status == 1
    folder = tmp_path / "my runs" / "resnet20_tiny-seed0"
    assert answer.err.endswith(f"res2net train --resume '{folder}'\n")
    assert (folder / "last.ckpt").is_file()
