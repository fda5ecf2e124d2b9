"""`res2net quickstart`, with few images."""

import pytest
import torch

from conftest import interrupt_at_step
from res2net.weights import shipped


def test_it_trains_compares_explains_and_says_what_is_next(run, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    folder = tmp_path / "first"
    words = ("quickstart", "--source", "shapes:80,40", "--epochs", 1, "--jobs", 1, "--out", folder)
    answer = run(*words)
    assert answer.status == 0, answer.err
    for name in ("ResNet", "Res2Net"):
        assert f"{name}, seed 0" in answer.out
    assert "By size of the object" in answer.out
    assert "1 seed of each, last epoch" in answer.out

    report = folder / "report.html"
    assert str(report) in answer.out
    page = report.read_text()
    sections = ("Accuracy by the size of the object", "Training", "What the networks look at")
    assert all(f">{section}</h2>" in page for section in sections)
    for card in shipped():
        assert (folder / "photograph" / f"{card.name}.png").is_file()
        assert card.knows.split()[0] in answer.out

    best = folder / "Res2Net-seed0" / "best.safetensors"
    assert best.is_file()
    after = answer.out.split("Next,")[1]
    assert "res2net train PATH/TO/IMAGES --model res2net50_26w_4s " in after
    assert f"res2net eval shapes:80,40 --weights {best}\n" in after
    # The command that it proposes works.
    again = run("eval", "shapes:80,40", "--weights", best, "--accelerator", "cpu")
    assert "40 images of shapes" in again.out
    assert "2 of 2 runs are finished" in run(*words).out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--seeds", "0"], "0 seeds, recorded epochs and 2 jobs do not fit: give 1 to 100, 1 to 1000 and 1 to 1024."),
        (["--epochs", "-1"], "1 seeds, -1 epochs and 2 jobs do not fit: give 1 to 100, 1 to 1000 and 1 to 1024."),
        (["--epochs", "two"], "--epochs 'two' does not fit: give a whole number."),
        (["--epcohs", "2"], "`res2net quickstart` has no option '--epcohs': did you mean '--epochs'?"),
        (["shapes"], "Unexpected argument 'shapes': see `res2net quickstart --help`."),
    ],
)
def test_it_refuses(refused, options, sentence):
    assert refused("quickstart", *options) == sentence


def test_a_folder_that_is_not_empty_is_kept(refused, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    assert refused("quickstart", "--out", tmp_path) == f"{tmp_path} exists and is not empty: choose another --out."
    file = tmp_path / "mine.txt"
    assert refused("quickstart", "--out", file) == f"{file} is a file: choose another --out."
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_stopped_run_prints_how_to_go_on(run, tmp_path, monkeypatch):
    interrupt_at_step(monkeypatch, torch.optim.AdamW, 1)
    words = ("quickstart", "--source", "shapes:130,10", "--epochs", 1, "--jobs", 1, "--out", tmp_path / "my runs")
    answer = run(*words)
    assert answer.status == 1
    folder = tmp_path / "my runs"
    assert f"res2net quickstart --out '{folder}' and the same options" in answer.err
    assert (folder / "ResNet-seed0" / "last.ckpt").is_file()
