"""Splits of label maps by folders and lists of any name, and what training data must have."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import image, open_pixels
from res2net.errors import InputError
from res2net.images import open_source
from res2net.tasks.pixels.data_tools import PixelsPart
from res2net.tasks.pixels.formats.open import read_pixels


def stems(images):
    return [path.rpartition("/")[2].rpartition(".")[0] for path in images.paths]


@pytest.mark.parametrize("layout", ["images/{}-masks/{}", "{}/images-{}/masks"])
def test_splits_of_any_name(write_folders, layout):
    for split, names in (("train_A", "abc"), ("my-validation", "de"), ("test2020", "f"), ("extra", "g")):
        root = write_folders(*(folder.format(split) for folder in layout.split("-", 1)), stems=names)
    train, val = open_pixels(root, "semantic")
    assert (stems(train), stems(val)) == (["a", "b", "c"], ["d", "e"])
    train, val = open_pixels(root, "semantic", train_split="extra", val_split="test2020")
    assert (stems(train), stems(val)) == (["g"], ["f"])
    assert stems(open_pixels(root, "semantic", evaluate=True, split="extra")[1]) == ["g"]


def test_splits_whose_names_state_no_role(write_folders):
    for split in ("north", "south"):
        root = write_folders(f"{split}/images", f"{split}/masks")
    with pytest.raises(InputError, match=r"the splits of .* \(north, south\) do not state which ones to use here"):
        open_pixels(root, "semantic")
    train, val = open_pixels(root, "semantic", train_split="south", val_split="north")
    assert (len(train), len(val)) == (4, 4)


def test_folders_that_are_no_splits(write_folders):
    """Scenes, of which no name states a role, are one data set together."""
    for scene in ("kitchen", "bath"):
        root = write_folders(f"images/{scene}", f"masks/{scene}", stems=("a", "b"))
    _, val = open_pixels(root, "semantic", evaluate=True)
    assert len(val) == 4


def test_a_split_without_maps_is_not_used(write_folders):
    for split in ("train", "val"):
        root = write_folders(f"images/{split}", f"masks/{split}")
    image(root / "images" / "test" / "x.jpg")
    train, val = open_pixels(root, "semantic")
    assert (len(train), len(val)) == (4, 4)
    with pytest.raises(InputError, match=r"There is no single split 'test' in .*, whose splits are"):
        open_pixels(root, "semantic", evaluate=True, split="test")


@pytest.mark.parametrize("folder", [".", "ImageSets/Segmentation"])
def test_lists_as_programs_write_them(write_folders, folder):
    root = write_folders("images", "masks", stems=("x/a", "x/b c", "y/a", "y/d.e", "z"))
    (root / folder).mkdir(parents=True, exist_ok=True)
    lines = [r".\images\x\a.jpg", "/home/me/set/images/x/b c.JPG masks/x/b c.png", "", "y/d.e.jpg", "y/d.e"]
    (root / folder / "training.txt").write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    (root / folder / "holdout.txt").write_text("./y/a\n")
    (root / folder / "readme_test.txt").write_text("Tested by hand.\n")
    train, val = open_pixels(root, "semantic")
    assert [Path(path).relative_to(root / "images").as_posix() for path in train.paths] == [
        "x/a.jpg",
        "x/b c.jpg",
        "y/d.e.jpg",
    ]
    assert [Path(path).relative_to(root / "images").as_posix() for path in val.paths] == ["y/a.jpg"]
    notes = PixelsPart(root, "semantic_folders").notes
    assert notes[0] == "A run trains on the split training and validates on holdout."
    assert any(
        note.startswith("1 images with labels are in none of the lists holdout, training, such as ") for note in notes
    )


def test_a_list_that_names_what_is_not_there(write_folders):
    root = write_folders()
    (root / "train.txt").write_text("a\nb\n")
    (root / "val.txt").write_text("c\nmissing\n")
    with pytest.raises(InputError, match=r"1 missing image; .*val.txt: there is no image 'missing' with labels"):
        open_pixels(root, "semantic")
    assert stems(open_pixels(root, "semantic", bad_annotations="skip")[1]) == ["c"]


def test_an_empty_list(write_folders):
    root = write_folders()
    (root / "train.txt").write_text("a\nb\n")
    (root / "val.txt").write_text("")
    with pytest.raises(
        InputError, match=r"No image with labels that can be used is left in .* val|no images in the split val"
    ):
        open_pixels(root, "semantic")


def test_a_list_of_test_images_alone_is_not_used(write_folders):
    root = write_folders()
    (root / "test.txt").write_text("a\n")
    train, val = open_pixels(root, "semantic")
    assert len(train) + len(val) == 4
    (note,) = PixelsPart(root, "semantic_folders").notes
    assert note.startswith("Without a list of images to train on, ")


def test_voc_with_classes_of_its_own(write_voc_segmentation):
    root = write_voc_segmentation(
        {"train": ["a"], "val": ["b"], "test": ["c"], "trainval": ["a", "b"]}, {"SegmentationClass": ["a", "b"]}
    )
    (root / "VOC2012" / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\n" + "".join(f"c{i}:{i},0,9::\n" for i in range(4))
    )
    train, val = open_pixels(root, "semantic")
    assert (stems(train), stems(val), train.class_names) == (["a"], ["b"], ("c0", "c1", "c2", "c3"))
    assert stems(
        open_pixels(root, "semantic", train_split="trainval", val_split="train", bad_annotations="skip")[0]
    ) == ["b"]


def test_one_class_alone_is_nothing_to_learn(write_folders):
    root = write_folders(values=np.where(np.eye(30, 40) > 0, 255, 1).astype(np.uint8))
    (root / "classes.txt").write_text("sky\nroad\ntree\n")
    with pytest.raises(
        InputError, match=r"All labelled pixels of .* have the class 'road', so that there is nothing to learn"
    ):
        open_pixels(root, "semantic")
    assert len(open_pixels(root, "semantic", evaluate=True)[1]) == 4


def test_classes_that_do_not_occur_are_told(write_folders):
    root = write_folders()
    (root / "classes.txt").write_text("sky\nroad\ntree\ncar\nbus\n")
    source = open_source(root, labels=("semantic",), reader=read_pixels)
    assert source.notes == ["No pixel to train on has a class of car, bus."]


def test_two_images_of_one_name(write_folders):
    root = write_folders()
    Image.new("RGB", (40, 30)).save(root / "images" / "a.png")
    source = open_source(root, labels=("semantic",), reader=read_pixels)
    assert source.notes == [
        f"1 files of {root / 'images'} have the name of another but for its ending, and are not used."
    ]


@pytest.mark.parametrize(("images", "maps"), [("images/{}", "masks/{}"), ("{}/images", "{}/masks")])
def test_a_split_without_maps_is_refused_if_it_is_chosen(write_folders, images, maps):
    root = write_folders(images.format("train"), maps.format("train"))
    (root / images.format("val")).mkdir(parents=True)
    with pytest.raises(InputError, match=r"No image with labels that can be used is left in .* val"):
        open_pixels(root, "semantic")
    assert len(open_pixels(root, "semantic", evaluate=True, split="train")[1]) == 4
    image(root / images.format("test") / "a.png")
    shutil.rmtree(root / images.format("val").removesuffix("/images"))
    source = open_source(root, labels=("semantic",), reader=read_pixels)
    assert any("test have no labels, so that it is no split" in note for note in source.notes)


@pytest.mark.parametrize("folder", [".", "splits", "ImageSets/Segmentation"])
def test_lists_that_name_no_image_are_refused_or_mentioned(write_folders, folder):
    root = write_folders()
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name, text in (("train", "a\nb\n"), ("test", "x\ny\n")):
        (root / folder / f"{name}.txt").write_text(text)
    source = open_source(root, labels=("semantic",), reader=read_pixels)
    assert sorted(stems(source.train) + stems(source.val)) == ["a", "b"]
    assert any("test.txt names no image with labels, so that it is no split" in note for note in source.notes)
    (root / folder / "val.txt").write_text("x\ny\n")
    with pytest.raises(InputError, match=r"2 missing images; .*val\.txt: there is no image 'x' with labels"):
        open_pixels(root, "semantic")
