"""Runs that are killed at any moment, or whose disk is full, go on exactly where their last save was."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from res2net.engine.state import read_state

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there are no such signals here")


def marked(values, slow):
    """Parameters, one of which is tried by the slow tests and the others before a release."""
    return [pytest.param(value, marks=pytest.mark.slow if value == slow else pytest.mark.kills) for value in values]


TINY = [
    "--model",
    "res2net20_26w_4s_tiny",
    "--accelerator",
    "cpu",
    "--epochs",
    "3",
    "--ema",
    "0.9",
]
RUNS = {
    "classify": ["shapes:64,16", "--batch-size", "8", "--workers", "2"],
    "detect": ["shapes:16,4", "--batch-size", "4", "--detector", "retinanet", "--workers", "1", "--fpn-channels", "16"],
    "segment": ["shapes:32,8", "--batch-size", "8", "--channels", "8", "--workers", "2", "--precision", "bf16"],
}
DIE = """
import os, signal, sys
left, fsync = int(sys.argv.pop(1)), os.fsync
def die(descriptor):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(descriptor)
os.fsync = die
from res2net.cli import main
sys.exit(main())
"""
"""A program that is killed at a write, counted from 1: all bytes are written then, and no file is replaced."""


def start(program, *words):
    """Start the command line in a process group of its own."""
    command = [sys.executable, *map(str, (*program, *words))]
    quiet = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=quiet, start_new_session=True
    )


def finish(*words):
    run = start(["-m", "res2net.cli"], *words)
    said, _ = run.communicate(timeout=300)
    assert run.returncode == 0, said
    return said


def result(folder):
    """The table of epochs without times, and the weights."""
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    times = ("seconds", "images_per_s")
    table = [{name: value for name, value in row.items() if name not in times} for row in rows]
    return table, load_file(folder / "last.safetensors"), load_file(folder / "best.safetensors")


def assert_same(folder, whole):
    table, *weights = result(folder)
    wanted, *others = whole
    assert table == wanted
    for one, other in zip(weights, others, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in other)


def assert_nobody_left(group):
    """Workers end by themselves within seconds after their process was killed."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.2)
    pytest.fail("a worker lives on")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The results of runs that were never killed, by task."""
    root, found = tmp_path_factory.mktemp("whole"), {}

    def of(task):
        if task not in found:
            finish("train", task, *RUNS[task], *TINY, "--out", root / task)
            found[task] = result(root / task)
        return found[task]

    return of


def go_on(task, folder):
    """Resume a run, or start it again if it was killed before its first checkpoint."""
    if (folder / "last.ckpt").exists():
        read_state(folder / "last.ckpt")
        return ["train", "--resume", folder]
    return ["train", task, *RUNS[task], *TINY, "--out", folder]


@pytest.mark.parametrize("task", marked(RUNS, "classify"))
def test_killed_at_random_moments(task, whole, tmp_path):
    folder, chance = tmp_path / "run", random.Random(task)
    for _ in range(4):
        run = start(["-m", "res2net.cli"], *go_on(task, folder))
        time.sleep(chance.uniform(4, 16))
        run.kill()
        run.communicate()
        assert_nobody_left(run.pid)
    finish(*go_on(task, folder))
    assert_same(folder, whole(task))
    assert not list(folder.glob(".*.tmp"))


@pytest.mark.parametrize("write", marked(range(1, 12), 5))
def test_killed_during_each_save(write, whole, tmp_path):
    """The list of samples, the configuration, and then state, table, weights and state of each epoch."""
    folder = tmp_path / "run"
    run = start(["-c", DIE, write], *go_on("classify", folder))
    said, _ = run.communicate(timeout=300)
    assert run.returncode == -signal.SIGKILL, said
    assert len(list(folder.glob(".*.tmp"))) == 1
    finish(*go_on("classify", folder))
    assert_same(folder, whole("classify"))
    assert not list(folder.glob(".*.tmp"))


@pytest.mark.parametrize("number", marked([signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM], signal.SIGHUP))
def test_signals_save_and_leave_no_workers(number, whole, tmp_path):
    folder = tmp_path / "run"
    run = start(["-m", "res2net.cli"], *go_on("classify", folder))
    for line in run.stdout:
        if line.startswith("epoch"):
            break
    os.killpg(run.pid, number)
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 1, said
    assert f"Resume with:\n  res2net train --resume {folder}" in said
    assert_nobody_left(run.pid)
    finish("train", "--resume", folder)
    assert_same(folder, whole("classify"))


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for a few states."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", disk], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize("free", marked([0, 1_000, 200_000, 3_000_000, 7_000_000], 200_000))
def test_a_full_disk_is_one_sentence_and_loses_nothing(free, whole, small_disk):
    folder, filler = small_disk / "run", small_disk / "filler"
    total = os.statvfs(small_disk)
    filler.write_bytes(bytes(max(0, total.f_bavail * total.f_frsize - free)))
    run = start(["-m", "res2net.cli"], *go_on("classify", folder))
    said, _ = run.communicate(timeout=300)
    assert run.returncode == 2, said
    last = said.strip().splitlines()[-1]
    assert "Traceback" not in said
    assert last.startswith("res2net: ")
    assert "No space left" in last or "no space" in last.lower()
    assert not list(Path(small_disk).rglob("*.tmp"))
    filler.unlink()
    finish(*go_on("classify", folder))
    assert_same(folder, whole("classify"))
