"""`res2net mini-paper`: one report of several tasks, by one command that goes on where it was."""

import pytest


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tasks", "detektion"), "'detektion': did you mean 'detection'"),
        (("--seeds", 0), "seeds 0 is out of range"),
        (("--images", 0, 5), "--images 0 5 is out of range"),
        (("--epochs", 0), "epochs 0.0 is out of range"),
        (("shapes",), "Unexpected argument 'shapes'"),
    ],
)
def test_mistakes_are_told(run, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    answer = run("mini-paper", *words)
    assert answer.status == 2
    assert message in answer.err


@pytest.mark.slow
def test_two_tasks_in_one_report(run, tmp_path):
    words = ("mini-paper", "--tasks", "classification,semantic", "--images", 32, 8, "--epochs", 0.1, "--seeds", 2)
    answer = run(*words, "--out", tmp_path / "paper")
    assert answer.status == 0, answer.err
    assert "of 2 tasks" in answer.out
    assert "4 of 4 runs are finished" in run(*words, "--out", tmp_path / "paper").out
    text = (tmp_path / "paper" / "report.md").read_text("utf-8")
    assert "## Classification" in text
    assert "2 seeds say too little" in text
