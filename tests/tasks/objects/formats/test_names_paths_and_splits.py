"""Splits of any name, names of classes as they are written, and paths of other programs, in every format."""

import json
import unicodedata

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from res2net.engine.data_tools import open_parts
from res2net.errors import InputError
from res2net.images import open_source
from res2net.images.faults import AnnotationReport
from res2net.images.splits import DataSettings
from res2net.tasks.objects.data_tools import ObjectsPart
from res2net.tasks.objects.formats import OBJECT_FORMATS, find_formats, open_objects
from res2net.tasks.objects.formats.open import read_objects

BOX = "1 0.5 0.5 0.25 0.2"


def read(root):
    (name,) = find_formats(root)
    report = AnnotationReport(root)
    return OBJECT_FORMATS[name].read(root, None, report, None), report


def counts(splits):
    return {split: len(found.paths) for split, found in splits.items()}


@pytest.mark.parametrize(
    "pair", [("train", "eval"), ("trainval", "test"), ("train2014", "minival2014"), ("a_train", "x")]
)
def test_every_file_of_coco_is_a_split(content, write_coco, pair):
    write_coco(f"instances_{pair[0]}.json", images=pair[0])
    content["images"], content["annotations"] = content["images"][:2], content["annotations"][:2]
    root = write_coco(f"instances_{pair[1]}.json", images=pair[1])
    splits, _ = read(root)
    assert counts(splits) == {pair[0]: 3, pair[1]: 2}
    if pair[1] == "x":
        with pytest.raises(InputError, match=r"\(a_train, x\) do not state which one .*--val-split"):
            open_objects(root)
    train, val, _ = open_objects(root, settings=DataSettings(val_split=pair[1]))
    assert (len(train), len(val)) == (3, 2)


def test_classes_that_a_split_of_coco_leaves_out_are_kept(content, write_coco):
    write_coco("instances_train.json", images="train")
    content["categories"] = content["categories"][1:]
    content["annotations"] = content["annotations"][1:]
    root = write_coco("instances_val.json", images="val")
    for settings in (DataSettings(), DataSettings(evaluate=True)):
        _, val, _ = open_objects(root, settings=settings)
        assert val.class_names == ["ant", "zebra"]
        assert list(val.annotations.category_ids) == [3, 50]
    assert any("does not list zebra" in remark for remark in read(root)[1].remarks)


@pytest.mark.parametrize("text", ["", '{"images": [{"id": 1,'])
def test_a_split_of_coco_whose_file_is_cut_off_is_refused_if_it_is_chosen(content, write_coco, text):
    root = write_coco("instances_train.json", images="train")
    (root / "annotations" / "val.json").write_text(text)
    with pytest.raises(InputError, match=r"1 unreadable file; .*val\.json: it is not valid JSON"):
        open_objects(root)
    assert len(open_objects(root, settings=DataSettings(evaluate=True, split="train"))[1]) == 3


@pytest.mark.parametrize("kind", [str, float])
def test_ids_that_are_texts_or_have_a_point_are_whole_numbers(content, write_coco, kind):
    plain = open_objects(write_coco(), settings=DataSettings(evaluate=True))[1].annotations
    for entry in (*content["images"], *content["annotations"], *content["categories"]):
        entry |= {key: kind(entry[key]) for key in ("id", "image_id", "category_id", "height") if key in entry}
    root, report = write_coco(), AnnotationReport("")
    found = open_objects(root, settings=DataSettings(evaluate=True), report=report)[1].annotations
    for name in ("image_ids", "labels", "category_ids", "boxes", "sizes"):
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))
    assert any("are read as whole numbers" in remark for remark in report.remarks)


def test_data_that_lack_classes_or_have_another_order_get_those_of_the_training(content, write_coco):
    images = open_objects(write_coco(), settings=DataSettings(evaluate=True))[1]
    changed = images.with_classes(["zebra", "yak", "ant"])
    assert changed.class_names == ["zebra", "yak", "ant"]
    assert list(changed.annotations.category_ids) == [50, 51, 3]
    for index in range(3):
        names = [[one.class_names[label] for label in one.target(index)["labels"]] for one in (images, changed)]
        assert names[0] == names[1]


