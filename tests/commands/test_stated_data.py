"""Splits and formats that a user states by names of files and folders: each is read as it is meant, or refused."""

import json

import numpy as np
import pytest
from PIL import Image

from res2net.errors import InputError
from res2net.images.layouts import nested_classes, split_folders
from res2net.images.sources import open_source
from res2net.images.splits import DataSettings
from res2net.tasks.pixels.formats.open import read_pixels
from res2net.tasks.translate.data import read_pairs
from res2net.tasks.volumes.folders import read_volumes

RANDOM = np.random.default_rng(0)


def photo(path, size=(24, 24)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RANDOM.integers(0, 255, (*size, 3), dtype=np.uint8)).save(path)


def label_map(path, classes=3):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RANDOM.integers(0, classes, (24, 24), dtype=np.uint8)).save(path)


@pytest.fixture
def maps(tmp_path):
    """Six images with label maps in folders without splits."""
    for index in range(6):
        photo(tmp_path / "maps" / "images" / f"{index}.png")
        label_map(tmp_path / "maps" / "masks" / f"{index}.png")
    return tmp_path / "maps"


def pixels(path, **settings):
    return open_source(path, DataSettings(**settings), labels=("semantic",), reader=read_pixels)


@pytest.mark.parametrize(
    "row",
    [
        "images/{0}.png,masks/{0}.png",
        "{0}.png;{0}.png",
        "{0}",
        "7,maps/images/{0}.png",
        "./images/{0}.png\tmasks\\{0}.png",
    ],
)
@pytest.mark.parametrize("heading", ["image,mask\n", ""])
def test_tables_are_lists_of_splits(maps, row, heading):
    for split, indices in (("train", range(4)), ("val", (4, 5))):
        text = heading.replace(",", ";" if ";" in row else "\t" if "\t" in row else ",")
        (maps / f"{split}.csv").write_text(text + "".join(f"{row.format(index)}\n" for index in indices))
    source = pixels(maps)
    assert source.val_about == "val"
    assert [path.rpartition("/")[2] for path in source.train.paths] == ["0.png", "1.png", "2.png", "3.png"]
    assert [path.rpartition("/")[2] for path in source.val.paths] == ["4.png", "5.png"]


def test_a_table_with_other_maps_or_images_is_refused(maps):
    (maps / "train.csv").write_text("images/0.png,masks/1.png\nimages/2.png,masks/2.png\n")
    (maps / "val.csv").write_text("images/4.png,masks/4.png\n")
    with pytest.raises(InputError, match=r"it names 1\.png for 0\.png, whose map is .*masks/0\.png by its name"):
        pixels(maps)
    assert [path.rpartition("/")[2] for path in pixels(maps, bad_annotations="skip").train.paths] == ["2.png"]
    (maps / "train.csv").write_text("images/0.png\nimages/9.png\n")
    with pytest.raises(InputError, match=r"there is no image 'images/9\.png' with labels"):
        pixels(maps)


def test_a_table_of_something_else_is_no_list_which_is_said(maps):
    (maps / "train.csv").write_text("epoch,loss\n101,3.5\n102,2.5\n")
    source = pixels(maps)
    assert len(source.train) + len(source.val) == 6
    assert any("train.csv names no image with labels, so that it is no split." in note for note in source.notes)


def write_folds(root, outer, inner=("cat", "dog")):
    for folder in outer:
        for name in inner:
            photo(root / folder / name / "0.png")
            photo(root / folder / name / "1.png")
    return root


@pytest.mark.parametrize("name", ["fold{}", "Fold_{}", "cv-{}", "kfold{}", "split {}", "part{}"])
def test_folds_are_splits_and_no_classes(tmp_path, name):
    folds = [name.format(number) for number in (1, 2, 3)]
    write_folds(tmp_path, folds)
    assert list(split_folders(tmp_path)) == folds
    with pytest.raises(
        InputError, match=r"do not state which ones to use here: choose them with --train-split and --val-split"
    ):
        open_source(tmp_path)
    source = open_source(tmp_path, DataSettings(train_split=folds[0], val_split=folds[2]))
    assert (source.class_names, source.val_about) == (["cat", "dog"], folds[2])
    assert (len(source.train), len(source.val)) == (4, 4)


def test_classes_that_are_called_like_folds_stay_classes(tmp_path):
    for name in ("part1", "part2"):
        for index in range(3):
            photo(tmp_path / name / f"{index}.png")
    assert open_source(tmp_path).class_names == ["part1", "part2"]
    assert nested_classes(tmp_path) == ""


def test_folders_of_the_same_names_in_all_classes_are_mentioned(tmp_path):
    (note,) = open_source(write_folds(tmp_path, ("1", "2", "3"))).notes
    assert note.startswith("Each of the classes 1, 2, 3 has the folders cat, dog: if those are the classes, ")


