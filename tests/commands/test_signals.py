"""Signals as they come from a cluster: to all processes of a run at once."""

import os
import signal
import subprocess
import sys
import time

import pytest

from res2net.engine.state import read_state

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there are no process groups here")


def wait_for(condition, seconds):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.slow
def test_sigterm_to_all_processes_saves_and_leaves_none(images, tiny, tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "res2net.cli", "train", images, *tiny(workers=1, epochs=100_000, out=folder)]
    # Threads that wait for each other are slow where other tests run.
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(list(map(str, command)), **pipes, env=alone, start_new_session=True) as run:
        try:
            # After the first row of the table the workers for training and for validation are there.
            wait_for(lambda: (folder / "metrics.csv").is_file() or run.poll() is not None, 120)
            for _ in range(2):
                os.killpg(run.pid, signal.SIGTERM)
            out, err = run.communicate(timeout=60)
            with pytest.raises(ProcessLookupError):
                os.killpg(run.pid, 0)
        finally:
            run.kill()
    assert run.returncode == 1
    assert "Stopping after this" in out
    assert err == f"Stopped and saved. Resume with:\n  res2net train --resume {folder}\n"
    state = read_state(folder / "last.ckpt")
    assert state["place"]["epoch"] >= 1
