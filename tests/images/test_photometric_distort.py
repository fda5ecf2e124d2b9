"""SSD's change of colours: that of torchvision, within the published ranges."""

import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from res2net.images.joint_transforms import ObjectAugment, color_changes, object_train_transform
from res2net.weights import Preprocessing


def test_it_is_that_of_torchvision_and_nothing_moves():
    look = Preprocessing(size=20, crop=1.0, mean=(0, 0, 0), std=(1, 1, 1))
    transform = object_train_transform(look, ObjectAugment(flip=0.0, photometric_distort=0.5))
    image = torch.randint(256, (3, 20, 30), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    boxes = tv_tensors.BoundingBoxes([[1.0, 2, 9, 8]], format="XYXY", canvas_size=(20, 30))
    changed = 0
    for seed in range(8):
        torch.manual_seed(seed)
        seen, target = transform.finish(*transform.geometry(image, {"boxes": boxes}))
        assert target["boxes"].tolist() == [[1, 2, 9, 8]]
        torch.manual_seed(seed)
        transform.geometry(image, {"boxes": boxes})  # it draws as well
        expected = v2.RandomPhotometricDistort()(tv_tensors.Image(image))
        assert torch.equal((seen * 255).round().byte(), expected)
        changed += not torch.equal(expected, image)
    assert changed > 4


def test_brightness_is_within_the_range_of_ssd():
    """Nothing else can be seen of an even grey: no contrast, no colour, no order of channels."""
    change = color_changes(3, 0.0, 1.0)
    values = [float(change(tv_tensors.Image(torch.full((3, 8, 8), 0.4)))[0, 0, 0]) for _ in range(200)]
    assert 0.4 * 0.875 - 1e-4 < min(values) < 0.37
    assert 0.43 < max(values) < 0.4 * 1.125 + 1e-4


def test_both_changes_and_none():
    image = torch.rand(1, 8, 8)
    assert len(color_changes(1, 0.2, 0.5).transforms) == 2
    assert color_changes(1, 0.2, 0.5)(image).shape == (1, 8, 8)
    assert color_changes(5, 0.0, 0.0) is None
    with pytest.raises(ValueError, match="photometric_distort needs 1 or 3 channels"):
        color_changes(5, 0.0, 0.5)
