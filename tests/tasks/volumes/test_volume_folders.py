"""Folders of volumes: which there are, and what is wrong with others."""

import json

import nibabel
import numpy as np
import pytest

from res2net.errors import InputError
from res2net.images import BadImage
from res2net.images.splits import DataSettings
from res2net.tasks.volumes.folders import read_volumes
from res2net.tasks.volumes.task import Volumes


def open_volumes(path, **settings):
    source = read_volumes(path, ("label_map",), DataSettings(**settings))
    return source.train, source.val


def write(path, shape=(5, 4, 3), value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.full(shape, value, np.int16), np.eye(4)), path)


def decathlon(root, count=5, **changes):
    listed = []
    for index in range(count):
        entry = {"image": f"./imagesTr/case_{index}.nii.gz", "label": f"./labelsTr/case_{index}.nii.gz"}
        write(root / entry["image"])
        write(root / entry["label"], value=index % 3)
        listed.append(entry)
    content = {"labels": {"0": "background", "1": "liver", "2": "tumour"}, "training": listed} | changes
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def pair(root, count=4, scans="images", labels="labels", suffix=""):
    for index in range(count):
        write(root / scans / f"case_{index}{suffix}.nii.gz")
        write(root / labels / f"case_{index}.nii.gz", value=index % 3)
    return root


def test_the_decathlon(tmp_path):
    train, val = open_volumes(decathlon(tmp_path), val_fraction=0.4)
    assert (len(train), len(val)) == (3, 2)
    assert train.class_names == ["background", "liver", "tumour"]
    names = [scan.name for scan, _ in (*train.files, *val.files)]
    assert sorted(names) == [f"case_{index}.nii.gz" for index in range(5)]
    volume, target = val[0]
    assert volume.shape == (3, 4, 5)
    assert target["label_map"].shape == (3, 4, 5)


def test_the_split_depends_on_names_and_seed_alone(tmp_path):
    first = open_volumes(decathlon(tmp_path / "a", 12))[1]
    again = open_volumes(decathlon(tmp_path / "b", 12))[1]
    other = open_volumes(tmp_path / "b", seed=1)[1]
    names = [[scan.name for scan, _ in split.files] for split in (first, again, other)]
    assert names[0] == names[1] != names[2]


def test_the_numbers_of_nnunet(tmp_path):
    root = pair(tmp_path, scans="imagesTr", labels="labelsTr", suffix="_0000")
    (root / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "liver": 1, "tumour": 2}}))
    train, val = open_volumes(root)
    assert train.class_names == ["background", "liver", "tumour"]
    assert len(train) + len(val) == 4


@pytest.mark.parametrize("labels", ["labels", "masks"])
def test_a_pair_of_folders_has_classes_with_numbers(tmp_path, labels):
    train, _ = open_volumes(pair(tmp_path, labels=labels))
    assert train.class_names == ["background", "class 1", "class 2"]


def test_a_source_of_volumes(tmp_path):
    source = Volumes.open(decathlon(tmp_path))
    assert source.class_names == ["background", "liver", "tumour"]
    assert len(source.preprocessing.mean) == 1


def test_labels_of_another_shape(tmp_path):
    root = pair(tmp_path)
    for index in range(4):
        write(root / "labels" / f"case_{index}.nii.gz", shape=(5, 4, 2), value=1)
    train, _ = open_volumes(root)
    with pytest.raises(
        BadImage, match=r"it has 3 x 4 x 5 voxels \(slices x height x width\), and its labels .* 2 x 4 x 5"
    ):
        train[0]


def empty(root):
    (root / "images").mkdir()
    (root / "labels").mkdir()


def unlabelled(root):
    pair(root)
    write(root / "images" / "more.nii.gz")


def background(root):
    for index in range(3):
        write(root / "images" / f"{index}.nii")
        write(root / "labels" / f"{index}.nii")


def single(root):
    pair(root, 2)
    for folder in ("images", "labels"):
        (root / folder / "case_0.nii.gz").unlink()


def missing(root):
    decathlon(root)
    (root / "labelsTr" / "case_2.nii.gz").unlink()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "has no volumes with labels: it needs the folders imagesTr and labelsTr, or images"),
        (empty, "images has no volumes: known endings"),
        (unlabelled, r"more.nii.gz has no labels in .*labels: add more.nii.gz"),
        (background, "are background alone"),
        (single, r"volumes of .* are too few to split \(1\)"),
        (missing, r"names .*case_2.nii.gz, which is not there"),
        (lambda root: decathlon(root, labels={"1": "liver"}), "does not name its labels by the numbers from 0"),
        (lambda root: decathlon(root, labels=["liver"]), "does not name its labels by the numbers from 0"),
        (lambda root: decathlon(root, training=[{"image": "a"}]), "lists training volumes without image or label"),
        (lambda root: decathlon(root, training=[{"image": "../a", "label": "b"}]), "outside of its folder"),
        (lambda root: (root / "dataset.json").write_text("{"), "is not valid JSON"),
        (lambda root: (root / "dataset.json").write_text("[1]"), "holds no description"),
    ],
)
def test_folders_that_do_not_fit(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(InputError, match=message):
        open_volumes(tmp_path)


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match="is no folder: give one of volumes"):
        open_volumes(tmp_path / "nowhere")
    with pytest.raises(InputError, match="validation fraction 2 is out of range"):
        open_volumes(pair(tmp_path), val_fraction=2)
