"""COCO's files: tiny ones written here, and real ones compared with pycocotools."""

import contextlib
import io
import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from torchvision import tv_tensors

from res2net.errors import InputError
from res2net.images import BadImage, DataSettings
from res2net.images.faults import AnnotationReport
from res2net.images.joint_transforms import ObjectAugment, object_train_transform
from res2net.images.keypoints import COCO_PERSON
from res2net.tasks.objects.formats import OBJECT_FORMATS, ObjectImages, find_formats, open_objects
from res2net.tasks.objects.keypoints.crops import CropAugment, PersonCrops
from res2net.weights import Preprocessing

EVERYTHING = ("boxes", "labels", "masks", "crowd", "area", "difficult")


def read(root, name="coco"):
    report = AnnotationReport(root)
    splits = list(OBJECT_FORMATS[name].read(root, None, report, None).values())
    assert report.total == 0, report.summary()
    return splits


def test_targets_are_what_the_file_says(coco):
    (annotations,) = read(coco)
    images = ObjectImages(annotations, EVERYTHING)
    assert images.class_names == ["ant", "zebra"]  # in the order of their ids, 3 and 50
    image, target = images[1]
    assert image.size == (40, 30)
    assert target["image_id"] == 9
    torch.testing.assert_close(
        target["boxes"].as_subclass(torch.Tensor), torch.tensor([[4, 5, 14.25, 17.5], [0, 0, 40, 3]])
    )
    assert isinstance(target["boxes"], tv_tensors.BoundingBoxes)
    assert target["boxes"].canvas_size == (30, 40)
    assert target["labels"].tolist() == [1, 0]
    assert target["labels"].dtype == torch.int64
    assert target["crowd"].tolist() == [False, True]
    assert target["area"].tolist() == [128.125, 100]
    assert target["difficult"].tolist() == [False, False]
    assert isinstance(target["masks"], tv_tensors.Mask)
    assert target["masks"].dtype == torch.bool
    # Run lengths go down the columns: of the first four (30 pixels each) 100 pixels.
    assert target["masks"][1].T.flatten().nonzero().flatten().tolist() == list(range(100))


def test_a_image_without_objects_has_empty_targets(coco):
    images = ObjectImages(read(coco)[0], EVERYTHING)
    _, target = images[2]
    shapes = {name: tuple(value.shape) for name, value in target.items() if name != "image_id"}
    assert shapes == {
        "boxes": (0, 4),
        "labels": (0,),
        "masks": (0, 30, 40),
        "crowd": (0,),
        "area": (0,),
        "difficult": (0,),
    }


def test_only_labels_that_were_asked_for_are_given(coco):
    (annotations,) = read(coco)
    assert set(ObjectImages(annotations, ("labels",)).target(0)) == {"image_id", "labels"}
    with pytest.raises(InputError, match=r"has no keypoints: it has boxes, labels, masks, crowd, area, difficult\."):
        ObjectImages(annotations, ("keypoints",))
    with pytest.raises(InputError, match="did you mean 'masks'"):
        ObjectImages(annotations, ("mask",))


def test_a_image_of_another_size_is_bad(coco):
    Image.new("RGB", (30, 40)).save(coco / "images" / "9.png")
    images = ObjectImages(read(coco)[0])
    with pytest.raises(BadImage, match="it has 30 x 40 pixels, and its annotations are for 40 x 30"):
        images[1]
    images[0]


def test_subsets_share_annotations_and_survive_a_worker(coco):
    images = ObjectImages(read(coco)[0], EVERYTHING)
    part = images.subset([2, 1])
    assert part.annotations is images.annotations
    assert [part.target(index)["image_id"] for index in range(2)] == [12, 9]
    copy = pickle.loads(pickle.dumps(part))
    assert torch.equal(copy.target(1)["masks"], images.target(1)["masks"])
    assert copy.paths == [images.paths[2], images.paths[1]]


