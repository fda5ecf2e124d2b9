"""What all tests share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch


def pytest_configure() -> None:
    # One thread in each worker of xdist: more would compete for the same cores.
    if "PYTEST_XDIST_WORKER" in os.environ:
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test draws the same numbers, whatever ran before it in its process."""
    torch.manual_seed(0)


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """`real_data("cifar100")` is that folder of real data below RES2NET_DATA; the test is skipped without it."""

    def find(name: str) -> Path:
        root = os.environ.get("RES2NET_DATA")
        if not root:
            pytest.skip("set RES2NET_DATA to a folder of real data")
        folder = Path(root, name)
        if not folder.is_dir():
            pytest.skip(f"RES2NET_DATA has no folder {name}")
        return folder

    return find


FORKS = """
import json, os, sys, traceback
import torch, torchvision

for line in sys.stdin:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(write, 1)
        os.dup2(write, 2)
        status = 1
        try:
            exec(json.loads(line), {"__name__": "__main__"})
            status = 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(status)
    os.close(write)
    with open(read, encoding="utf-8") as pipe:
        printed = pipe.read()
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), printed]), flush=True)
"""


@pytest.fixture(scope="session")
def fresh() -> Iterator[Callable[[str], str]]:
    """`fresh(code)` is what code prints in a process that has imported torch and torchvision and nothing else.

    Importing them takes seconds, so one process has done it, and each call is a fork of that one.
    """
    server: subprocess.Popen[str] | None = None

    def run(code: str) -> str:
        nonlocal server
        if server is None:
            command = [sys.executable, "-c", FORKS]
            server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert server.stdin is not None
        assert server.stdout is not None
        print(json.dumps(code), file=server.stdin, flush=True)
        status, printed = json.loads(server.stdout.readline())
        assert status == 0, printed
        return printed

    yield run
    if server is not None:
        server.communicate()
