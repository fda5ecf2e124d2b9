"""Folders of volumes: which there are, and what is wrong with others."""

import json

import nibabel
import numpy as np
import pytest
import torch

from res2net.engine.data_tools import open_parts
from res2net.errors import InputError
from res2net.images import BadImage
from res2net.images.splits import DataSettings
from res2net.tasks.volumes.folders import VolumeFiles, read_volumes
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


def test_scans_to_validate_on_without_labels_are_refused(tmp_path):
    pair(tmp_path, scans="imagesTr", labels="labelsTr")
    write(tmp_path / "imagesVa" / "case_9.nii.gz")
    with pytest.raises(InputError, match="no volumes that can be used in the split val"):
        open_volumes(tmp_path)


@pytest.mark.parametrize("scans", [False, True])
def test_a_split_without_labels_is_refused_if_it_is_chosen(tmp_path, scans):
    pair(tmp_path / "train")
    (tmp_path / "val").mkdir()
    if scans:
        write(tmp_path / "val" / "images" / "case_9.nii.gz")
    with pytest.raises(InputError, match="no volumes that can be used in the split val"):
        open_volumes(tmp_path)
    assert len(open_volumes(tmp_path, evaluate=True, split="train")[1]) == 4
    (part,) = open_parts(str(tmp_path))
    assert part.faults == 1
    assert [row[1:] for row in part.tables(None)[0].rows[:2]] == [(4, 0), (2, 0)]


def test_a_source_of_volumes(tmp_path):
    source = Volumes.open(decathlon(tmp_path))
    assert source.class_names == ["background", "liver", "tumour"]
    assert len(source.preprocessing.mean) == 1


def test_labels_of_another_shape(tmp_path):
    root = pair(tmp_path)
    for index in range(4):
        write(root / "labels" / f"case_{index}.nii.gz", shape=(5, 4, 2), value=1)
    with pytest.raises(
        InputError,
        match=r"4 label maps that lie elsewhere than .* it has 2 x 4 x 5 voxels .*, and its scan has 3 x 4 x 5",
    ):
        open_volumes(root)
    with pytest.raises(BadImage, match=r"labels/case_0.nii.gz: it has 2 x 4 x 5 voxels .* 3 x 4 x 5 \(.*images/case_0"):
        VolumeFiles([(root / "images" / "case_0.nii.gz", root / "labels" / "case_0.nii.gz")], ["a", "b"])[0]


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
        (empty, "has no volumes with labels: it needs the folders imagesTr and labelsTr, or images"),
        (unlabelled, r"1 missing partner; .*more.nii.gz: there is no more.nii.gz in .*labels"),
        (background, "are background alone"),
        (single, r"volumes of .* are too few to split \(1\)"),
        (missing, r"names .*case_2.nii.gz' is not in "),
        (lambda root: decathlon(root, labels={"1": "liver"}), "does not name its labels by the numbers from 0"),
        (lambda root: decathlon(root, labels=["liver"]), "does not name its labels by the numbers from 0"),
        (lambda root: decathlon(root, training=[{"image": "a"}]), "lists training volumes without image or label"),
        (lambda root: decathlon(root, training=[{"image": "../a", "label": "b"}]), "is outside of the data folder"),
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


SCAN = np.diag([1.5, 1.5, 3.0, 1.0])


def rotated(degrees):
    """The affine of a scan that is rotated about its first voxel."""
    turn = np.eye(4)
    angle = np.radians(degrees)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn @ SCAN


def moved(*by):
    affine = SCAN.copy()
    affine[:3, 3] = by
    return affine