@pytest.mark.parametrize("scale", [1, 1 / 3])
def test_coordinates_come_back_to_the_last_bit(content, write_coco, scale):
    """With two decimals they are packed into four bytes, else into eight."""
    ring = [round(number * 1.37, 2) * scale for number in (1, 2, 9, 3.1, 7.7, 11)]
    content["annotations"][0]["segmentation"] = [ring]
    (annotations,) = read(write_coco())
    masks = annotations.masks
    assert masks._coordinates.dtype == (np.int32 if scale == 1 else np.float64)
    start = masks._ring_ends[masks._object_ends[1]]  # the object of the first image comes first
    packed = masks._coordinates[start : start + 6]
    assert (packed / 100 if scale == 1 else packed).tolist() == ring


def test_classes_keep_the_numbers_of_the_file(content, write_coco):
    train, val, _ = open_objects(write_coco(), settings=DataSettings(val_fraction=0.4))
    ids = {category["name"]: category["id"] for category in content["categories"]}
    assert dict(zip(train.class_names, train.annotations.category_ids, strict=True)) == ids
    assert val.annotations.category_ids == train.annotations.category_ids


def test_files_by_split(content, write_coco):
    for split in ("train", "val"):
        root = write_coco(f"instances_{split}2017.json", images=f"{split}2017")
    content["images"].pop()
    write_coco("person_keypoints_val2017.json", images="val2017")
    assert find_formats(root) == ["coco", "coco_keypoints"]
    train, val, _ = open_objects(root)
    assert (len(train), len(val)) == (3, 3)
    assert {path.split("/")[-2] for path in train.paths} == {"train2017"}
    assert {path.split("/")[-2] for path in val.paths} == {"val2017"}
    only, more, _ = open_objects(
        root / "annotations" / "instances_val2017.json", settings=DataSettings(val_fraction=0.4)
    )
    assert (len(only), len(more)) == (2, 1)
    assert {path.split("/")[-2] for path in (*only.paths, *more.paths)} == {"val2017"}


def test_exported_files_beside_their_images(content, write_coco):
    for split in ("train", "valid"):
        folder = write_coco("x.json", root=f"export/{split}", images=".")
        (folder / "annotations" / "x.json").rename(folder / "_annotations.coco.json")
    train, val, _ = open_objects(folder.parent, ("boxes", "masks"))
    assert (len(train), len(val)) == (3, 3)
    assert val[1][1]["masks"].shape == (2, 30, 40)


def test_key_points(content, write_coco):
    points = [[0, 0, 0] if index % 3 else [index, 2 * index, 1 + index % 2] for index in range(17)]
    content["annotations"] = content["annotations"][:1]
    content["annotations"][0] |= {
        "keypoints": [value for point in points for value in point],
        "num_keypoints": 6,
        "category_id": 3,
    }
    content["categories"] = [{"id": 3, "name": "person", "keypoints": list(COCO_PERSON.names), "skeleton": []}]
    train, val, _ = open_objects(write_coco("person_keypoints_all.json"), ("boxes", "keypoints", "visibility"))
    assert train.keypoints is COCO_PERSON
    target = next(
        target for images in (train, val) for target in map(images.target, range(len(images))) if len(target["boxes"])
    )
    assert isinstance(target["keypoints"], tv_tensors.KeyPoints)
    assert target["keypoints"].tolist() == [[[x + 0.5, y + 0.5] for x, y, _ in points]]  # the middles of pixels
    assert target["visibility"].tolist() == [[point[2] for point in points]]
    assert target["visibility"].dtype == torch.uint8


