"""`res2net sweep`: what it compares, how it goes on, and what it refuses."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

TINY = ("shapes:48,16", "--epochs", 1, "--batch-size", 16, "--optimizer", "adamw", "--lr", "3e-3")
MODELS = "resnet20_tiny,res2net20_26w_4s_tiny"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("shapes",), "give either --models or --vary with --model"),
        (("shapes", "--models", MODELS, "--vary", "scale=2"), "give either --models or --vary"),
        (("shapes", "--models", "resnet20_tinny"), "resnet20_tiny"),
        (("shapes", "--vary", "scale"), "--vary 'scale' does not fit: give NAME=VALUE,VALUE, such as --vary scale=2,4"),
        (("shapes", "--vary", "scale=2,2"), "--vary 'scale=2,2' has a value twice"),
        (("shapes", "--models", MODELS, "--seeds", 0), "seeds 0 is out of range"),
        (("shapes", "--models", MODELS, "--jobs", 0), "jobs 0 is out of range"),
        (("shapes", "--models", MODELS, "--tune", "lrr=1,2"), "Unknown option 'lrr': did you mean 'lr'"),
        (("shapes", "--models", MODELS, "--learning-rate", 1), "--learning-rate"),
        (("--models", MODELS), "SOURCE is missing"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(run, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    answer = run("sweep", *words)
    assert answer.status == 2
    assert message in answer.err
    assert not list(tmp_path.rglob("*.safetensors"))


def test_help_names_its_options_and_where_the_others_are(run):
    answer = run("sweep", "--help")
    assert answer.status == 0
    assert "--vary" in answer.out
    assert "All options of `res2net train` apply" in " ".join(answer.out.replace("│", " ").split())


@pytest.mark.slow
def test_models_are_compared_and_finished_runs_are_read(run, tmp_path):
    words = ("sweep", *TINY, "--models", MODELS, "--seeds", 2, "--out", tmp_path / "sweep", "--time")
    answer = run(*words)
    assert answer.status == 0
    assert "2 seeds say too little" in answer.out
    saved = json.loads((tmp_path / "sweep" / "study.json").read_text())
    assert list(saved["arms"]) == MODELS.split(",")
    assert all(arm["cost"]["milliseconds"] > 0 for arm in saved["arms"].values())
    again = run(*words)
    assert "4 of 4 runs are finished" in again.out
    assert (
        json.loads((tmp_path / "sweep" / "study.json").read_text())["arms"]["resnet20_tiny"]["scores"]
        == saved["arms"]["resnet20_tiny"]["scores"]
    )


@pytest.mark.slow
def test_options_are_varied_and_tuned(run, tmp_path):
    answer = run(
        *("sweep", *TINY, "--model", "res2net20_26w_4s_tiny", "--vary", "scale=2,4", "base_width=20", "--seeds", 1),
        *("--tune", "lr=1e-3,3e-3", "--out", tmp_path / "sweep"),
    )
    assert answer.status == 0
    assert "Scores on the part held out of the training split" in " ".join(answer.out.split())
    saved = json.loads((tmp_path / "sweep" / "study.json").read_text())
    assert list(saved["arms"]) == ["base", "scale=2", "base_width=20"]
    assert saved["arms"]["scale=2"]["config"]["model"]["options"] == {"scale": 2}
    assert all(arm["config"]["optim"]["lr"] in (1e-3, 3e-3) for arm in saved["arms"].values())
    assert all(arm["config"]["data"]["val_split"] is None for arm in saved["arms"].values())


@pytest.mark.kills
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_signal_saves_all_runs_and_the_same_command_goes_on(tmp_path):
    out = tmp_path / "sweep"
    words = ["sweep", *map(str, TINY), "--models", MODELS, "--seeds", "1", "--jobs", "2", "--out", str(out)]
    words[words.index("--epochs") + 1] = "60"
    command = [sys.executable, "-m", "res2net", *words]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while len(list(out.glob("*/last.ckpt"))) < 2:
        assert started.poll() is None, started.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    started.send_signal(signal.SIGTERM)
    _, error = started.communicate(timeout=300)
    assert started.returncode == 1
    assert "Go on with the same command" in error
    for lock in out.glob("*/.lock"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(lock.read_text()), 0)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr
    for folder in ("resnet20_tiny-seed0", "res2net20_26w_4s_tiny-seed0"):
        assert len((out / folder / "metrics.csv").read_text().splitlines()) == 61
        assert "Resume" in (out / "logs" / f"{folder}.log").read_text()


@pytest.mark.slow
def test_a_run_that_fails_is_named_with_its_reason_and_its_log(run, tmp_path):
    words = ["--models", MODELS, "--seeds", 1, "--jobs", 2, "--out", tmp_path / "sweep", "--accumulate", 99]
    answer = run("sweep", *TINY, *words)
    assert answer.status == 2
    assert "seed 0 failed, see" in answer.err
    assert "--accumulate 99 is out of range" in answer.err
