"""Penn-Fudan."""

import numpy as np
import pytest
from PIL import Image

from res2net.images.faults import AnnotationReport
from res2net.tasks.objects.formats import OBJECT_FORMATS, ObjectImages, open_objects

LABELS = ("boxes", "labels", "masks", "area")


@pytest.fixture
def root(tmp_path):
    """Two images with two people and none."""
    for folder in ("PNGImages", "PedMasks"):
        (tmp_path / folder).mkdir()
    mask = np.zeros((30, 40), dtype=np.uint8)
    for name in ("a", "b"):
        Image.new("RGB", (40, 30)).save(tmp_path / "PNGImages" / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / "PedMasks" / f"{name}_mask.png")
        mask[2:9, 3:6], mask[10:30, 30:40] = 1, 4
    return tmp_path


def test_boxes_lie_around_the_pixels_of_each_number(root):
    (annotations,) = OBJECT_FORMATS["penn_fudan"].read(root, None, AnnotationReport(root), None).values()
    target = ObjectImages(annotations, LABELS).target(1)
    assert target["boxes"].tolist() == [[3, 2, 6, 9], [30, 10, 40, 30]]
    assert target["area"].tolist() == [21, 200]
    assert target["masks"].sum((1, 2)).tolist() == [21, 200]
    assert target["labels"].tolist() == [0, 0]


def test_faults_are_told(root):
    (root / "PedMasks" / "a_mask.png").unlink()
    Image.new("L", (4, 4)).save(root / "PedMasks" / "b_mask.png")
    for name, content in (("c", "no image"), ("d", "")):
        Image.new("RGB", (40, 30)).save(root / "PNGImages" / f"{name}.png")
        (root / "PedMasks" / f"{name}_mask.png").write_text(content)
    report = AnnotationReport(root)
    (annotations,) = OBJECT_FORMATS["penn_fudan"].read(root, None, report, None).values()
    assert report.counts == {"missing mask file": 1, "wrong size": 1, "unreadable image": 2}
    assert len(annotations.paths) == 0


def test_real_masks(real_data):
    """Beside the boxes that torchvision computes from the same masks."""
    from torchvision.ops import masks_to_boxes

    train, val, _ = open_objects(real_data("penn_fudan"), LABELS)
    assert (len(train), len(val)) == (136, 34)
    assert (
        len(train.annotations.labels) == 423
    )  # the people that the data set's page tells are fewer: 345 are fully seen
    for index in range(5):
        image, target = val[index]
        assert target["masks"].shape[1:] == (image.height, image.width)
        last_pixels = target["boxes"] - target["boxes"].new_tensor([0, 0, 1, 1])
        assert last_pixels.equal(masks_to_boxes(target["masks"]))
        assert target["masks"].sum((1, 2)).equal(target["area"].long())