@pytest.mark.parametrize("pixel", [(0, 0), (39, 29), (17, 4)])
def test_a_key_point_and_its_pixel_have_one_mirror_image(content, write_coco, pixel):
    """Pixel i of w becomes w - 1 - i, in whole images and in crops."""
    (i, j), (height, width) = pixel, (30, 40)
    content["annotations"] = content["annotations"][:1]
    content["annotations"][0] |= {"keypoints": [i, j, 2], "num_keypoints": 1, "category_id": 3, "image_id": 7}
    content["annotations"][0] |= {"bbox": [0, 0, width, height]}
    content["categories"] = [{"id": 3, "name": "bird", "keypoints": ["beak"], "skeleton": []}]
    (annotations,) = read(write_coco("person_keypoints_all.json"), "coco_keypoints")
    target = ObjectImages(annotations, ("boxes", "keypoints", "visibility")).target(0)
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    image[:, j, i] = 255
    look = Preprocessing(size=height, crop=1.0, mean=(0, 0, 0), std=(1, 1, 1))
    seen, moved = object_train_transform(look, ObjectAugment(flip=1.0))(image, target)
    assert moved["keypoints"].tolist() == [[[width - 1 - i + 0.5, j + 0.5]]]
    assert moved["visibility"].tolist() == [[2]]
    assert seen[0].nonzero().tolist() == [[j, width - 1 - i]]
    never = CropAugment(scale=0, rotate=0, flip=1)
    crops = PersonCrops([(image, target)], size=(height, width), train=True, augment=never, padding=1)
    crop, person = crops[0]
    torch.testing.assert_close(person["keypoints"], torch.tensor([[width - 1 - i + 0.5, j + 0.5]]))
    assert crop[0].nonzero().tolist() == [[j, width - 1 - i]]


def official(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(path)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize(("kind", "name"), [("instances", "coco"), ("person_keypoints", "coco_keypoints")])
def test_real_annotations_equal_those_of_pycocotools(real_data, kind, name, split):
    root = real_data("coco_mini")
    annotations = read(root, name)[split == "val"]
    labels = [*EVERYTHING, *(("keypoints", "visibility") if kind == "person_keypoints" else ())]
    images = ObjectImages(annotations, labels)
    oracle = official(root / "annotations" / f"{kind}_{split}2017.json")
    assert sorted(images.annotations.image_ids) == sorted(oracle.getImgIds())
    names = [category["name"] for category in oracle.loadCats(sorted(oracle.getCatIds()))]
    assert images.class_names == names
    count = 0
    for index in range(len(images)):
        target = images.target(index)
        expected = oracle.loadAnns(oracle.getAnnIds(target["image_id"]))
        assert [names[label] for label in target["labels"]] == [
            oracle.cats[entry["category_id"]]["name"] for entry in expected
        ]
        assert target["crowd"].tolist() == [bool(entry["iscrowd"]) for entry in expected]
        assert target["area"].tolist() == [np.float32(entry["area"]) for entry in expected]
        for number, entry in enumerate(expected):
            x, y, width, height = entry["bbox"]
            assert target["boxes"][number].tolist() == np.float32([x, y, x + width, y + height]).tolist()
            assert np.array_equal(target["masks"][number].numpy(), oracle.annToMask(entry))
            if "keypoints" in entry:
                points = np.reshape(entry["keypoints"], (-1, 3))
                assert np.array_equal(target["keypoints"][number].numpy(), points[:, :2] + 0.5)
                assert np.array_equal(target["visibility"][number].numpy(), points[:, 2])
        count += len(expected)
    assert count == len(oracle.anns) == len(annotations.labels)


def test_real_images_have_the_size_of_their_annotations(real_data):
    _, val, _ = open_objects(real_data("coco_mini"), ("masks",))
    for index in range(3):
        image, target = val[index]
        assert target["masks"].shape[1:] == (image.height, image.width)


def test_real_key_points_are_named_as_in_the_file(real_data):
    path = real_data("coco_mini") / "annotations" / "person_keypoints_val2017.json"
    (category,) = json.loads(path.read_text())["categories"]
    assert list(COCO_PERSON.names) == category["keypoints"]
    assert [[a + 1, b + 1] for a, b in COCO_PERSON.skeleton] == category["skeleton"]
