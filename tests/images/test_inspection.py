"""Broken images, and those that are in a data set twice."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from res2net.images.decode import BadImage
from res2net.images.faults import AnnotationReport
from res2net.images.inspection import SAMPLE, ImageFile, difference_hash, imbalance, inspect_images, near, unread_files


def drawn(seed, side=64):
    """A smooth image, unlike those of other seeds."""
    few = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(few).resize((side, side), Image.Resampling.BICUBIC)


@pytest.fixture
def split(tmp_path):
    """Two splits of two classes with four images each, as paths by split and class."""
    files = []
    for number, (part, name) in enumerate((part, name) for part in ("train", "val") for name in ("cat", "dog")):
        (tmp_path / part / name).mkdir(parents=True)
        for index in range(4):
            path = tmp_path / part / name / f"{index}.jpg"
            drawn(10 * number + index).save(path, quality=95)
            files.append(ImageFile(str(path), part, name))
    return files


def inspected(files, *, full=False):
    report = AnnotationReport("here")
    seen = []

    def track(_, items):
        for item in items:
            seen.append(item)
            yield item

    inspect_images(files, report, track, full=full)
    return report, seen


def test_good_images_have_no_fault(split):
    report, seen = inspected(split)
    assert (report.total, report.remarks, len(seen)) == (0, [], 16)


@pytest.mark.parametrize("cut", [0, 30, 0.5, 0.98])
@pytest.mark.parametrize("full", [False, True])
def test_truncated_images_are_found(split, cut, full):
    with Path(split[5].path).open("r+b") as file:
        file.truncate(int(cut if cut > 1 else cut * file.seek(0, 2)))
    report, _ = inspected(split, full=full)
    assert dict(report.counts) == {"unreadable image": 1}
    assert report.examples["unreadable image"][0].file == split[5].path


def test_the_same_image_in_two_splits_and_in_two_classes(split, tmp_path):
    for source, target, part, name in (
        (split[0], "val/cat/copy.jpg", "val", "cat"),
        (split[1], "train/dog/other.jpg", "train", "dog"),
        (split[2], "train/cat/again.jpg", "train", "cat"),
        (split[2], "train/cat/and again.jpg", "train", "cat"),
    ):
        shutil.copy(source.path, tmp_path / target)
        split.append(ImageFile(str(tmp_path / target), part, name))
    report, _ = inspected(split)
    assert dict(report.counts) == {"same image in two splits": 1, "same image in two classes": 1}
    (fault,) = report.examples["same image in two splits"]
    assert str(fault) == f"{split[0].path}: it is {tmp_path / 'val/cat/copy.jpg'} of val as well"
    (fault,) = report.examples["same image in two classes"]
    assert str(fault) == f"{split[1].path}: it is of 'cat', and as {tmp_path / 'train/dog/other.jpg'} of 'dog'"
    assert report.remarks == ["2 images are copies of others of its split."]


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.resize((90, 80)),
        lambda image: image.resize((30, 30)),
        lambda image: ImageEnhance.Brightness(image).enhance(0.8),
        lambda image: image.convert("L").convert("RGB"),
    ],
)
def test_near_duplicates_of_another_split_are_named(split, tmp_path, change):
    path = tmp_path / "val" / "dog" / "near.jpg"
    change(Image.open(split[1].path)).save(path, quality=60)
    report, _ = inspected([*split, ImageFile(str(path), "val", "dog")])
    assert report.total == 0
    assert report.remarks == [
        f"1 pair of images of different splits look nearly the same, such as {split[1].path} and {path}."
    ]


def test_plain_images_are_not_nearly_the_same(tmp_path):
    files = []
    for index, colour in enumerate(("black", "white", "navy", "red")):
        path = tmp_path / f"{index}.png"
        Image.new("RGB", (20 + index, 20), colour).save(path)
        files.append(ImageFile(str(path), "train" if index % 2 else "val"))
        assert difference_hash(str(path)) is None
    assert inspected(files)[0].remarks == []


def test_hashes_are_compared_bit_by_bit():
    hashes = {name: np.zeros(32, np.uint8) for name in "abcd"}
    hashes["b"][0], hashes["c"][:2], hashes["d"][:] = 0b00000011, (255, 0b11), 255
    hashes["e"] = hashes["c"].copy()
    hashes["e"][2] = 1
    assert near(["a"], ["b", "c", "d", "e"], hashes) == [("a", "b"), ("a", "c")]


def test_many_images_of_one_split_are_decoded_in_part_unless_asked(tmp_path):
    many = []
    for index in range(SAMPLE + 50):
        Image.new("L", (1 + index, 1)).save(tmp_path / f"{index}.png")
        many.append(ImageFile(str(tmp_path / f"{index}.png"), "images"))
    report, seen = inspected(many)
    assert (seen[0], seen[-1], len(seen)) == (many[0].path, many[-1].path, SAMPLE)
    assert report.remarks == [f"{SAMPLE} of {SAMPLE + 50} images were decoded: --full decodes all."]
    report, seen = inspected(many, full=True)
    assert (report.remarks, len(seen)) == ([], SAMPLE + 50)


def test_a_broken_image_has_no_hash(tmp_path):
    (tmp_path / "a.png").write_bytes(b"none")
    with pytest.raises(BadImage):
        difference_hash(str(tmp_path / "a.png"))


def test_other_files_are_counted_by_ending(tmp_path):
    for name in ("a.jpg", "b.txt", "c.TXT", "d.pdf", "e", "deep/f.pdf", "deep/g.txt", ".hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert unread_files(tmp_path) == "Not read as images: 3 x .txt, 2 x .pdf, 1 x no ending."
    (tmp_path / "lost.jpg").symlink_to("nowhere.jpg")
    assert unread_files(tmp_path).endswith(", 1 x pipe, device or link to nothing.")
    assert unread_files(tmp_path / "a.jpg") == ""


def test_classes_of_very_different_sizes_are_named():
    assert imbalance(Counter(cat=100, dog=6)) == ""
    assert imbalance(Counter(cat=1200, dog=60, elk=3)) == (
        "The class 'cat' has 1,200 images and 'elk' 3: rare classes are hard to learn."
    )
    assert imbalance(Counter()) == ""
