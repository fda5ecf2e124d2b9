"""Detections of two networks, compared: which of them are equal, and how far the others are apart."""

import pytest
import torch

from res2net.errors import InputError
from res2net.tasks.objects.exporter import DetectionAgreement, compare_detections

NAMES = ("boxes", "scores", "labels", "masks")
BOXES = torch.tensor([[[10.0, 5, 30, 25], [30, 20, 60, 40], [50, 10, 70, 30], [0, 0, 0, 0]]])
SCORES = torch.tensor([[0.9, 0.8, 0.7, 0]])
LABELS = torch.tensor([[1, 0, 1, 0]])
MASKS = torch.linspace(0, 1, 4 * 28 * 28).view(1, 4, 28, 28)
IMAGES = [torch.zeros(1, 3, 64, 100)]


def says(boxes=BOXES, scores=SCORES, labels=LABELS, masks=MASKS):
    """Not a network: what it finds."""
    return lambda images: (boxes, scores, labels, masks)


def changed(tensor, place, value):
    new = tensor.clone()
    new[0, place] = value
    return new


def compared(ours, **theirs):
    return compare_detections(ours, says(**theirs), IMAGES, NAMES)


def test_the_same_is_equal():
    agreement = compared(says())
    assert (agreement.images, agreement.detections, agreement.equal) == (1, 3, 100)
    assert agreement.largest == {"boxes": 0, "scores": 0, "masks": 0}
    assert agreement.to_dict() == {
        "images": 1, "detections": 3, "equal": 100, "largest_boxes": 0, "largest_scores": 0, "largest_masks": 0
    }  # fmt: skip


def test_neither_the_order_nor_empty_places_matter():
    order = [2, 3, 0, 1]
    shuffled = says(*(one[:, order] for one in (changed(BOXES, 3, 7.0), SCORES, LABELS, MASKS)))
    assert compared(shuffled).equal == 100


def test_small_differences_are_told():
    agreement = compared(says(BOXES + 0.05, SCORES.clamp(max=0.8995), masks=MASKS + 2e-4))
    assert agreement.equal == 100
    assert agreement.largest == pytest.approx({"boxes": 0.05, "scores": 0.0005, "masks": 2e-4}, rel=1e-2)


@pytest.mark.parametrize(
    "change",
    [
        {"boxes": changed(BOXES, 1, BOXES[0, 1] + 0.11)},
        {"scores": changed(SCORES, 1, 0.802)},
        {"labels": changed(LABELS, 1, 2)},
        {"masks": changed(MASKS, 1, MASKS[0, 1] + 0.002)},
        {"boxes": changed(BOXES, 1, float("nan"))},
    ],
    ids=["box", "score", "label", "mask", "nan"],
)
def test_what_differs_has_no_equal(change):
    """Two of three have one, in both networks."""
    agreement = compared(says(**change))
    assert agreement.equal == pytest.approx(100 * 4 / 6)
    assert max(agreement.largest.values()) == 0


def test_each_detection_is_equal_to_one_alone():
    twice = changed(BOXES, 1, BOXES[0, 0]), changed(SCORES, 1, SCORES[0, 0]), changed(LABELS, 1, 1)
    ours = says(*twice, changed(MASKS, 1, MASKS[0, 0]))
    assert compared(ours).equal == pytest.approx(100 * 4 / 6)


def test_more_or_fewer_are_not_equal():
    assert compared(says(scores=changed(SCORES, 2, 0.0))).equal == pytest.approx(100 * 4 / 5)
    assert compared(says(scores=changed(SCORES, 3, 0.1))).equal == pytest.approx(100 * 6 / 7)
    assert compared(says(scores=SCORES * float("nan"))).equal == 0
    nothing = compared(says(scores=SCORES * 0), scores=SCORES * 0)
    assert (nothing.detections, nothing.equal) == (0, 0)


POINTS = torch.rand(1, 4, 3, 2) * 20
POINT_SCORES = torch.linspace(-3, 8, 12).view(1, 4, 3)


@pytest.mark.parametrize(
    ("points", "scores", "equal"),
    [
        (0.0, 0.0, 100),
        (1.0, 0.0, 100),  # the next pixel
        (1.1, 0.0, 0),
        (0.0, 0.004, 100),  # of 5
        (0.0, 0.006, 0),
        (float("nan"), 0.0, 0),
    ],
)
def test_key_points_are_equal_to_a_pixel(points, scores, equal):
    names = (*NAMES[:3], "keypoints", "keypoint_scores")
    ours = (BOXES, SCORES, LABELS, POINTS + points, POINT_SCORES - scores)
    theirs = (BOXES, SCORES, LABELS, POINTS, POINT_SCORES)
    agreement = compare_detections(lambda images: ours, lambda images: theirs, IMAGES, names)
    assert agreement.equal == equal
    assert agreement.largest["keypoints"] == pytest.approx(points if equal else 0, abs=1e-5)


@pytest.mark.parametrize(("change", "largest"), [(0.0, 0), (0.02, 0.01), (float("nan"), float("inf"))])
def test_logits_of_pixels_are_compared_beside_the_detections(change, largest):
    """As a share of the largest; the detections are equal all the same."""
    semantic = torch.linspace(-2, 1, 3 * 64 * 100).view(1, 3, 64, 100)
    ours = semantic.clone()
    ours[0, 1, 5, 7] += change
    outputs = [(BOXES, SCORES, LABELS, one) for one in (ours, semantic)]
    first, second = (lambda images, out=out: out for out in outputs)
    agreement = compare_detections(first, second, IMAGES, (*NAMES[:3], "semantic"))
    assert agreement.equal == 100
    assert agreement.largest["semantic"] == pytest.approx(largest, rel=1e-3)


@pytest.mark.parametrize(
    ("agreement", "message"),
    [
        (DetectionAgreement(8, 0, 0.0), "The detector finds nothing in these images, .* give a folder of images"),
        (DetectionAgreement(8, 90, 98.5), "Only 98.5 % of the detections .* are equal, and 99 % are needed"),
        (DetectionAgreement(8, 90, 100, {"semantic": 2e-4}), "logits of pixels differ .* by 2.0e-04 .* 1e-04 is"),
    ],
)
def test_what_differs_too_much_is_refused(agreement, message):
    with pytest.raises(InputError, match=message):
        agreement.check(int8=False)


def test_a_good_agreement_is_one_line():
    agreement = DetectionAgreement(8, 90, 99.5, {"boxes": 0.01, "semantic": 1e-5})
    agreement.check(int8=False)
    line = "8 images, 90 detections: 99.5 % equal, largest differences boxes 1.0e-02, semantic 1.0e-05"
    assert agreement.summary("images") == line