@pytest.mark.parametrize("names", [("part", "part"), ("", ""), ("a", "A")])
def test_two_classes_of_one_name_stay_two(content, write_coco, names):
    for category, name in zip(content["categories"], names, strict=True):
        category["name"] = name
    root = write_coco()
    splits, _ = read(root)
    assert sorted(splits["default"].class_names) == sorted(names)
    table = ObjectsPart(root, "coco").count_tables(None)[1]
    assert sorted(row[1] for row in table.rows) == [1, 2]


@pytest.mark.parametrize("folders", ["images/{}/x", "{}/images/x"])
def test_folders_of_yolo_of_any_name_are_splits(write_yolo, folders):
    names = ("train", "minival", "holdout2")
    root = write_yolo({folders.format(name): [BOX] for name in names})
    assert counts(read(root)[0]) == dict.fromkeys(names, 1)


def test_folders_of_yolo_that_are_no_splits_are_one(write_yolo):
    root = write_yolo({f"images/camera{index}/x": [BOX] for index in range(3)})
    assert counts(read(root)[0]) == {"": 3}


YAML = "path: .\ntrain: images/train\nval: images/val\ntest: images/test  # optional\nnames: [cat, dog]\n"


def test_a_stated_split_is_used_or_refused(write_yolo):
    root = write_yolo({"images/train/a": [BOX], "images/val/b": [BOX]}, more={"data.yaml": YAML})
    splits, report = read(root)
    assert counts(splits) == {"train": 1, "val": 1}
    assert any("There is no" in remark and "`test`" in remark for remark in report.remarks)
    with pytest.raises(InputError, match=r"There is no .*images/test, where .*data.yaml has images: fix"):
        open_objects(root, settings=DataSettings(evaluate=True, split="test"))
    (root / "images" / "test").mkdir()
    with pytest.raises(InputError, match=r"No image .* is left in .* test"):
        open_objects(root, settings=DataSettings(evaluate=True, split="test"))
    for kind in ("images", "labels"):
        (root / kind / "val").rename(root / kind / "other")
    with pytest.raises(InputError, match=r"There is no .*images/val"):
        open_objects(root)
    (root / "data.yaml").write_text(YAML + "minival: images/other\nauthor: me\n")
    train, val, about = open_objects(root, settings=DataSettings(val_split="minival"))
    assert (len(train), len(val), about) == (1, 1, "minival")


def test_lists_that_name_fewer_images_are_mentioned_by_the_check(write_yolo, write_voc, voc_xml):
    root = write_yolo(
        {f"images/{name}": [BOX] for name in "abcd"}, more={"data.yaml": "train: t.txt\nval: v.txt\nnames: [x, y]\n"}
    )
    (root / "t.txt").write_text("images/a.png\r\nimages/b.png\r\n")
    (root / "v.txt").write_text("\ufeffimages/c.png\n", encoding="utf-8")
    assert counts(read(root)[0]) == {"train": 2, "val": 1}
    assert any("1 of 4 images" in note and "d.png" in note for note in ObjectsPart(root, "yolo").notes)
    xml = voc_xml([("dog", (1, 1, 40, 30), False)])
    root = write_voc({"train": {"a": xml, "b": xml}, "minival": {"c": xml}, "extra": {"d": xml}})
    (root / "VOC2007" / "ImageSets" / "Main" / "extra.txt").unlink()
    (root / "VOC2007" / "ImageSets" / "Main" / "dog_train.txt").write_text("a  1\nb -1\n")
    assert counts(read(root)[0]) == {"train": 2, "minival": 1}
    assert any("1 of 4 images" in note and "d.jpg" in note for note in ObjectsPart(root, "voc").notes)


