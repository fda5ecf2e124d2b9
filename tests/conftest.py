"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
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
