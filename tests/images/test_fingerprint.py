"""Fingerprints of data sets: what changes them, and what does not."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import Subset

from res2net.images import ImageFolder, Shapes
from res2net.images.fingerprint import MOST_READ, Fingerprint, fingerprint, sample_keys
from res2net.images.folder import ReadFiles
from res2net.images.samples import FileSamples
from res2net.tasks.objects.formats.images import Annotations, ObjectImages


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("cat/1.png", "cat/sub/2.png", "dog/1.png"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), "red").save(path)
    return tmp_path / "data"


def test_names_are_relative_and_sizes_in_bytes(root: Path) -> None:
    keys = sample_keys(ImageFolder(root))
    assert [key.name for key in keys] == ["cat/1.png", "cat/sub/2.png", "dog/1.png"]
    assert [key.sizes for key in keys] == [str((root / key.name).stat().st_size) for key in keys]
    assert keys[0].label == keys[1].label != keys[2].label


@pytest.mark.parametrize(
    "change",
    [
        lambda root: root.rename(root.with_name("moved")),
        lambda root: [os.utime(path, (1, 1)) for path in root.rglob("*.png")],
        lambda root: (root / "dog" / "notes.txt").write_text("not an image"),
    ],
)
def test_place_times_and_other_files_do_not_matter(root: Path, change: object) -> None:
    before = fingerprint(ImageFolder(root))
    change(root)  # type: ignore[operator]
    moved = root.with_name("moved")
    assert fingerprint(ImageFolder(moved if moved.is_dir() else root)) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda root: shutil.copy(root / "cat/1.png", root / "cat/3.png"),
        lambda root: (root / "cat/1.png").unlink(),
        lambda root: (root / "cat/1.png").rename(root / "cat/7.png"),
        lambda root: (root / "cat/1.png").rename(root / "dog/7.png"),
        lambda root: Image.new("RGB", (50, 9), "blue").save(root / "cat/1.png"),
        lambda root: (root / "cat").rename(root / "lion"),
    ],
)
def test_samples_sizes_and_classes_matter(root: Path, change: object) -> None:
    before = fingerprint(ImageFolder(root))
    change(root)  # type: ignore[operator]
    assert fingerprint(ImageFolder(root)) != before


def test_order_does_not_matter_and_parts_add_up(root: Path) -> None:
    images = ImageFolder(root)
    assert fingerprint(images.subset([2, 0, 1])) == fingerprint(images)
    keys = sample_keys(images)
    assert Fingerprint.of(keys[:1]) + Fingerprint.of(keys[1:]) == fingerprint(images)
    assert Fingerprint.of([]) == Fingerprint(0, "0" * 64)
    assert Fingerprint.of(keys + keys[:1]) != fingerprint(images)  # a sample that is listed twice counts twice


def test_relative_absolute_and_dotted_paths_are_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    absolute = ReadFiles([root / "cat/1.png", root / "dog/1.png"])
    dotted = ReadFiles(["./cat/1.png", "cat/../dog/1.png"])
    assert sample_keys(absolute) == sample_keys(dotted)


def test_label_maps_beside_images_count(root: Path) -> None:
    pairs = FileSamples([(root / "cat/1.png", root / "dog/1.png"), (root / "cat/sub/2.png", None)])
    assert [key.name for key in sample_keys(pairs)] == ["1.png + 1.png", "sub/2.png"]
    before = fingerprint(pairs)
    Image.new("L", (64, 3)).save(root / "dog/1.png")
    assert fingerprint(pairs) != before


def test_a_missing_file_and_a_folder_of_slices(root: Path) -> None:
    slices = FileSamples([(root / "cat",), (root / "dog",), (root / "none",)])
    size = (root / "cat/1.png").stat().st_size
    assert [key.sizes for key in sample_keys(slices)] == [str(2 * size), str(size), "missing"]


def test_boxes_of_images_count(root: Path) -> None:
    def boxed(right: float) -> ObjectImages:
        return ObjectImages(
            Annotations(
                "set", ("thing",), [str(root / "cat/1.png")], np.array([1]), np.array([[8, 8]]), np.array([0, 1]),
                np.array([[0, 0, right, 4]], dtype=np.float32), np.array([0], dtype=np.int32),
                np.array([16], dtype=np.float32), np.array([False]), np.array([False]),
            )
        )  # fmt: skip

    assert fingerprint(boxed(4)) == fingerprint(boxed(4)) != fingerprint(boxed(5))


def test_synthetic_samples_are_known_by_their_options() -> None:
    few, more = Shapes(3), Shapes(5)
    assert sample_keys(more)[:3] == sample_keys(few)
    assert sample_keys(Subset(more, [4, 1])) == [sample_keys(more)[4], sample_keys(more)[1]]
    prints = {fingerprint(one).digest for one in (few, Shapes(3, seed=1), Shapes(3, split="val"), Shapes(3, size=32))}
    assert len(prints) == 4


def contents(samples: object) -> list[str]:
    return [key.content for key in sample_keys(samples, contents=True)]  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [1, 4096, 65536, 65537, 300_000])
def test_a_file_of_the_same_size_has_another_content(tmp_path: Path, size: int) -> None:
    (tmp_path / "a.jpg").write_bytes(bytes(size))
    files = ReadFiles([tmp_path / "a.jpg"])
    before = sample_keys(files, contents=True)
    for place in {size - 1, max(0, size - 4096), size // 2, size // 2 + min(4095, size // 2)}:
        changed = bytearray(size)
        changed[min(place, size - 1)] = 1
        (tmp_path / "a.jpg").write_bytes(changed)
        (after,) = sample_keys(files, contents=True)
        assert after.differs(before[0])
        assert after.unread == before[0].unread
        assert fingerprint(files) == Fingerprint.of(before)
    (tmp_path / "a.jpg").write_bytes(bytes(size))
    assert sample_keys(files, contents=True) == before
    assert not before[0].differs(before[0].unread)


def test_all_files_of_a_sample_are_looked_into(root: Path) -> None:
    pairs = FileSamples([(root / "cat", root / "dog/1.png"), (root / "dog/1.png", None), (root / "none", None)])
    before = contents(pairs)
    for name, differ in (("cat/sub/2.png", [True, False, False]), ("dog/1.png", [True, True, False])):
        old = (root / name).read_bytes()
        (root / name).write_bytes(old[:-1] + b"x")
        assert [one != other for one, other in zip(contents(pairs), before, strict=True)] == differ
        (root / name).write_bytes(old)


def test_of_many_samples_an_even_share_is_looked_into(root: Path) -> None:
    found = contents(ReadFiles([root / "cat/1.png"] * (3 * MOST_READ)))
    read = [index for index, content in enumerate(found) if content]
    assert len(read) == MOST_READ
    assert {later - earlier for earlier, later in itertools.pairwise(read)} <= {3, 4}
    assert not any(key.content for key in sample_keys(ReadFiles([root / "cat/1.png"])))
