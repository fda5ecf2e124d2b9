"""What annotation programs export: LabelMe, Label Studio, CVAT's YOLO 1.1, and labels beside images."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from res2net.errors import InputError
from res2net.images.faults import AnnotationReport
from res2net.tasks.objects.formats import OBJECT_FORMATS, ObjectImages, find_formats, open_objects
from res2net.tasks.objects.result import Objects

WIDTH, HEIGHT = 40, 30


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT), "grey").save(path)


def read(root):
    (name,) = find_formats(root)
    report = AnnotationReport(root)
    return OBJECT_FORMATS[name].read(root, None, report, None), report


def polygon(label, *points, **more):
    return {"label": label, "points": [list(point) for point in points], "shape_type": "polygon", **more}


def labelme(folder, name, shapes, **more):
    image(folder / f"{name}.png")
    content = {"version": "5.0", "shapes": shapes, "imagePath": f"{name}.png", "imageData": None}
    content |= {"imageHeight": HEIGHT, "imageWidth": WIDTH, **more}
    (folder / f"{name}.json").write_text(json.dumps(content))


def test_shapes_of_labelme_are_boxes_and_masks(tmp_path):
    shapes = [
        polygon("cat", (4, 5), (14, 5), (14, 15), (4, 15)),
        polygon("dog", (30, 20), (20, 10), shape_type="rectangle"),
        polygon("cat", (10, 10), (10, 14), shape_type="circle"),
        polygon("cat", (0, 0), (4, 0), (4, 4), group_id=3),
        polygon("cat", (30, 20), (36, 20), (36, 26), group_id=3),
        polygon("tip", (3, 3), shape_type="point"),
        polygon("line", (3, 3), (5, 5), shape_type="line"),
    ]
    labelme(tmp_path, "a", shapes)
    labelme(tmp_path, "b", [], imagePath="..\\photos\\b.png")
    splits, report = read(tmp_path)
    (found,) = splits.values()
    assert found.class_names == ["cat", "dog"]
    assert found.labels.tolist() == [0, 1, 0, 0]
    np.testing.assert_allclose(found.boxes, [[4, 5, 14, 15], [20, 10, 30, 20], [6, 6, 14, 14], [0, 0, 36, 26]])
    masks = ObjectImages(found, ("masks",)).target(0)["masks"]
    assert masks.sum((1, 2)).tolist()[:2] == [100, 100]
    assert [path.split("/")[-1] for path in found.paths] == ["a.png", "b.png"]
    assert report.total == 0
    assert any("1 point, 1 line" in note for note in report.remarks)


def test_folders_of_labelme_are_splits(tmp_path):
    for split, count in (("train", 3), ("test", 2)):
        for index in range(count):
            labelme(tmp_path / split, f"{split}{index}", [polygon("x", (1, 1), (9, 1), (9, 9))])
    train, val, about = open_objects(tmp_path)
    assert (len(train), len(val), about) == (3, 2, "test")


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        (polygon("", (1, 1), (9, 1), (9, 9)), "unknown class"),
        (polygon("x", (1, 1), (90, 1), (90, 9)), "bad mask"),
        (polygon("x", (1, 1), (60, 1), (60, 9)), "box outside"),
    ],
)
def test_faults_of_labelme(tmp_path, shape, kind):
    labelme(tmp_path, "a", [shape, polygon("x", (1, 1), (9, 1), (9, 9))])
    _, report = read(tmp_path)
    assert report.counts == {kind: 1}


def task(name, results, short=False):
    values = [
        {"type": kind, "original_width": WIDTH, "original_height": HEIGHT, "value": {**value, kind: [label]}}
        for kind, label, value in results
    ]
    if not short:
        return {"id": 1, "data": {"image": name}, "annotations": [{"result": values}]}
    flat = [{**one["value"], "original_width": WIDTH, "original_height": HEIGHT} for one in values]
    return {"id": 1, "image": name, "label": flat}


BOX = {"x": 10, "y": 20, "width": 50, "height": 40, "rotation": 0}


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize(
    "name",
    ["/data/upload/7/1a2b3c4d-a.png", "/data/local-files/?d=images/a.png", "s3://bucket/x/a.png", "images\\a.png"],
)
def test_boxes_of_label_studio_are_percent(tmp_path, short, name):
    image(tmp_path / "images" / "a.png")
    tasks = [task(name, [("rectanglelabels", "Dog ", BOX)], short)]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    for path in (tmp_path, tmp_path / "export.json"):
        splits, report = read(path)
        (found,) = splits.values()
        assert report.total == 0
        assert found.class_names == ["Dog"]
        np.testing.assert_allclose(found.boxes, [[4, 6, 24, 18]])


def test_polygons_and_rotated_boxes_of_label_studio(tmp_path):
    image(tmp_path / "a.png")
    triangle = {"points": [[0, 0], [50, 0], [50, 50]]}
    (tmp_path / "export.json").write_text(json.dumps([task("a.png", [("polygonlabels", "x", triangle)])]))
    splits, _ = read(tmp_path)
    np.testing.assert_allclose(splits[""].boxes, [[0, 0, 20, 15]])
    assert splits[""].masks is not None
    turned = {"x": 50, "y": 10, "width": 25, "height": 20, "rotation": 90}
    brush = {"format": "rle", "rle": [1]}
    results = [("rectanglelabels", "x", turned), ("brushlabels", "x", brush)]
    (tmp_path / "export.json").write_text(json.dumps([task("a.png", results)]))
    splits, report = read(tmp_path)
    np.testing.assert_allclose(splits[""].boxes, [[14, 3, 20, 13]], atol=1e-5)
    assert [word in " ".join(report.remarks) for word in ("1 boxes", "1 brushlabels")] == [True, True]


def test_the_yolo_of_cvat(tmp_path):
    for split, count in (("train", 3), ("valid", 2)):
        names = [f"obj_{split}_data/{split} {index}" for index in range(count)]
        for name in names:
            image(tmp_path / f"{name}.PNG")
            (tmp_path / f"{name}.txt").write_text("1 0.5 0.5 0.5 0.5\n")
        (tmp_path / f"{split}.txt").write_text("".join(f"data/{name}.PNG\n" for name in names))
    (tmp_path / "obj.names").write_text("cat\ndog\n")
    (tmp_path / "obj.data").write_text(
        "classes = 2\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\nbackup = backup/\n"
    )
    splits, report = read(tmp_path)
    assert {split: len(found.paths) for split, found in splits.items()} == {"train": 3, "valid": 2}
    assert splits["train"].class_names == ["cat", "dog"]
    assert splits["valid"].boxes.tolist() == [[10, 7.5, 30, 22.5]] * 2
    assert (report.total, report.remarks) == (0, [])


def test_the_yolo_that_predictions_are_saved_as(tmp_path):
    image(tmp_path / "a.png")
    image(tmp_path / "b.png")
    boxes, labels = torch.tensor([[4.0, 6, 24, 18], [0, 0, 10, 10]]), torch.tensor([1, 0])
    found = Objects(boxes, labels, ("cat", "dog"), torch.tensor([0.9, 0.75]))
    found.attach_input(lambda: Image.open(tmp_path / "a.png"))
    found.save_as("yolo", tmp_path / "a")
    splits, report = read(tmp_path)
    np.testing.assert_allclose(splits[""].boxes, boxes, atol=1e-4)
    assert (splits[""].labels.tolist(), splits[""].class_names, report.total) == ([1, 0], ["cat", "dog"], 0)
    assert [word in " ".join(report.remarks) for word in ("scores", "1 of 2 images have no label file")] == [True, True]


def test_yolo_labels_beside_images(tmp_path):
    for name in ("train/a", "train/b", "val/c"):
        image(tmp_path / f"{name}.jpg")
        (tmp_path / f"{name}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "classes.txt").write_text("cat\n")
    train, val, _ = open_objects(tmp_path)
    assert (len(train), len(val), train.class_names) == (2, 1, ["cat"])


@pytest.mark.parametrize("folders", [("", ""), ("train", "valid")])
def test_voc_files_beside_images(tmp_path, voc_xml, folders):
    for index, folder in enumerate([*folders, *folders]):
        image(tmp_path / folder / f"{index}.JPG")
        xml = voc_xml([(("cat", "dog")[index % 2], (1, 1, 9, 9), False)])
        (tmp_path / folder / f"{index}.xml").write_text(xml)
    splits, report = read(tmp_path)
    assert {split: len(found.paths) for split, found in splits.items()} == (
        {"train": 2, "valid": 2} if folders[0] else {"": 4}
    )
    assert report.total == 0
    assert all(found.class_names == ["cat", "dog"] for found in splits.values())


def test_a_list_of_darknet_that_is_not_there(tmp_path):
    (tmp_path / "obj.data").write_text("classes = 1\ntrain = data/train.txt\n")
    with pytest.raises(InputError, match=r"names the file 'train.txt' is not in .*: fix `train`"):
        open_objects(tmp_path)