def test_images_of_two_splits_are_found_by_the_check(write_voc, voc_xml):
    xml = voc_xml([("dog", (1, 1, 40, 30), False)])
    files = {"train": {"a": xml, "b": xml}, "val": {"b": xml, "c": xml}, "trainval": {"a": xml, "b": xml, "c": xml}}
    report = ObjectsPart(write_voc(files), "voc").report
    assert report.counts == {"image of both splits": 1}
    assert report.examples["image of both splits"][0].what == "it is in train and in val"


def test_a_list_of_voc_without_annotations_is_no_split(write_voc, voc_xml):
    xml = voc_xml([("dog", (1, 1, 40, 30), False)])
    root = write_voc({"train": {"a": xml}, "val": {"b": xml}})
    (root / "VOC2007" / "ImageSets" / "Main" / "test.txt").write_text("c\nd\n")
    splits, report = read(root)
    assert counts(splits) == {"train": 1, "val": 1}
    assert any("test.txt have no annotations" in remark for remark in report.remarks)


def test_an_empty_list_of_voc_is_refused_if_it_is_chosen(write_voc, voc_xml):
    root = write_voc({"train": {"a": voc_xml([("dog", (1, 1, 40, 30), False)])}, "val": {}})
    assert counts(read(root)[0]) == {"train": 1, "val": 0}
    with pytest.raises(InputError, match=r"No image .* is left in .* val"):
        open_objects(root)


def test_folders_of_voc_in_any_case(write_voc, voc_xml):
    root = write_voc({"train": {"a": voc_xml([("dog", (1, 1, 40, 30), False)])}}) / "VOC2007"
    (root / "JPEGImages").rename(root / "images")
    (root / "Annotations").rename(root / "annotations")
    assert counts(read(root)[0]) == {"train": 1}


@pytest.mark.parametrize("names", [["dog", "cat"], ["person"], ["wolf", "cat"]])
def test_classes_of_voc_are_those_that_occur_or_are_listed(write_voc, voc_xml, names):
    files = {name: voc_xml([(name, (1, 1, 40, 30), False)]) for name in names}
    root = write_voc({"train": files, "val": {"v": files[names[0]]}})
    for settings in (DataSettings(), DataSettings(evaluate=True)):
        assert open_objects(root, settings=settings)[1].class_names == sorted(names)
    (root / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\n"
        + "".join(f"{name}:1,2,3::\n" for name in [*names, "yak"])
    )
    assert open_objects(root)[1].class_names == [*names, "yak"]
    (root / "labelmap.txt").write_text("yak:1,2,3::\n")
    assert open_objects(root)[1].class_names == sorted(names)


@pytest.mark.parametrize("name", ["no", "on", "1", "1e3", "2020-01-01", "null", "1:30", "cañon"])
def test_names_of_yolo_stay_names(write_yolo, name):
    text = f"train: images/train\nval: images/val\nnc: 2\nnames: [{name}, b]\n"
    root = write_yolo({"images/train/a": [BOX], "images/val/b": [BOX]}, more={"data.yaml": text})
    assert open_objects(root)[0].class_names == [name, "b"]
    (root / "data.yaml").write_bytes(
        f"train: images/train\r\nval: images\\val\r\nnames:\r\n  0: {name}\r\n  1: b\r\n".encode("utf-16")
    )
    assert open_objects(root)[0].class_names == [name, "b"]
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_bytes(f"{name}  \r\nb\r\n".encode("utf-8-sig"))
    assert open_objects(root)[0].class_names == [name, "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nc: 3\nnames: [a, b]", "has `nc: 3` and 2 names"),
        ("names: {0: a, 0: b}", "the key '0' stands twice"),
        ("names: [a, {b: c}]", "which is not a name"),
        ("names: [a, [b]]", "which is not a name"),
        ("names:\n- a\n-\n", "Name 1 in .* is empty"),
    ],
)
def test_names_that_are_not_certain_are_refused(write_yolo, text, message):
    root = write_yolo(
        {"images/train/a": [BOX], "images/val/b": [BOX]},
        more={"data.yaml": f"train: images/train\nval: images/val\n{text}\n"},
    )
    with pytest.raises(InputError, match=message):
        open_objects(root)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_are_one_in_both_forms_of_unicode(write_voc, write_coco, content, voc_xml, form):
    name = unicodedata.normalize(form, "Löwe")
    files = {str(index): voc_xml([(one, (1, 1, 9, 9), False)]) for index, one in enumerate([name, "L\u00f6we"])}
    (found,) = read(write_voc({"train": files}))[0].values()
    assert found.class_names == ["L\u00f6we"]
    content["categories"][0]["name"] = name
    assert read(write_coco())[0]["default"].class_names == ["ant", "L\u00f6we"]


