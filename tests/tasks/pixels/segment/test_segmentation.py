"""Intersection over union, against torchmetrics and against the paper's erosions."""

import math

import pytest
import torch
import torch.nn.functional as F
from torchmetrics.classification import MulticlassJaccardIndex

from res2net.errors import InputError
from res2net.tasks.pixels.segment.metric import SegmentationScores, boundary, boundary_width

NAMES = ("wall", "floor", "cup", "hat")


def blobs(classes, height=37, width=53, unlabelled=0.0):
    """A random map of classes with regions of some size."""
    coarse = torch.randint(classes, (1, 1, 5, 6)).float()
    found = F.interpolate(coarse, size=(height, width))[0, 0].long()
    return found.masked_fill(torch.rand(height, width) < unlabelled, 255)


def scores(*pairs, names=NAMES):
    metric = SegmentationScores(names)
    for found, true in pairs:
        metric.update(found, true)
    return metric.compute()


def eroded(mask, times):
    """Erosions by 3 x 3 one after the other; outside of the image there is nothing of the mask."""
    for _ in range(times):
        rows = F.pad(mask, (1, 1, 1, 1))
        mask = rows.unfold(0, 3, 1).unfold(1, 3, 1).flatten(2).all(-1)
    return mask


@pytest.mark.parametrize("unlabelled", [0.0, 0.3])
def test_mean_iou_is_that_of_torchmetrics(unlabelled):
    pairs = [(blobs(4), blobs(4, unlabelled=unlabelled)) for _ in range(5)]
    reference = MulticlassJaccardIndex(4, ignore_index=255, average="none")
    for found, true in pairs:
        reference.update(found[None], true[None])
    found = scores(*pairs)
    assert [found[f"IoU/{name}"] for name in NAMES] == pytest.approx(reference.compute().tolist(), abs=1e-6)
    assert found["mIoU"] == pytest.approx(float(reference.compute().mean()), abs=1e-6)


def test_boundary_iou_is_that_of_the_paper():
    """Of all images together, by class: the pixels that erosions take away."""
    pairs = [(blobs(4), blobs(4)) for _ in range(4)]
    width = boundary_width(37, 53)
    assert width == 1
    shared, united = torch.zeros(4), torch.zeros(4)
    for found, true in pairs:
        for label in range(4):
            edges = [(one == label) & ~eroded(one == label, width) for one in (found, true)]
            shared[label] += (edges[0] & edges[1]).sum()
            united[label] += (edges[0] | edges[1]).sum()
    assert scores(*pairs)["boundary_mIoU"] == pytest.approx(float((shared / united).mean()), abs=1e-6)


@pytest.mark.parametrize("width", [1, 2, 5])
def test_a_boundary_is_what_erosions_take_away(width):
    mask = blobs(2, 40, 31).bool()
    assert torch.equal(boundary(mask, width), mask & ~eroded(mask, width))


def test_the_width_of_a_boundary_grows_with_the_image():
    assert [boundary_width(1, 1), boundary_width(300, 400), boundary_width(3000, 4000)] == [1, 10, 100]


def test_edge_cases():
    one = torch.ones(8, 9, dtype=torch.int64)
    perfect = scores((one, one))
    assert (perfect["mIoU"], perfect["boundary_mIoU"], perfect["pixel_accuracy"]) == (1, 1, 1)
    assert math.isnan(perfect["IoU/wall"])  # it is nowhere, and no part of the mean
    nothing = scores((one, torch.full_like(one, 255)))
    assert all(math.isnan(value) for value in nothing.values())
    wrong = scores((one, torch.zeros_like(one)))
    assert (wrong["mIoU"], wrong["boundary_mIoU"], wrong["pixel_accuracy"], wrong["mean_accuracy"]) == (0, 0, 0, 0)
    pixel = scores((torch.tensor([[2]]), torch.tensor([[2]])))
    assert (pixel["mIoU"], pixel["boundary_mIoU"]) == (1, 1)
    single = torch.zeros(8, 9, dtype=torch.int64)
    single[3, 4] = 1
    assert scores((torch.zeros_like(single), single))["IoU/floor"] == 0


def test_one_class_alone():
    one = torch.zeros(4, 4, dtype=torch.int64)
    assert scores((one, one), names=("road",))["mIoU"] == 1


def test_unlabelled_pixels_count_nowhere():
    found, true = blobs(4), blobs(4)
    true[:, 20:] = 255
    other = found.clone()
    other[:, 20:] = (other[:, 20:] + 1) % 4
    assert {name: value for name, value in scores((found, true)).items() if "boundary" not in name} == {
        name: value for name, value in scores((other, true)).items() if "boundary" not in name
    }


@pytest.mark.parametrize(
    ("found", "true", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(3, 2), "do not fit: give two of"),
        (torch.zeros(2, 3, 1), torch.zeros(2, 3, 1), "do not fit: give two of"),
        (torch.full((2, 2), 4), torch.zeros(2, 2), "classes from 4 to 4: give 0 to 3"),
        (torch.zeros(2, 2), torch.full((2, 2), 9), "classes from 9 to 9: give 0 to 3"),
    ],
)
def test_maps_that_do_not_fit(found, true, message):
    with pytest.raises(InputError, match=message):
        scores((found.long(), true.long()))
