"""YOLO's text files."""

import pytest

from res2net.errors import InputError
from res2net.images.faults import AnnotationReport
from res2net.tasks.objects.formats import OBJECT_FORMATS, find_formats, open_objects

BOX = "1 0.5 0.5 0.25 0.2"
YAML = "train: images/train\nval: images/val\nnames: {0: cat, 1: dog}\n"


def read(root):
    report = AnnotationReport(root)
    return list(OBJECT_FORMATS["yolo"].read(root, None, report, None).values()), report


def test_boxes_are_shares_around_a_centre(write_yolo):
    root = write_yolo({"images/train/a": [BOX, "0 0.05 0.9 0.1 0.2"], "images/val/b": None}, more={"data.yaml": YAML})
    (train, val), report = read(root)
    assert train.boxes.tolist() == [[15, 12, 25, 18], [0, 24, 4, 30]]
    assert train.labels.tolist() == [1, 0]
    assert train.class_names == ["cat", "dog"]
    assert report.total == 0
    assert len(val.paths) == 1


@pytest.mark.parametrize("layout", ["images/{}/x", "{}/images/x"])
@pytest.mark.parametrize("val", ["val", "valid"])
def test_layouts_without_a_yaml(write_yolo, layout, val):
    root = write_yolo({layout.format("train"): [BOX], layout.format(val): [BOX]}, more={"classes.txt": "cat\ndog\n"})
    assert find_formats(root) == ["yolo"]
    train, held, _ = open_objects(root)
    assert (len(train), len(held), train.class_names) == (1, 1, ["cat", "dog"])


def test_one_folder_is_split_and_classes_without_names_have_numbers(write_yolo):
    root = write_yolo({f"images/{number}": [BOX] for number in range(10)})
    train, val, _ = open_objects(root)
    assert (len(train), len(val), train.class_names) == (8, 2, ["0", "1"])


def test_a_yaml_with_paths_of_another_machine(write_yolo):
    text = "path: /somewhere/else\ntrain: ../train/images\nval: ../valid/images\nnames: [a, b]\n"
    root = write_yolo({"train/images/x": [BOX], "valid/images/y": [BOX]}, more={"data.yaml": text})
    for path in (root, root / "data.yaml"):
        train, val, _ = open_objects(path)
        assert (len(train), len(val)) == (1, 1)


def test_polygons_are_masks(write_yolo):
    root = write_yolo({"images/a": ["0 0.25 0.2 0.75 0.2 0.75 0.8 0.25 0.8"], "images/b": []})
    (whole,), _ = read(root)
    assert whole.boxes.tolist() == [[10, 6, 30, 24]]
    mask = whole.masks.masks(0, range(1), (30, 40))[0]
    assert mask[6:24, 10:30].all()
    assert mask.sum() == 18 * 20


@pytest.mark.parametrize(
    ("line", "kind", "said"),
    [
        ("1 0.5 0.5 0.2", "unreadable object", "line 2 is not a class with a box or a polygon"),
        ("dog 0.5 0.5 0.2 0.2", "unreadable object", "'dog 0.5 0.5 0.2 0.2'"),
        ("1.5 0.5 0.5 0.2 0.2", "unreadable object", "line 2"),
        ("1 nan 0.5 0.2 0.2", "box outside", "line 2"),
        ("1 200 100 20 20", "box outside", "line 2 has numbers that are not shares"),
        ("1 0.95 0.5 0.2 0.2", "box outside", "line 2 has a box from (34, 12) to (42, 18)"),
        ("1 0.5 0.5 0 0.2", "degenerate box", "a box of 0 x 6 pixels"),
        ("2 0.5 0.5 0.2 0.2", "unknown class", "line 2 has the class 2 of 2"),
        (BOX, "duplicate id", "line 2 is the same as one before"),
    ],
)
def test_wrong_lines_are_told(write_yolo, line, kind, said):
    root = write_yolo({"images/train/a": [BOX, line], "images/val/b": [BOX]}, more={"data.yaml": YAML})
    (train, _), report = read(root)
    assert report.counts == {kind: 1}
    assert report.examples[kind][0].file.endswith("labels/train/a.txt")
    assert said in report.examples[kind][0].what
    assert len(train.labels) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train: [", "is not valid YAML"),
        ("names: [a]", "does not say where the images are"),
        ("train: nowhere\nnames: [a]", "There is no "),
        ("train: images\nnames: {0: a, 2: b}", "are not numbered 0 to 1"),
        ("train: images\nnames: a", "are not a list"),
        ("train: images\nkpt_shape: [17, 3]", "has keypoints, which are not read from YOLO's files"),
        ("train: !!python/object/apply:os.getcwd []", "does not say where the images are"),
    ],
)
def test_yaml_files_that_cannot_be_used(write_yolo, text, said):
    root = write_yolo({"images/a": [BOX], "images/b": [BOX]}, more={"d.yaml": text})
    with pytest.raises(InputError, match=said):
        open_objects(root / "d.yaml")


def test_images_that_cannot_be_read_are_told(write_yolo):
    root = write_yolo({"images/a": [BOX], "images/b": [BOX]})
    (root / "images" / "b.png").write_text("no image")
    (whole,), report = read(root)
    assert report.counts == {"unreadable image": 1}
    assert len(whole.paths) == 1
