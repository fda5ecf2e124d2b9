"""Opening by path: formats, splits, and what is wrong with annotations."""

import re

import pytest

from res2net.errors import InputError
from res2net.images import DataSettings
from res2net.images.faults import AnnotationReport
from res2net.tasks.objects.formats import OBJECT_FORMATS, open_objects
from res2net.tasks.objects.formats.masks import pack_rle


def change(index, **values):
    return lambda content: content["annotations"][index].update(values)


POINTS = [1, 2, 2] * 17
FAULTS = [
    (change(0, bbox=[4, 5, 0, 12]), "degenerate box", "annotation 1 has a box of 0 x 12 pixels"),
    (change(0, bbox=[4, 5, -3, 12]), "degenerate box", "annotation 1 has a box of -3 x 12 pixels"),
    (change(0, bbox=None), "degenerate box", "annotation 1 has no box of four numbers"),
    (change(0, bbox=[1, 2, "3", 4]), "degenerate box", "annotation 1 has no box of four numbers"),
    (change(0, bbox=[1, 2, float("nan"), 4]), "degenerate box", "annotation 1 has no box"),
    (change(0, bbox=[1, 2, 10**400, 4]), "degenerate box", "annotation 1 has no box"),
    (change(0, bbox=[35, 5, 10, 12]), "box outside", "from (35, 5) to (45, 17) and its image has 40 x 30 pixels"),
    (change(0, bbox=[-9, 5, 10, 12]), "box outside", "from (-9, 5)"),
    (change(0, bbox=[40.5, 5, 0.4, 12]), "box outside", "from (40.5, 5)"),
    (change(0, category_id=1), "unknown class", "annotation 1 has the category 1"),
    (change(0, category_id=[3]), "unknown class", "annotation 1 has the category [3]"),
    (change(0, image_id=8), "unknown image", "annotation 1 has the image 8"),
    (change(0, id=2), "duplicate id", "two annotations have the id 2"),
    (change(0, image_id="x"), "unreadable object", "annotation 1 has no id or image_id that is a whole"),
    (change(0, segmentation=[]), "bad mask", "annotation 1 has no polygons"),
    (change(0, segmentation=[[1, 2, 3, 4]]), "bad mask", "a polygon of less than three points"),
    (change(0, segmentation=[[1, 2, 3, 4, 5, "6"]]), "bad mask", "a polygon of what is no number"),
    (change(0, segmentation=[[1, 2, 3, 4, 5, 1e9]]), "bad mask", "a polygon far outside"),
    (change(2, segmentation={"size": [30, 40], "counts": [0, 100, 1101]}), "bad mask", "annotation 3 has run lengths"),
    (
        change(0, segmentation=[[0.1, 0.2, 0.4, 0.2, 0.4, 0.6]]),
        "bad mask",
        "annotation 1 has its polygons in the first",
    ),
    (change(2, segmentation={"size": [30, 40], "counts": "o0"}), "bad mask", "annotation 3 has run lengths"),
    (change(2, segmentation={"size": [30, 40], "counts": "P01\\U1"}), "bad mask", "annotation 3 has run lengths"),
    (change(2, segmentation={"size": [31, 40], "counts": [0, 1240]}), "bad mask", "annotation 3 has run lengths"),
    (lambda c: c["annotations"].append("x"), "unreadable object", "annotation at index 3 has no id"),
    (lambda c: c["images"][0].update(id=9), "duplicate id", "two images have the id 9"),
    (lambda c: c["images"][2].update(file_name="lost.png"), "missing image", "the image 'lost.png' is not in"),
    (lambda c: c["images"][2].update(file_name="../../x.png"), "missing image", "the image '../../x.png' is outside"),
    (lambda c: c["images"][2].update(height=0), "wrong size", "image 12 has no height and width"),
    (lambda c: c["images"][2].update(id="012"), "unreadable object", "an image has the id '012'"),
    (lambda c: c["categories"].append({"id": 3, "name": "x"}), "duplicate id", "two categories have the id 3"),
]


@pytest.mark.parametrize(("spoil", "kind", "said"), FAULTS)
def test_each_fault_stops_or_is_left_out(content, write_coco, spoil, kind, said):
    spoil(content)
    root = write_coco()
    labels = ("boxes", "labels", "masks")
    with pytest.raises(InputError) as caught:
        open_objects(root, labels)
    sentence = str(caught.value)
    assert sentence.startswith(f"The data set {root} has ")
    assert said in sentence
    assert f"`--bad-annotations skip`, or see all with `res2net data check {root}`." in sentence
    assert "\n" not in sentence
    report = AnnotationReport(root)
    OBJECT_FORMATS["coco"].read(root, labels, report, None)
    assert report.counts[kind] == 1
    train, val, _ = open_objects(root, labels, settings=DataSettings(bad_annotations="skip"))
    for images in (train, val):
        for index in range(len(images)):
            images[index]


@pytest.mark.parametrize(
    ("points", "kind", "said"),
    [
        (
            [39, 29, 2] * 16 + [41.5, 3, 1],
            "keypoint outside",
            "its right_ankle at (41.5, 3) and its image has 40 x 30",
        ),
        ([1, 2, 2] * 16, "invalid keypoints", "has no list of x, y and visibility for each of 17 points"),
        ([1, 2, 2] * 16 + [1, 2, 3], "invalid keypoints", "says 3 for the visibility of right_ankle"),
        (None, "invalid keypoints", "has no list"),
    ],
)
def test_faults_of_key_points(content, write_coco, points, kind, said):
    from res2net.images.keypoints import COCO_PERSON

    content["categories"][1]["keypoints"] = list(COCO_PERSON.names)
    for entry in content["annotations"]:
        entry["keypoints"] = [0, 0, 0] * 17
    content["annotations"][1]["keypoints"] = points
    root = write_coco("person_keypoints_x.json")
    report = AnnotationReport(root)
    (annotations,) = OBJECT_FORMATS["coco_keypoints"].read(root, None, report, None).values()
    assert report.counts == {kind: 1}
    assert said in report.examples[kind][0].what
    assert len(annotations.labels) == 2


