"""What all tests share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from res2net.images.shapes import dataset as shapes


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


@contextlib.contextmanager
def smaller_shapes(train: int, val: int) -> Iterator[None]:
    # Tests should name the source "shapes:80,40" instead, which needs no patch.
    from res2net.tasks.translate import synthetic as masks

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "LENGTHS", (train, val))
        for module in (shapes, masks):
            patch.setattr(module, "SCENES", (train, val))
        shapes.shapes_source.cache_clear()
        masks.shape_masks_source.cache_clear()
        yield
    shapes.shapes_source.cache_clear()
    masks.shape_masks_source.cache_clear()


@pytest.fixture(scope="session")
def shapes_with() -> Callable[..., contextlib.AbstractContextManager[None]]:
    """`with shapes_with(train=80, val=40):`, and within it `shapes` has so many images."""
    return smaller_shapes


@pytest.fixture
def few_shapes(shapes_with: Callable[..., contextlib.AbstractContextManager[None]]) -> Iterator[None]:
    """`shapes` with 80 and 40 images."""
    with shapes_with(train=80, val=40):
        yield
