"""Opening data sets with a label for each pixel by path: formats, splits and checks."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors

from conftest import open_pixels
from res2net.engine.evaluate import workers_for
from res2net.errors import InputError
from res2net.images import open_source
from res2net.images.faults import AnnotationReport
from res2net.images.splits import DataSettings
from res2net.tasks.objects.formats.voc import VOC_CLASSES
from res2net.tasks.pixels.formats.images import PixelSurvey, good_images
from res2net.tasks.pixels.formats.open import PIXEL_FORMATS, find_pixel_formats, read_pixels
from res2net.tasks.pixels.segment.task import Segment


def stems(images):
    return [path.rpartition("/")[2].rpartition(".")[0] for path in images.paths]


def test_a_sample_is_a_image_and_its_labels(write_folders, labels):
    train, val = open_pixels(write_folders(), "semantic", val_fraction=0.25)
    assert (len(train), len(val)) == (3, 1)
    photo, target = train[0]
    assert (photo.mode, photo.size) == ("RGB", (40, 30))
    assert list(target) == ["semantic"]
    assert isinstance(target["semantic"], tv_tensors.Mask)
    assert target["semantic"].dtype == torch.uint8
    assert np.array_equal(target["semantic"], labels)
    assert train.class_names == ("0", "1", "2")
    assert stems(train.subset([2, 0])) == [stems(train)[2], stems(train)[0]]


def test_a_split_by_seed_is_the_same_again(write_folders):
    root = write_folders(stems=[f"{number:02}" for number in range(20)])
    first, again, other = (open_pixels(root, "semantic", seed=seed)[1].paths for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert len(first) == 4


@pytest.mark.parametrize(
    ("images", "maps"),
    [
        ("images/{}", "masks/{}"),
        ("{}/images", "{}/masks"),
        ("imgs/{}/city", "labels/{}/city"),
        ("{}/JPEGImages", "{}/SegmentationClass"),
    ],
)
def test_folders_that_are_split(write_folders, images, maps):
    write_folders(images.format("train"), maps.format("train"))
    root = write_folders(images.format("val"), maps.format("val"), stems=("x", "y"))
    train, val = open_pixels(root, "semantic")
    assert (stems(train), stems(val)) == (["a", "b", "c", "d"], ["x", "y"])


def test_lists_split_a_folder(write_folders):
    root = write_folders()
    (root / "train.txt").write_text("images/d.jpg masks/d.png\na\n")
    (root / "val.txt").write_text("b\n\nc.jpg\n")
    train, val = open_pixels(root, "semantic")
    assert (stems(train), stems(val)) == (["d", "a"], ["b", "c"])
    (root / "val.txt").write_text("b\nz\n")
    with pytest.raises(InputError, match=r"1 missing image; the first is in .*val\.txt: there is no image 'z'"):
        open_pixels(root, "semantic")


def test_ade_counts_from_one_and_zero_is_unlabelled(write_folders, labels):
    write_folders("images/training", "annotations/training")
    root = write_folders("images/validation", "annotations/validation", stems=("x",))
    train, _ = open_pixels(root, "semantic")
    assert train.class_names == ("1", "2")
    expected = np.select([labels == 1, labels == 2], [0, 1], 255)
    assert np.array_equal(train[0][1]["semantic"], expected)
    header = "Idx\tRatio\tTrain\tVal\tStuff\tName\n"
    (root / "objectInfo150.txt").write_text(header + "1\t0.1\t9\t1\t1\twall, brick\n2\t0.1\t9\t1\t1\tbuilding\n")
    train, _ = open_pixels(root, "semantic")
    assert train.class_names == ("wall", "building")
    assert np.array_equal(train[0][1]["semantic"], expected)


@pytest.mark.parametrize(
    ("name", "text", "names", "indices"),
    [
        ("classes.txt", "sky\ncat\ndog\n", ("sky", "cat", "dog"), (0, 1, 2)),
        ("classes.txt", "unlabelled\ncat\ndog\n", ("cat", "dog"), (255, 0, 1)),
        ("classes.json", '["sky", "cat", "dog"]', ("sky", "cat", "dog"), (0, 1, 2)),
        ("classes.json", '{"2": "dog", "0": "sky", "1": "void"}', ("sky", "dog"), (0, 255, 1)),
        ("classes.json", '{"classes": {"1": "cat", "2": "dog"}, "unlabelled": [0]}', ("cat", "dog"), (255, 0, 1)),
    ],
)
def test_lists_of_classes(write_folders, labels, name, text, names, indices):
    root = write_folders()
    (root / name).write_text(text)
    train, _ = open_pixels(root, "semantic")
    assert train.class_names == names
    expected = np.select([labels == number for number in (0, 1, 2)], indices, 255)
    assert np.array_equal(train[0][1]["semantic"], expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not valid JSON"),
        ('{"x": "sky"}', "lists no classes"),
        ("[1, 2]", "lists no classes"),
        ('{"classes": ["a", "b"], "unlabelled": [-1]}', "lists no classes"),
        (json.dumps([str(number) for number in range(256)]), "There are 256 classes of pixels, and at most 255"),
    ],
)
def test_lists_of_classes_that_cannot_be_used(write_folders, text, said):
    root = write_folders()
    (root / "classes.json").write_text(text)
    with pytest.raises(InputError, match=re.escape(said)):
        open_pixels(root, "semantic")


def test_voc_is_read_by_index(write_voc_segmentation, labels):
    root = write_voc_segmentation({"train": ["a", "b"], "val": ["c"]}, {"SegmentationClass": ["a", "b", "c", "d"]})
    train, val = open_pixels(root, "semantic")
    assert (stems(train), stems(val)) == (["a", "b"], ["c"])
    assert train.class_names == ("background", *VOC_CLASSES)
    for images in (train, val):
        assert np.array_equal(images[0][1]["semantic"], labels)
    assert stems(open_pixels(root / "VOC2012", "semantic")[0]) == ["a", "b"]


def test_the_augmented_list_of_voc(write_voc_segmentation, labels):
    root = write_voc_segmentation(
        {"train": ["a"], "val": ["c"], "trainaug": ["/JPEGImages/b.jpg /SegmentationClassAug/b.png", "a"]},
        {"SegmentationClass": ["a", "c"], "SegmentationClassAug": ["a", "b", "c"]},
    )
    train, val = open_pixels(root, "semantic")
    assert (stems(train), stems(val)) == (["b", "a"], ["c"])
    assert np.array_equal(train[1][1]["semantic"], labels + np.uint8(7) * (labels == 1))
    assert np.array_equal(val[0][1]["semantic"], labels)  # evaluated with the maps of VOC itself


@pytest.mark.parametrize(
    ("images", "maps"),
    [
        ("imgs", "gt"),
        ("images", "ground_truth_mask"),
        ("DUTS-TR-Image", "DUTS-TR-Mask"),
        ("DUT-OMRON-image", "pixelwiseGT-new-PNG"),
        ("Imgs", "Imgs"),
        (".", "."),
    ],
)
def test_saliency_as_the_field_has_it(write_folders, labels, images, maps):
    root = write_folders(images, maps, values=np.where(labels == 1, np.uint8(255), np.uint8(3)))
    train, val = open_pixels(root, "saliency")
    assert (len(train), len(val)) == (3, 1)
    found = train[0][1]["saliency"]
    assert found.dtype == torch.bool
    assert np.array_equal(found, labels == 1)
    assert train.class_names == ("salient",)


def test_duts_trains_and_tests(write_folders, labels):
    mask = np.where(labels == 1, np.uint8(255), np.uint8(0))
    write_folders("DUTS-TR/DUTS-TR-Image", "DUTS-TR/DUTS-TR-Mask", values=mask)
    root = write_folders("DUTS-TE/DUTS-TE-Image", "DUTS-TE/DUTS-TE-Mask", stems=("x",), values=mask)
    train, val = open_pixels(root, "saliency")
    assert (stems(train), stems(val)) == (["a", "b", "c", "d"], ["x"])


@pytest.mark.parametrize(
    ("values", "ending", "scale", "metres"),
    [
        (np.array([0, 1, 2500, 65535], np.uint16), ".png", None, [0, 0.001, 2.5, 65.535]),
        (np.array([0, 1, 2560, 65535], np.uint16), ".png", 256, [0, 1 / 256, 10, 65535 / 256]),
        (np.array([0, 1, 51, 255], np.uint8), ".png", 51, [0, 1 / 51, 1, 5]),
        (np.array([0.5, np.nan, np.inf, -1], np.float64), ".npy", None, [0.5, 0, 0, 0]),
        (np.array([0, 1500, 1, -3], np.int32), ".npy", None, [0, 1.5, 0.001, 0]),
    ],
)
def test_depth_in_metres(write_folders, values, ending, scale, metres):
    root = write_folders("rgb", "depth", values=np.tile(np.repeat(values, 10), (30, 1)), ending=ending)
    if scale:
        (root / "depth.json").write_text(json.dumps({"scale": scale}))
    train, _ = open_pixels(root, "depth")
    found = train[0][1]["depth"]
    assert (found.dtype, tuple(found.shape)) == (torch.float32, (30, 40))
    torch.testing.assert_close(found[7, ::10].as_subclass(torch.Tensor), torch.tensor(metres, dtype=torch.float32))


def test_names_of_nyu(write_folders):
    values = np.full((30, 40), 2000, np.uint16)
    root = write_folders("rgb", "depth", stems=("scene/rgb_1", "scene/rgb_2"), values=values)
    for number in (1, 2):
        path = root / "depth" / "scene" / f"rgb_{number}.png"
        path.rename(path.with_name(f"sync_depth_{number}.png"))
    train, val = open_pixels(root, "depth")
    assert {*stems(train), *stems(val)} == {"rgb_1", "rgb_2"}


@pytest.mark.parametrize("text", ["{", "[]", '{"scale": 0}', '{"scale": "1000"}', '{"scale": NaN}', '{"scale": true}'])
def test_a_scale_that_is_none(write_folders, text):
    root = write_folders("rgb", "depth", values=np.full((30, 40), 2000, np.uint16))
    (root / "depth.json").write_text(text)
    with pytest.raises(InputError, match=r"depth\.json(: it is not valid JSON| has no scale above 0)"):
        open_pixels(root, "depth")


def spoil_size(root):
    Image.new("L", (30, 40)).save(root / "masks" / "b.png")


def spoil_label(root):
    Image.new("L", (40, 30), 77).save(root / "masks" / "b.png")
    (root / "classes.txt").write_text("a\nb\nc\n")


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


FAULTS = [
    (lambda root: (root / "masks" / "b.png").unlink(), "missing mask file", "there is no b in "),
    (lambda root: (root / "images" / "b.jpg").unlink(), "missing image", "there is no image b in "),
    (lambda root: (root / "images" / "b.jpg").write_text("x"), "unreadable image", "not an image of a known format"),
    (lambda root: (root / "masks" / "b.png").write_text("x"), "unreadable file", "not an image of a known format"),
    (lambda root: cut(root / "masks" / "b.png"), "bad mask", "it is not a whole image in a format without loss"),
    (spoil_size, "wrong size", "it has 30 x 40 pixels, and its image has 40 x 30"),
    (spoil_label, "label outside", "its label 77 is no class, of which the numbers are 0 to 2, and 255 is unlabelled"),
    (
        lambda root: Image.new("RGBA", (40, 30)).save(root / "masks" / "b.png"),
        "bad mask",
        "some of its pixels are transparent",
    ),
]


@pytest.mark.parametrize(("spoil", "kind", "said"), FAULTS)
def test_each_fault_stops_or_leaves_its_image_out(write_folders, spoil, kind, said):
    root = write_folders()
    spoil(root)
    with pytest.raises(InputError) as caught:
        open_pixels(root, "semantic")
    sentence = str(caught.value)
    assert sentence.startswith(f"The data set {root} has 1 {kind}")
    assert said in sentence
    assert "\n" not in sentence
    train, val = open_pixels(root, "semantic", bad_annotations="skip")
    assert sorted(stems(train) + stems(val)) == ["a", "c", "d"]
    assert all(images[index] for images in (train, val) for index in range(len(images)))


def test_an_image_that_cannot_be_read_stays_where_images_are_skipped(write_folders):
    root = write_folders()
    (root / "images" / "b.jpg").write_text("x")
    with pytest.raises(InputError, match="1 unreadable image"):
        Segment.open(root)
    source = Segment.open(root, DataSettings(bad_images="skip"))
    assert len(source.train) + len(source.val) == 4  # the loader skips it, and tells


def test_an_image_of_both_splits_is_left_out_of_the_training(write_folders):
    root = write_folders()
    (root / "train.txt").write_text("a\nb\nc\n")
    (root / "val.txt").write_text("c\nd\n")
    with pytest.raises(InputError, match=r"1 image of both splits; the first is in .*c\.jpg"):
        open_pixels(root, "semantic")
    train, val = open_pixels(root, "semantic", bad_annotations="skip")
    assert (stems(train), stems(val)) == (["a", "b"], ["c", "d"])


@pytest.mark.parametrize(
    ("value", "label", "said"),
    [
        (0, "semantic", "have one class only: masks of 0 and 255 are of the label saliency"),
        (255, "semantic", "have one class only"),
        (0, "saliency", "There is not one salient pixel in the masks of .*: what is salient is white"),
    ],
)
def test_maps_with_nothing_to_learn(write_folders, value, label, said):
    root = write_folders(values=np.full((30, 40), value, np.uint8))
    with pytest.raises(InputError, match=said):
        open_pixels(root, label)


def test_what_is_no_data_set(tmp_path, write_folders):
    with pytest.raises(InputError, match="There is no file or folder"):
        open_pixels(tmp_path / "none", "semantic")
    with pytest.raises(InputError, match=r"not a data set with the label depth for each pixel: .*\(images and depth; "):
        open_pixels(tmp_path, "depth")
    for path in ("images/images/x.jpg", "images/masks/other.png"):
        (tmp_path / path).parent.mkdir(parents=True)
        Image.new("L", (4, 4)).save(tmp_path / path)
    with pytest.raises(InputError, match=r"No image in .*images has a map in .*masks: the map of x\.jpg is"):
        open_pixels(tmp_path / "images", "saliency")
    root = write_folders(stems=("a",))
    with pytest.raises(InputError, match=r"images of .* are too few to split \(1\)"):
        open_pixels(root, "semantic")
    with pytest.raises(InputError, match=r"validation fraction 1\.5"):
        open_pixels(root, "semantic", val_fraction=1.5)


def test_yolo_and_coco_are_no_label_maps(tmp_path):
    for folder in ("images/train", "labels/train", "images/val", "labels/val", "annotations"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "labels" / "train" / "a.txt").write_text("0 0.5 0.5 1 1")
    (tmp_path / "annotations" / "instances.json").write_text("{}")
    assert find_pixel_formats(tmp_path) == []


def test_a_source_of_labels(write_folders):
    source = Segment.open(write_folders())
    assert source.class_names == ("0", "1", "2")
    few = source.overfit(2)
    assert few.train.paths == few.val.paths == source.train.paths[:2]
    assert workers_for(source) >= 1
    with pytest.raises(InputError, match="not semantic and depth: name one"):
        open_source(write_folders(), labels=("semantic", "depth"), reader=read_pixels)


def test_wrong_sizes_are_told_of_each_file(write_folders):
    root = write_folders()
    for stem in ("a", "b"):
        Image.new("L", (4, 4)).save(root / "masks" / f"{stem}.png")
    report = AnnotationReport(root)
    (files,) = PIXEL_FORMATS["semantic_folders"].read(root).values()
    assert good_images(files, report, PixelSurvey()) == [2, 3]
    assert report.summary() == "2 images of a wrong size"
    with pytest.raises(InputError, match="2 images of a wrong size"):
        open_pixels(root, "semantic")


def test_coco_stuff(write_folders, labels):
    stuff = np.select([labels == 1, labels == 2, labels == 255], [0, 181, 255], 91).astype(np.uint8)
    for split in ("train2017", "val2017"):
        root = write_folders(f"images/{split}", f"stuffthingmaps/{split}", values=stuff, stems=(split,))
    train, _ = open_pixels(root, "semantic")
    assert len(train.class_names) == 171
    assert train.class_names[0] == "person"
    assert train.class_names[79:81] == ("toothbrush", "banner")
    assert train.class_names[170] == "wood"
    expected = np.select([labels == 1, labels == 2, labels == 255], [0, 170, 255], 80)
    assert np.array_equal(train[0][1]["semantic"], expected)


def test_cityscapes(write_folders, labels):
    ids = np.select([labels == 1, labels == 2, labels == 255], [7, 33, 0], 26).astype(np.uint8)
    for split in ("train", "val"):
        root = write_folders(
            f"leftImg8bit/{split}/ulm", f"gtFine/{split}/ulm", values=ids, stems=(f"{split}_leftImg8bit",)
        )
        path = root / "gtFine" / split / "ulm" / f"{split}_leftImg8bit.png"
        path.rename(path.with_name(f"{split}_gtFine_labelIds.png"))
        Image.new("L", (40, 30)).save(path.with_name(f"{split}_gtFine_instanceIds.png"))
    train, val = open_pixels(root, "semantic")
    assert (len(train), len(val), len(train.class_names)) == (1, 1, 19)
    expected = np.select([labels == 1, labels == 2, labels == 255], [0, 18, 255], 13)
    assert np.array_equal(train[0][1]["semantic"], expected)
    path.with_name("val_gtFine_labelIds.png").unlink()
    with pytest.raises(InputError, match="1 missing mask file"):
        open_pixels(root, "semantic")
