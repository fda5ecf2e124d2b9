"""COCO panoptic."""

import numpy as np
import pytest
from PIL import Image

from res2net.images import open_source
from res2net.images.faults import AnnotationReport
from res2net.images.samples import UNLABELLED
from res2net.tasks.objects.formats import OBJECT_FORMATS, find_formats, open_objects, read_objects

LABELS = ("boxes", "labels", "masks", "semantic", "crowd", "area")


def test_things_are_objects_and_stuff_is_semantic(write_panoptic):
    root, ids = write_panoptic()
    assert find_formats(root) == ["coco_panoptic"]
    train, _, _ = open_objects(root, LABELS)
    assert train.class_names == ["bicycle", "boat"]
    assert train.stuff_names == ["grass", "sky"]
    image, target = train[0]
    assert image.size == (40, 30)
    assert target["boxes"].tolist() == [[5, 12, 9, 18], [20, 12, 39, 18]]
    assert target["labels"].tolist() == [1, 0]
    assert target["crowd"].tolist() == [False, True]
    assert target["area"].tolist() == [24, 114]
    assert np.array_equal(target["masks"].numpy(), [ids == 5, ids == 2**24 - 1])
    expected = np.full(ids.shape, UNLABELLED)
    expected[ids == 70_000], expected[ids == 300] = 1, 0
    assert np.array_equal(target["semantic"].numpy(), expected)


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (lambda c: c["annotations"][0].update(file_name="b.png"), "missing mask file", "the mask 'b.png' is not in"),
        (lambda c: c["annotations"].clear(), "missing mask file", "image 4 has no annotation"),
        (lambda c: c["annotations"][0].update(image_id=5), "unknown image", "has the image 5"),
        (lambda c: c["annotations"].append(c["annotations"][0]), "duplicate id", "two annotations have the image 4"),
        (lambda c: c["annotations"][0].pop("segments_info"), "unreadable object", "has no list of segments"),
        (lambda c: c["annotations"][0]["segments_info"][1].update(id=300), "duplicate id", "segments of image 4"),
        (lambda c: c["annotations"][0]["segments_info"][1].update(id=0), "unreadable object", "has the id 0"),
        (lambda c: c["annotations"][0]["segments_info"][1].update(category_id=[]), "unknown class", "the category []"),
        (lambda c: c["annotations"][0]["segments_info"][1].update(bbox=[5, 12, 0, 6]), "degenerate box", "0 x 6"),
    ],
)
def test_faults_are_told(write_panoptic, change, kind, said):
    root, _ = write_panoptic(change)
    report = AnnotationReport(root)
    OBJECT_FORMATS["coco_panoptic"].read(root, None, report, None).values()
    assert report.counts[kind] == 2  # in both splits
    assert any(said in str(fault) for fault in report.examples[kind])


def test_a_mask_file_of_another_size_is_bad(write_panoptic):
    root, _ = write_panoptic()
    Image.new("RGB", (4, 4)).save(root / "annotations" / "panoptic_train2017" / "a.png")
    train, val, _ = open_objects(root, LABELS)
    with pytest.raises(ValueError, match=r"a.png: it has 4 x 4 pixels, and its image has 40 x 30"):
        train[0]
    val[0]


def test_a_source_knows_its_stuff(write_panoptic):
    root, _ = write_panoptic()
    source = open_source(root, labels=("boxes", "labels", "masks", "semantic"), reader=read_objects)
    assert (list(source.class_names), list(source.stuff_names)) == (["bicycle", "boat"], ["grass", "sky"])
    assert (list(source.category_ids), list(source.stuff_category_ids)) == ([2, 9], [94, 187])
