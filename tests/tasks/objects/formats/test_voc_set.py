"""PASCAL VOC."""

import pytest

from res2net.images import DataSettings
from res2net.images.faults import AnnotationReport
from res2net.tasks.objects.formats import OBJECT_FORMATS, find_formats, open_objects
from res2net.tasks.objects.formats.voc import parse_xml

LAUGHS = (
    """<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;">]><annotation><object><name>&c;</name></object></annotation>"""
)
OUTSIDE = """<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><annotation>&b;</annotation>"""


@pytest.fixture
def xml(voc_xml):
    return voc_xml([("dog", (1, 1, 40, 30), False), ("cat", (3, 5, 10, 20), True)])


def test_boxes_are_counted_from_one_and_include_their_last_pixel(write_voc, xml):
    root = write_voc({"trainval": {"000001": xml}, "test": {"000002": xml}})
    train, val, _ = open_objects(root, ("boxes", "labels", "difficult"))
    _, target = val[0]
    assert target["boxes"].tolist() == [[0, 0, 40, 30], [2, 4, 10, 20]]
    assert [train.class_names[label] for label in target["labels"]] == ["dog", "cat"]
    assert target["difficult"].tolist() == [False, True]
    assert train.class_names == ["cat", "dog"]


def names(images):
    return [path.split("/")[-1].removesuffix(".jpg") for path in images.paths]


def test_the_test_of_2007_validates_and_both_years_train(write_voc, xml):
    write_voc({"train": {"a": xml}, "val": {"b": xml}, "trainval": {"a": xml, "b": xml}, "test": {"c": xml}})
    root = write_voc({"train": {"d": xml}, "val": {"e": xml}, "trainval": {"d": xml, "e": xml}}, year="VOC2012")
    train, val, _ = open_objects(root)
    assert (names(train), names(val)) == (["a", "b", "d", "e"], ["c"])
    train, val, _ = open_objects(root / "VOC2012")
    assert (names(train), names(val)) == (["d"], ["e"])
    assert find_formats(root.parent) == ["voc"]


def test_a_set_without_lists_is_split_and_has_the_classes_that_occur(write_voc, voc_xml):
    named = {name: voc_xml([(name, (1, 1, 9, 9), False)]) for name in ("wolf", "yak", "bear", "emu")}
    root = write_voc({"train": named})
    (root / "VOC2007" / "ImageSets" / "Main" / "train.txt").unlink()
    train, val, _ = open_objects(root, settings=DataSettings(val_fraction=0.25))
    assert (len(train), len(val)) == (3, 1)
    assert train.class_names == ["bear", "emu", "wolf", "yak"]


def test_a_size_of_zero_is_looked_up(write_voc, voc_xml):
    unsized = voc_xml([("dog", (1, 1, 40, 30), False)], size=(0, 0))
    root = write_voc({"train": {"a": unsized}, "val": {"b": unsized}})
    train, _ = OBJECT_FORMATS["voc"].read(root, None, AnnotationReport(root), None).values()
    assert train.sizes.tolist() == [[30, 40]]


@pytest.mark.parametrize("content", [LAUGHS, OUTSIDE])
def test_entities_are_not_expanded(content):
    with pytest.raises(ValueError, match="it declares a document type, which is not read"):
        parse_xml(content.encode("utf-16"))


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (LAUGHS, "unreadable file", "declares a document type"),
        ("<annotation><object>", "unreadable file", "it is not valid XML: no element found"),
        ("", "unreadable file", "it is not valid XML: no element found"),
        ("<annotation><object><name>dog</name></object></annotation>", "degenerate box", "object 0 (dog) has no box"),
        ("<annotation><object><bndbox/></object></annotation>", "unknown class", "object 0 has no name"),
    ],
)
def test_broken_files_are_told(write_voc, xml, content, kind, said):
    root = write_voc({"train": {"a": xml, "b": content}, "val": {"c": xml}})
    report = AnnotationReport(root)
    train, _ = OBJECT_FORMATS["voc"].read(root, None, report, None).values()
    assert report.counts == {kind: 1}
    assert report.examples[kind][0].file.endswith("b.xml")
    assert said in report.examples[kind][0].what
    assert len(train.labels) == 2


def test_missing_files_are_told(write_voc, xml):
    root = write_voc({"train": {"a": xml, "b": xml, "c": xml}, "val": {"d": xml}})
    (root / "VOC2007" / "JPEGImages" / "a.jpg").unlink()
    (root / "VOC2007" / "Annotations" / "b.xml").unlink()
    report = AnnotationReport(root)
    train, _ = OBJECT_FORMATS["voc"].read(root, None, report, None).values()
    assert report.counts == {"missing image": 1, "unreadable file": 1}
    assert "'b' is not in" in report.examples["unreadable file"][0].what
    assert len(train.paths) == 1