def test_labels_of_another_program_are_no_yolo(write_yolo):
    root = write_yolo({"images/a": None, "images/b": None})
    assert find_formats(root) == ["yolo"]  # they are missing
    (root / "labels" / "a.xml").write_text("<annotation/>")
    assert find_formats(root) == []


def test_an_empty_line_among_names_is_refused(write_yolo):
    root = write_yolo({"images/train/a": [BOX], "images/val/b": [BOX]}, more={"classes.txt": "cat\n\ndog\n\n"})
    with pytest.raises(InputError, match=r"classes.txt: line 2 is empty"):
        open_objects(root)


@pytest.mark.parametrize(
    "folder", ["train", "training", "images/train2017", "photos", "images/photos", "data", "Train"]
)
def test_images_of_coco_in_any_folder_but_that_of_another_split(write_coco, folder):
    root = write_coco("train.json", images=folder)
    (root / "val").mkdir()
    (root / "val" / "7.png").write_bytes((root / folder / "7.png").read_bytes())
    splits, report = read(root)
    assert (counts(splits), report.total, report.remarks) == ({"train": 3}, 0, [])
    assert {path.rsplit("/", 1)[0] for path in splits["train"].paths} == {str(root / folder)}
    (root / folder).rename(root / "test")
    assert read(root)[1].counts == {"missing image": 3}


FORMS = [
    "./{}",
    "../train/{}",
    "train/{}",
    "train\\{}",
    "C:\\data\\train\\{}",
    "{root}/train/{}",
    "/old/train/{}",
    "{}%20b",
]


@pytest.mark.parametrize("form", FORMS)
def test_paths_of_any_program_lead_to_images_of_coco(content, write_coco, form):
    root = write_coco("instances_train.json", images="train")
    for image in content["images"]:
        if "%20" in form:
            path = root / "train" / image["file_name"]
            path.rename(path.with_name(f"{image['id']} b.PNG"))
        written = form.format(image["file_name"], root=root)
        image["file_name"] = f"{image['id']}%20b.png" if "%20" in form else written
    (root / "annotations" / "instances_train.json").write_text(json.dumps(content))
    splits, report = read(root)
    assert (counts(splits), report.total) == ({"train": 3}, 0)


@pytest.mark.parametrize(
    "form", ["images\\train\\{}", "./images/train/{}", "{root}/images/train/{}", "D:/x/images/train/{}"]
)
def test_paths_of_any_program_lead_to_images_of_yolo(write_yolo, form):
    root = write_yolo(
        {f"images/train/{name}": [BOX] for name in "ab"}, more={"data.yaml": "train: lists\\train.txt\nnames: [x, y]\n"}
    )
    (root / "lists").mkdir()
    lines = [form.format(f"{name}.png", root=root) for name in "ab"]
    (root / "lists" / "train.txt").write_text("\r\n".join(lines))
    splits, report = read(root)
    assert (counts(splits), report.total, len(splits["train"].labels)) == ({"train": 2}, 0, 2)