def test_splits_without_class_folders_are_no_classes(tmp_path):
    for split in ("train", "val"):
        for index in range(3):
            photo(tmp_path / split / f"{index}.png")
    with pytest.raises(InputError, match=r"The folders train, val of .* are splits by their names, and have no class"):
        open_source(tmp_path)
    (tmp_path / "val").rename(tmp_path / "test")  # a train is a vehicle, too
    source = open_source(tmp_path)
    assert source.class_names == ["test", "train"]
    assert source.notes == ["The folders test, train are taken for classes, and not for splits."]


@pytest.mark.parametrize("empty", [("A", "B"), ()])
def test_an_empty_split_of_pairs_is_named_where_it_is_used(tmp_path, check, empty):
    for index in range(3):
        for folder in "AB":
            photo(tmp_path / "train" / folder / f"{index}.png")
    for folder in empty:
        (tmp_path / "val" / folder).mkdir(parents=True)
    (tmp_path / "val").mkdir(exist_ok=True)
    with pytest.raises(InputError, match=r"There are no pairs of images that can be used in the split val of "):
        read_pairs(tmp_path, (), DataSettings())
    assert len(read_pairs(tmp_path, (), DataSettings(evaluate=True, split="train")).val) == 3
    answer = check(tmp_path)
    assert answer.status == 1
    assert "the split val has nothing that can be used" in answer.out


def test_an_empty_split_of_volumes_is_named_where_it_is_used(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    for index in range(2):
        for folder, high in (("images", 200), ("labels", 3)):
            path = tmp_path / "train" / folder / f"{index}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            values = RANDOM.integers(0, high, (8, 8, 8), dtype=np.uint8)
            nibabel.Nifti1Image(values, np.eye(4)).to_filename(path)
            (tmp_path / "val" / folder).mkdir(parents=True, exist_ok=True)
    with pytest.raises(InputError, match=r"There are no volumes that can be used in the split val of "):
        read_volumes(tmp_path, (), DataSettings())
    assert len(read_volumes(tmp_path, (), DataSettings(evaluate=True, split="train")).val) == 2


def write_coco(root, masks=("train", "val")):
    for split, ids in (("train", range(4)), ("val", range(4, 6))):
        objects = [
            {"id": i + 1, "image_id": i, "category_id": 1, "bbox": [2, 2, 10, 10], "area": 100, "iscrowd": 0}
            | ({"segmentation": [[2, 2, 12, 2, 12, 12, 2, 12]]} if split in masks else {})
            for i in ids
        ]
        for i in ids:
            photo(root / f"{split}2017" / f"{i}.png")
        images = [{"id": i, "file_name": f"{i}.png", "width": 24, "height": 24} for i in ids]
        content = {"images": images, "categories": [{"id": 1, "name": "thing"}], "annotations": objects}
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(content))
    return root


def test_data_of_another_task_are_a_hint_at_it(tmp_path, refused, maps):
    coco, classes = write_coco(tmp_path / "coco"), write_folds(tmp_path / "classes", ("train", "val"))
    for path, task, others in (
        (classes, "classify", ("detect", "segment")),
        (coco, "detect", ("classify", "segment", "volumes")),
        (maps, "segment", ("classify", "instance", "depth")),
    ):
        for other in others:
            sentence = refused("train", other, path, "--model", "res2net20_26w_4s_tiny")
            word = "" if task == "classify" else f"{task} "
            assert sentence.endswith(f"; the task {task} reads it, as `res2net train {word}{path}`."), sentence


def test_images_side_by_side_are_mentioned(tmp_path):
    for index in range(4):
        photo(tmp_path / f"{index}.png")
    (note,) = read_pairs(tmp_path, (), DataSettings()).notes
    assert note == f"Each image of {tmp_path} is taken for two side by side: the right half is made of the left one."


def test_masks_in_one_split_only(tmp_path, refused):
    coco = write_coco(tmp_path, masks=("train",))
    sentence = refused("train", "instance", coco, "--model", "res2net20_26w_4s_tiny")
    assert "instances_val2017.json has boxes without masks, and " in sentence
    assert f"the task detect reads it, as `res2net train detect {coco}`." in sentence


def test_what_a_check_says_of_classes_and_files_of_every_task(tmp_path, check, maps):
    coco = write_coco(tmp_path / "coco")
    (coco / "notes.docx").write_text("x")
    answer = check(coco)
    assert answer.status == 0
    assert "All objects are of the class 'thing'." in answer.out
    assert "Not read: 1 x .docx." in answer.out
    for index in range(4):
        photo(tmp_path / "one" / "only" / f"{index}.png")
    answer = check(tmp_path / "one")
    assert answer.status == 1
    assert "all images are of the class 'only', and a training needs two" in answer.out
    values = np.zeros((24, 24), dtype=np.uint8)
    values[0, 0] = 1
    for path in (maps / "masks").iterdir():
        Image.fromarray(values).save(path)
    (maps / "classes.txt").write_text("floor\nscrew\n")
    (maps / "raw.dng").write_text("x")
    answer = check(maps)
    assert "The class 'floor' has 3,450 pixels and 'screw' 6: rare classes are hard to learn." in answer.out
    assert "Not read: 1 x .dng." in answer.out