def placed(root, affine, scan=SCAN, shape=(40, 36, 24), codes=True):
    """Four scans and label maps with these affines, a block in each labelled."""
    for index in range(4):
        mask = np.zeros(shape, np.uint8)
        mask[4:20, 6:12, 3:9] = 1
        for folder, made in (("images", nibabel.Nifti1Image(mask * np.float32(80), scan)), ("labels", None)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            if made is None:
                made = nibabel.Nifti1Image(mask, affine)
                if not codes:
                    made.header.set_sform(None, 0)
                    made.header.set_qform(None, 0)
                    made.header.set_zooms((1, 1, 1))
            nibabel.save(made, root / folder / f"{index}.nii.gz")
    return root


@pytest.mark.parametrize(
    ("affine", "said"),
    [
        (np.diag([0.9, 0.9, 3.0, 1.0]), "states a spacing of 3 x 0.9 x 0.9 mm, and its scan 3 x 1.5 x 1.5 mm"),
        (np.diag([1.5, 1.5, 2.5, 1.0]), "states a spacing of 2.5 x 1.5 x 1.5 mm"),
        (moved(40, 0, 0), "states another origin than its scan, 40 mm away, so that its voxels lie up to 26.7 voxels"),
        (moved(0, 0, -1.6), "states another origin"),
        (moved(0.8, 0, 0), "states another origin"),
        (rotated(29), "states axes that run other ways"),
        (rotated(2), "states axes that run other ways"),
        (np.diag([-1.5, 1.5, 3.0, 1.0]), "states another origin"),
    ],
)
def test_label_maps_that_lie_elsewhere(tmp_path, affine, said):
    root = placed(tmp_path, affine)
    with pytest.raises(InputError, match=f"4 label maps that lie elsewhere than their scans; .* its header {said}"):
        open_volumes(root)


def test_spacing_of_axes_of_the_same_shape_that_are_swapped(tmp_path):
    swapped = np.array([[0, 1.5, 0, 0], [1.5, 0, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1.0]])
    with pytest.raises(InputError, match=r"it has 24 x 40 x 36 voxels .*, and its scan has 24 x 36 x 40"):
        open_volumes(placed(tmp_path, swapped))


@pytest.mark.parametrize("affine", [SCAN, SCAN * (1 + 1e-5), moved(0.02, -0.01, 0.05), moved(0.6, 0, 0), rotated(0.2)])
def test_headers_are_rounded(tmp_path, affine):
    source = read_volumes(placed(tmp_path, affine), ("label_map",), DataSettings())
    assert source.notes == []
    volume, target = source.val[0]
    assert torch.equal(volume.voxels > 40, target["label_map"] > 0)


@pytest.mark.parametrize("scan", [SCAN, np.diag([-1.5, -1.5, 3.0, 1.0]), rotated(30)])
@pytest.mark.parametrize("codes", [True, False])
def test_label_maps_without_a_position_have_that_of_their_scan(tmp_path, scan, codes):
    """As of programs that save an array without its header."""
    source = read_volumes(placed(tmp_path, np.eye(4), scan, codes=codes), ("label_map",), DataSettings())
    assert source.notes[0].startswith("The headers of 4 label maps, such as ")
    volume, target = source.val[0]
    assert torch.equal(volume.voxels > 40, target["label_map"] > 0)


@pytest.mark.parametrize(
    ("values", "names", "note"),
    [
        ((0, 1, 2, 4), ["background", "class 1", "class 2", "class 3", "class 4"], "No voxel has the label 3"),
        ((0, 255), ["background", "class 255"], "The labels 0, 255 are classes from 0 on, also in predictions: 0 is 0"),
        ((0, 50, 100), ["background", "class 50", "class 100"], "100 is 2"),
        ((0, 1000), ["background", "class 1000"], "1000 is 1"),
        ((0, 1), ["background", "class 1"], None),
    ],
)
def test_labels_with_gaps(tmp_path, values, names, note):
    for index in range(4):
        write(tmp_path / "images" / f"{index}.nii")
        write(tmp_path / "labels" / f"{index}.nii", value=values[index % len(values)])
    source = read_volumes(tmp_path, ("label_map",), DataSettings())
    assert source.class_names == names
    assert [note in said for said in source.notes] == ([True] if note else [])
    found = {
        int(split[index][1]["label_map"].max()) for split in (source.train, source.val) for index in range(len(split))
    }
    assert found == ({0, 1, 2, 4} if 4 in values else set(range(len(names))))


def test_labels_with_gaps_that_are_named(tmp_path):
    root = decathlon(tmp_path, labels={"0": "background", "1": "core", "2": "oedema", "4": "enhancing"})
    write(root / "labelsTr" / "case_0.nii.gz", value=4)
    source = read_volumes(root, ("label_map",), DataSettings())
    assert source.class_names == ["background", "core", "oedema", "enhancing"]
    assert source.notes == [
        "The labels 0, 1, 2, 4 are classes from 0 on, also in predictions: 0 is 0, 1 is 1, 2 is 2, 4 is 3."
    ]
    assert 3 in {
        int(split[index][1]["label_map"].max()) for split in (source.train, source.val) for index in range(len(split))
    }


def test_only_background_though_classes_are_named(tmp_path):
    root = decathlon(tmp_path)
    for index in range(5):
        write(root / "labelsTr" / f"case_{index}.nii.gz")
    with pytest.raises(InputError, match=r"The 4 label maps to train on in .* are background alone"):
        open_volumes(root)
    assert len(open_volumes(root, evaluate=True)[1]) == 5


@pytest.mark.parametrize("layout", ["{}/images", "images/{}", "decathlon"])
def test_splits_of_volumes(tmp_path, layout):
    for split, ending, count in (("train", "Tr", 3), ("val", "Va", 2), ("test", "Ts", 1)):
        for kind in ("images", "labels"):
            folder = {"{}/images": f"{split}/{kind}", "images/{}": f"{kind}/{split}"}.get(layout, f"{kind}{ending}")
            for index in range(count):
                write(tmp_path / folder / f"{index}.nii.gz", value=int(kind == "labels"))
    train, val = open_volumes(tmp_path)
    assert (len(train), len(val)) == (3, 2)
    assert len(open_volumes(tmp_path, evaluate=True, split="test")[1]) == 1


def test_lists_and_channels_that_leave_files_out(tmp_path):
    root = decathlon(tmp_path)
    write(root / "imagesTr" / "more.nii.gz")
    description = json.loads((root / "dataset.json").read_text())
    description["training"] = [
        {key: path.replace("/", "\\") for key, path in one.items()} for one in description["training"]
    ]
    description["test"] = ["./imagesTs/a.nii.gz"]
    (root / "dataset.json").write_text("\ufeff" + json.dumps(description), encoding="utf-8")
    source = read_volumes(root, ("label_map",), DataSettings())
    assert len(source.train) + len(source.val) == 5
    assert sorted(note.partition(" of ")[0] for note in source.notes) == ["1 volumes", "1 volumes"]
    assert any(note.endswith("and not used: more.nii.gz.") for note in source.notes)
    channels = pair(tmp_path / "channels", scans="imagesTr", labels="labelsTr", suffix="_0000")
    write(channels / "imagesTr" / "case_1_0001.nii.gz")
    write(channels / "labelsTr" / "alone.nii.gz")
    source = read_volumes(channels, ("label_map",), DataSettings())
    assert len(source.train) + len(source.val) == 4
    assert [note.partition(" of ")[0] for note in source.notes] == ["1 files", "1 label maps"]