def test_an_image_that_is_listed_and_not_there_or_outside_is_refused(write_yolo):
    root = write_yolo({"images/a": [BOX], "images/b": [BOX]}, more={"data.yaml": "train: train.txt\nnames: [x, y]\n"})
    (root.parent / "outside.png").write_bytes((root / "images" / "a.png").read_bytes())
    for line, message in (("images/c.png", "is not in"), ("../outside.png", "is outside of the data folder")):
        (root / "train.txt").write_text(f"images/a.png\nimages/b.png\n{line}\n")
        with pytest.raises(InputError, match=f"1 missing image; .* {message}"):
            open_objects(root)


@pytest.mark.parametrize("labelled", [0, 1])
def test_sets_without_objects_say_so_before_training_and_in_the_check(write_yolo, labelled):
    lines = None if not labelled else []
    root = write_yolo({f"images/{split}/{split}": lines for split in ("train", "val")}, more={"data.yaml": YAML})
    with pytest.raises(InputError, match=r"none of 2 images has a label file" if not labelled else "not one object"):
        open_objects(root)
    part = ObjectsPart(root, "yolo")
    assert part.report.counts["no objects"] == 2
    assert part.report.counts["missing labels"] == 1 - labelled


def test_every_class_is_on_the_sheet(write_yolo):
    rare = {7: "1 0.5 0.5 0.2 0.2", 8: "2 0.5 0.5 0.2 0.2"}
    root = write_yolo({f"images/{index}": [rare.get(index, "0 0.5 0.5 0.2 0.2")] for index in range(10)})
    shown = {caption.partition("\n")[0] for _, caption in ObjectsPart(root, "yolo").images(3)}
    assert len(shown) == 3
    assert {"7.png", "8.png"} < shown


def test_truncated_images_are_found_by_the_check(write_yolo):
    root = write_yolo({f"images/{name}": [BOX] for name in "abc"})
    noise = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(root / "images" / "b.png")
    whole = (root / "images" / "b.png").read_bytes()
    (root / "images" / "b.png").write_bytes(whole[: len(whole) // 2])
    part = ObjectsPart(root, "yolo")
    part.inspect(Console(quiet=True))
    report = part.report
    assert report.counts == {"unreadable image": 1}
    assert report.examples["unreadable image"][0].file.endswith("b.png")


def test_encodings_that_are_assumed_are_told(write_yolo):
    root = write_yolo({f"images/train/{name}": [BOX] for name in "abc"})
    (root / "data.yaml").write_bytes("train: images/train\nnames: [Größe, b]\n".encode("cp1252"))
    note = f"The text of {root / 'data.yaml'} is not UTF-8, and taken for Windows-1252"
    source = open_source(root, labels=("boxes", "labels"), reader=read_objects)
    assert source.class_names[0] == "Größe"
    assert any(one.startswith(note) for one in source.notes)
    assert any(one.startswith(note) for one in open_parts(str(root))[0].notes)


def test_what_a_yolo_file_does_not_name_is_told(write_yolo):
    yaml = "train: images/train\nval: images/val\nnames: [a, b]\n"
    folders = {"train": "ab", "val": "cd", "extra": "ef"}
    files = {f"images/{split}/{name}": [BOX] for split, names in folders.items() for name in names}
    root = write_yolo(files, more={"data.yaml": yaml, "other.yaml": yaml})
    (part,) = open_parts(str(root))
    notes = "\n".join(part.notes)
    assert f"2 of 2 images in {root / 'images' / 'extra'} are in no split" in notes
    assert f"{root / 'data.yaml'} describes the data set, and {root / 'other.yaml'} is not used." in notes


def test_an_empty_split_is_among_the_problems(write_yolo):
    yaml = "train: images/train\nval: images/val\nnames: [a, b]\n"
    root = write_yolo({f"images/train/{name}": [BOX] for name in "abc"}, more={"data.yaml": yaml})
    (root / "images" / "val").mkdir()
    (part,) = open_parts(str(root))
    assert part.report.counts == {"missing labels": 1}
    assert "the split val has nothing that can be used" in str(part.report.examples)