def test_what_is_left_out_is_only_what_is_wrong(content, write_coco):
    change(0, bbox=[4, 5, 0, 12])(content)
    *images, _ = open_objects(write_coco(), ("boxes", "labels", "area"), settings=DataSettings(bad_annotations="skip"))
    by_id = {one.target(index)["image_id"]: one.target(index) for one in images for index in range(len(one))}
    assert by_id[9]["boxes"].tolist() == [[0, 0, 40, 3]]
    assert by_id[7]["boxes"].tolist() == [[0, 0, 20, 10]]
    assert by_id[12]["boxes"].shape == (0, 4)


def test_several_faults_are_counted_in_one_sentence(content, write_coco):
    change(0, bbox=[4, 5, 0, 12])(content)
    change(1, bbox=[4, 5, 0, 0])(content)
    change(2, category_id=99)(content)
    with pytest.raises(InputError, match="has 1 unknown class and 2 degenerate boxes; the first is in "):
        open_objects(write_coco())


def test_a_pixel_of_rounding_is_no_fault(content, write_coco):
    change(0, bbox=[-0.6, 5, 41.2, 25.5])(content)
    open_objects(write_coco())


def test_masks_that_nobody_needs_are_not_checked(content, write_coco):
    change(0, segmentation=[])(content)
    open_objects(write_coco(), ("boxes", "labels"))


@pytest.mark.parametrize("text", ["{", "[]", '{"images": [], "annotations": 3, "categories": []}', "[" * 100_000])
def test_a_file_that_cannot_be_read(coco, text):
    (coco / "annotations" / "instances_default.json").write_text(text)
    with pytest.raises(InputError, match=r"has 1 unreadable file; the first is in .*instances_default.json: it "):
        open_objects(coco)
    with pytest.raises(InputError, match="No image with readable annotations is left"):
        open_objects(coco, settings=DataSettings(bad_annotations="skip"))


def test_splits_are_the_same_for_a_seed(write_yolo):
    root = write_yolo({f"images/{number}": ["0 .5 .5 .1 .1"] for number in range(20)})
    first, again, other = (open_objects(root, settings=DataSettings(seed=seed)) for seed in (0, 0, 1))
    assert first[1].paths == again[1].paths != other[1].paths
    assert sorted([*first[0].paths, *first[1].paths]) == sorted([*other[0].paths, *other[1].paths])
    assert len(first[1]) == 4
    elsewhere = write_yolo({f"images/{number}": ["0 .5 .5 .1 .1"] for number in range(20)}, root="other/place")
    names = [[path.split("/")[-1] for path in open_objects(one)[1].paths] for one in (root, elsewhere)]
    assert names[0] == names[1]


def test_what_is_no_data_set(tmp_path, coco):
    with pytest.raises(InputError, match="There is no file or folder"):
        open_objects(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is not a data set with objects: give one in a known format \\(COCO, "):
        open_objects(tmp_path / "empty")
    with pytest.raises(InputError, match=re.escape("(COCO) has no keypoints: give one that has.")):
        open_objects(coco, ("boxes", "keypoints"))
    for labels, bad in ((("box",), "stop"), (("boxes",), "ignore")):
        with pytest.raises(InputError, match="Unknown"):
            open_objects(coco, labels, DataSettings(bad_annotations=bad))


def test_classes_must_agree(content, write_coco):
    write_coco("instances_train.json")
    content["categories"][0]["name"] = "horse"
    root = write_coco("instances_val.json")
    with pytest.raises(InputError, match="The classes of training and validation differ"):
        open_objects(root)


@pytest.mark.parametrize("seed", range(20))
def test_compressed_run_lengths_are_recognised(seed):
    """Those of pycocotools are taken; any that would lead outside of the image are not."""
    import numpy as np
    from pycocotools import mask as oracle

    random = np.random.default_rng(seed)
    size = tuple(int(side) for side in random.integers(1, 300, 2))
    pixels = np.asfortranarray(random.random(size) < random.choice([0, 0.001, 0.5, 1]), dtype=np.uint8)
    encoded = oracle.encode(pixels)
    assert pack_rle({"size": list(size), "counts": encoded["counts"].decode()}, size) == encoded["counts"]
    taller = [size[0] + 1, size[1]]
    assert pack_rle({"size": taller, "counts": encoded["counts"].decode()}, tuple(taller)) is None
    assert pack_rle({"size": list(size), "counts": encoded["counts"] + b"1"}, size) is None


@pytest.mark.parametrize("counts", ["", "o", "~", "\u1234", "PPPPPPPPPPPPPPPPPPPP", 7, None, [-1, 13], [12.0]])
def test_run_lengths_that_are_none(counts):
    assert pack_rle({"size": [3, 4], "counts": counts}, (3, 4)) is None


@pytest.mark.parametrize("name", ["../../12.png", "../images/../../12.png", "..\\..\\12.png", "{root}/../other/x.png"])
def test_images_outside_of_the_data_folder_are_refused_although_they_exist(content, write_coco, name):
    root = write_coco(root="set/coco").parent / "coco"
    for file in (root.parent / "12.png", root.parent / "other" / "x.png"):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes((root / "images" / "12.png").read_bytes())
    content["images"][2]["file_name"] = name.format(root=root)
    write_coco(root="set/coco")
    with pytest.raises(InputError, match=r"1 missing image; .* is outside of the data folder"):
        open_objects(root)
