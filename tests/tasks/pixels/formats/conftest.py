"""Tiny data sets with a label for each pixel, written by the tests."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from res2net.images import open_source
from res2net.images.splits import DataSettings
from res2net.tasks.pixels.formats.open import read_pixels

WIDTH, HEIGHT = 40, 30


def open_pixels(path, label, **settings):
    """The training and the validation images of a data set."""
    source = open_source(path, DataSettings(**settings), labels=(label,), reader=read_pixels)
    return source.train, source.val


def image(path, size=(WIDTH, HEIGHT), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "grey").save(path, **options)
    return path


def numbers(path, values):
    """Write an array of whole numbers as a label map of 8 or 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def palette(path, values):
    """Write numbers as a palette's indices, with the colours of VOC."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values, mode="L")
    image.putpalette(np.random.default_rng(0).permutation(768).astype(np.uint8).tolist())
    assert image.mode == "P"
    image.save(path)
    return path


@pytest.fixture
def labels():
    """`(H, W)` uint8: 0 with a block of 1, one of 2 and some pixels without a label."""
    found = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    found[2:9, 3:16], found[12:20, 20:39], found[25:, :4] = 1, 2, 255
    return found


@pytest.fixture
def write_folders(tmp_path, labels):
    """A function that writes images and maps, in folders with these names, for these stems."""

    def write(images="images", maps="masks", stems=("a", "b", "c", "d"), root="set", values=None, ending=".png"):
        folder = tmp_path / root
        for stem in stems:
            image(folder / images / f"{stem}.jpg")
            path = folder / maps / f"{stem}{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            chosen = labels if values is None else values
            if ending == ".npy":
                np.save(path, chosen)
            else:
                numbers(path, chosen)
        return folder

    return write


@pytest.fixture
def write_voc_segmentation(tmp_path, labels):
    """A function that writes VOC: each list with its names, the maps of all in one of the folders of maps."""

    def write(lists, maps):
        year = tmp_path / "VOCdevkit" / "VOC2012"
        (year / "ImageSets" / "Segmentation").mkdir(parents=True)
        for name, lines in lists.items():
            (year / "ImageSets" / "Segmentation" / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
        for folder, stems in maps.items():
            for stem in stems:
                image(year / "JPEGImages" / f"{stem}.jpg")
                values = labels + np.uint8(7) * (labels == 1) if folder == "SegmentationClassAug" else labels
                palette(year / folder / f"{stem}.png", values)
        return year.parent

    return write
