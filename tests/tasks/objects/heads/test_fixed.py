"""Detectors of one size of images: what lies beside an image is no part of what is found in it."""

import pytest
import torch
import torch.nn.functional as F

from res2net.errors import InputError
from res2net.tasks.objects.heads.fixed import FixedDetector

NAMES = ("boxes", "scores", "labels", "masks")


class Said(torch.nn.Module):
    """Not a network: it finds the same in every image, and keeps what it saw."""

    def __init__(self, *outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, images):
        self.seen = images
        return [torch.stack([output] * len(images)) for output in self.outputs]


@pytest.fixture
def fixed():
    """A detector for images of 64 x 96 that finds four objects, and whose last place is empty."""
    boxes = torch.tensor([[10.0, 5, 30, 25], [30, 20, 60, 40], [50, 10, 70, 30], [0, 0, 90, 60], [0, 0, 0, 0]])
    column = torch.linspace(0, 1, 28).expand(28, 28)
    masks = torch.stack([column, column.T, column, torch.ones(28, 28), torch.zeros(28, 28)])
    outputs = boxes, torch.tensor([0.9, 0.8, 0.7, 0.6, 0]), torch.tensor([1, 0, 1, 2, 0]), masks
    return FixedDetector(Said(*outputs), (64, 96), 3, NAMES)


def test_images_that_fill_the_size_get_what_the_network_says(fixed):
    images = torch.rand(2, 3, 64, 96)
    for found in fixed.detect(images, [(64, 96)] * 2):
        for name, said in zip(NAMES, fixed.network.outputs, strict=True):
            assert torch.equal(found[name], said[:4])
    assert torch.equal(fixed.network.seen, images)


@pytest.mark.parametrize("shape", [(32, 64), (64, 96), (96, 128)])
def test_the_network_sees_zeros_beside_a_image(fixed, shape):
    """Also where a batch has fewer or more of them than the size needs."""
    image = torch.rand(1, 3, 30, 50)
    fixed.detect(F.pad(image, (0, shape[1] - 50, 0, shape[0] - 30)), [(30, 50)])
    assert fixed.network.seen.shape == (1, 3, 64, 96)
    assert torch.equal(fixed.network.seen[..., :30, :50], image)
    assert fixed.network.seen.count_nonzero() == image.count_nonzero()


def test_what_is_found_ends_at_the_border(fixed):
    whole, part = fixed.detect(torch.rand(2, 3, 64, 96), [(64, 96), (30, 50)])
    assert len(whole["boxes"]) == 4
    assert part["boxes"].tolist() == [[10, 5, 30, 25], [30, 20, 50, 30], [0, 0, 50, 30]]  # nothing is left of the third
    assert part["labels"].tolist() == [1, 0, 2]
    assert torch.equal(part["scores"], whole["scores"][[0, 1, 3]])
    assert torch.equal(part["masks"][0], whole["masks"][0])  # a box that is not cut


def test_masks_are_those_of_the_part_that_is_left(fixed):
    _, part = fixed.detect(torch.rand(2, 3, 64, 96), [(64, 96), (30, 50)])
    # The second mask grows from the top, 0, to the bottom, 1, of a box of which the upper half is left.
    rows = part["masks"][1]
    torch.testing.assert_close(rows, rows[:, :1].expand(28, 28))
    halves = torch.arange(28) / 2 + 0.25 - 0.5  # centres of the new rows, in rows of the old mask
    torch.testing.assert_close(rows[:, 0], (halves / 27).clamp(min=0), atol=1e-5, rtol=0)


def test_key_points_lie_in_the_image():
    """As those of a detector that looks into boxes which end with the image."""
    boxes, scores = torch.tensor([[10.0, 5, 80, 45], [60, 40, 90, 60]]), torch.tensor([0.9, 0.8])
    points = torch.tensor([[[20.5, 10.5], [70.5, 20.5], [40.5, 44.5]], [[61.5, 41.5]] * 3])
    said = boxes, scores, torch.zeros(2), points, torch.rand(2, 3)
    names = ("boxes", "scores", "labels", "keypoints", "keypoint_scores")
    fixed = FixedDetector(Said(*said), (64, 96), 3, names)
    whole, part = fixed.detect(torch.rand(2, 3, 64, 96), [(64, 96), (30, 50)])
    assert torch.equal(whole["keypoints"], points)
    assert part["keypoints"].tolist() == [[[20.5, 10.5], [50, 20.5], [40.5, 30]]]
    assert torch.equal(part["keypoint_scores"], said[-1][:1])


def test_what_is_too_large_is_refused(fixed):
    with pytest.raises(InputError, match="An image of 65 x 90 pixels does not fit into the 64 x 96 of the exported"):
        fixed.detect(torch.rand(1, 3, 96, 96), [(65, 90)])


def test_maps_of_a_image_end_with_it():
    """Such as logits of its pixels, of which there are as many whatever is found."""
    said = torch.zeros(1, 4), torch.zeros(1), torch.zeros(1), torch.rand(5, 64, 96)
    fixed = FixedDetector(Said(*said), (64, 96), 3, ("boxes", "scores", "labels", "semantic"))
    whole, part = fixed.detect(torch.rand(2, 3, 64, 96), [(64, 96), (30, 50)])
    assert len(whole["boxes"]) == len(part["boxes"]) == 0
    assert torch.equal(whole["semantic"], said[-1])
    assert torch.equal(part["semantic"], said[-1][:, :30, :50])
