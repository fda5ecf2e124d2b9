"""Objects of one image over another, and what is left of those below."""

from __future__ import annotations

import pytest
import torch
from torchvision import tv_tensors
from torchvision.ops import masks_to_boxes
from torchvision.transforms import v2

from res2net.errors import InputError
from res2net.images import BadImage, Skipped, collate
from res2net.images.joint_transforms import ObjectAugment, object_train_transform
from res2net.images.loader import TrainBatches, train_loader
from res2net.images.shapes.dataset import Shapes
from res2net.tasks.objects.data.copy_paste import CopyPaste, pasted
from res2net.weights.records import Preprocessing

LABELS = ("boxes", "labels", "masks", "keypoints", "visibility", "semantic")


def sample(boxes, labels, value, size=(20, 20), semantic=7):
    """An image of one colour, with objects that fill their boxes, and a keypoint in the centre of each."""
    edges = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    image = tv_tensors.Image(torch.full((3, *size), value, dtype=torch.uint8))
    return image, {
        "boxes": tv_tensors.BoundingBoxes(edges, format="XYXY", canvas_size=size),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "masks": tv_tensors.Mask(masks),
        "keypoints": tv_tensors.KeyPoints(edges.view(-1, 2, 2).mean(1, keepdim=True), canvas_size=size),
        "visibility": torch.full((len(boxes), 1), 2, dtype=torch.uint8),
        "area": (edges[:, 2:] - edges[:, :2]).prod(1),
        "semantic": tv_tensors.Mask(torch.full(size, semantic)),
        "size_now": size,
        "original_size": size,
        "index": value,
    }


BELOW = sample([[0, 0, 10, 10], [12, 12, 20, 20], [4, 4, 9, 9], [2, 12, 5, 15]], [0, 1, 2, 3], 10)
ABOVE = sample([[4, 4, 12, 12], [0, 16, 3, 20], [12, 12, 14, 20]], [7, 8, 9], 200, semantic=5)


def test_what_is_covered_shrinks_and_what_is_left_of_it_stays_together():
    image, target = pasted(BELOW, ABOVE, torch.tensor([True, False, True]))
    over = torch.zeros(20, 20, dtype=torch.bool)
    over[4:12, 4:12] = True
    over[12:20, 12:14] = True
    assert torch.equal(image, torch.where(over, 200, 10).to(torch.uint8).expand(3, 20, 20))
    # The third is covered, the fourth has less than 10 pixels but lies free.
    assert target["labels"].tolist() == [0, 1, 3, 7, 9]
    assert target["boxes"].tolist() == [
        [0, 0, 10, 10],
        [14, 12, 20, 20],
        [2, 12, 5, 15],
        [4, 4, 12, 12],
        [12, 12, 14, 20],
    ]
    assert torch.equal(target["masks"][0], BELOW[1]["masks"][0] & ~over)
    assert torch.equal(target["masks"][1], BELOW[1]["masks"][1] & ~over)
    assert torch.equal(target["masks"][3:], ABOVE[1]["masks"][[0, 2]])
    assert target["area"].tolist() == [100 - 36, 64 - 16, 9, 64, 16]
    assert torch.equal(target["semantic"], torch.where(over, 5, 7))
    assert target["visibility"].flatten().tolist() == [1, 2, 2, 2, 2]
    assert target["index"] == 10
    assert isinstance(target["boxes"], tv_tensors.BoundingBoxes)
    assert isinstance(target["masks"], tv_tensors.Mask)


@pytest.mark.parametrize(("width", "labels"), [(5, [0, 1]), (6, [1])])
def test_an_object_of_which_less_than_ten_pixels_are_left_is_dropped(width, labels):
    below = sample([[10, 10, 15, 15]], [0], 10)
    above = sample([[10, 10, 15, 13]], [1], 20)
    above[1]["masks"][0, 13, 10 : 10 + width - 5] = True  # covers 15 pixels of 25, or one more
    _, target = pasted(below, above, torch.tensor([True]))
    assert target["labels"].tolist() == labels


def test_only_what_was_visible_becomes_hidden():
    below = sample([[0, 0, 10, 10], [10, 10, 20, 20]], [0, 1], 10)
    below[1]["visibility"] = torch.tensor([[0], [2]], dtype=torch.uint8)
    _, target = pasted(below, sample([[4, 4, 7, 7]], [2], 20), torch.tensor([True]))
    assert target["visibility"].flatten().tolist() == [0, 2, 2]


def test_the_smaller_image_grows_with_the_colour_and_the_class_of_nothing():
    small = sample([[0, 0, 5, 5]], [0], 10, size=(8, 6))
    large = sample([[10, 12, 15, 18]], [1], 200, size=(18, 16), semantic=5)
    image, target = pasted(small, large, torch.tensor([True]), (0.5, 0.25, 0.0))
    assert image.shape == (3, 18, 16)
    assert image[:, 0, 0].tolist() == [10, 10, 10]
    assert image[:, 8, 0].tolist() == [128, 64, 0]
    assert image[:, 12, 10].tolist() == [200, 200, 200]
    assert (target["size_now"], target["original_size"]) == ((18, 16), (8, 6))
    assert target["boxes"].canvas_size == target["keypoints"].canvas_size == (18, 16)
    assert target["masks"].shape == (2, 18, 16)
    assert target["masks"].flatten(1).sum(1).tolist() == [25, 30]
    assert target["semantic"][[0, 8, 12], [0, 0, 10]].tolist() == [7, 255, 5]
    image, target = pasted(large, small, torch.tensor([True]))
    assert image.shape == (3, 18, 16)
    assert target["labels"].tolist() == [1, 0]


@pytest.mark.parametrize("swap", [False, True])
def test_images_of_pillow_and_without_objects_can_be_joined(swap):
    empty = sample([], [], 50)
    first, second = (ABOVE, empty) if swap else (empty, ABOVE)
    image = v2.functional.to_pil_image(first[0])
    joined, target = pasted((image, first[1]), second, torch.ones(len(second[1]["labels"]), dtype=torch.bool))
    assert target["labels"].tolist() == [7, 8, 9]
    if swap:
        assert joined is image, "nothing is pasted"
    else:
        assert joined[:, 5, 5].tolist() == [200] * 3


def test_grey_and_colour_can_be_joined():
    grey = (ABOVE[0][:1], ABOVE[1])
    for first, second in ((BELOW, grey), (grey, BELOW)):
        assert pasted(first, second, torch.ones(len(second[1]["labels"]), dtype=torch.bool))[0].shape == (3, 20, 20)


def test_neither_sample_is_changed():
    before = [
        {key: value.clone() for key, value in one[1].items() if hasattr(value, "clone")} for one in (BELOW, ABOVE)
    ]
    pasted(BELOW, ABOVE, torch.tensor([True, True, True]))
    for (image, target), entries, value in zip((BELOW, ABOVE), before, (10, 200), strict=True):
        assert (image == value).all()
        assert all(torch.equal(target[key], entry) for key, entry in entries.items())


def test_samples_that_cannot_be_joined_are_told():
    without = {key: value for key, value in BELOW[1].items() if key != "masks"}
    with pytest.raises(InputError, match=r"cannot join .* give masks"):
        pasted((BELOW[0], without), (BELOW[0], without), torch.tensor([True] * 4))
    with pytest.raises(InputError, match="the same entries"):
        pasted(BELOW, (BELOW[0], without), torch.tensor([True] * 4))
    with pytest.raises(InputError, match="probability 2 is out of range"):
        CopyPaste(Shapes(1), object_train_transform(Preprocessing(16)), probability=2)


def shapes(probability=1.0, length=12):
    augment = ObjectAugment(jitter=(0.5, 1.5), jitter_size=64)
    return CopyPaste(
        Shapes(length, size=48, things=(1, 2), labels=LABELS),
        object_train_transform(Preprocessing(48), augment, [(0, 1)]),
        probability=probability,
    )


def test_pasted_objects_are_many_whole_and_the_same_for_the_same_seed():
    plain, data, counts = shapes(0.0), shapes(), []
    for index in range(12):
        torch.manual_seed(index)
        image, target = data[index]
        torch.manual_seed(index)
        again = data[index]
        assert torch.equal(image, again[0])
        assert torch.equal(target["boxes"], again[1]["boxes"])
        counts.append(len(target["boxes"]) - len(plain[index][1]["boxes"]))
        assert image.shape == (3, 64, 64)
        height, width = target["size_now"]
        assert target["masks"].shape[1:] == (height, width)
        # No pixel belongs to two, and boxes hold their masks.
        assert target["masks"].sum(0).max() <= 1
        around = masks_to_boxes(target["masks"].as_subclass(torch.Tensor)) + torch.tensor([0, 0, 1, 1])
        boxes = target["boxes"].as_subclass(torch.Tensor)
        assert (boxes[:, :2] <= around[:, :2] + 2).all()
        assert (boxes[:, 2:] >= around[:, 2:] - 2).all()
    assert max(counts) > 0


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_do_not_depend_on_who_makes_them(workers):
    data = shapes(length=4)
    loader = train_loader(data, TrainBatches(4, 2, seed=5), workers=workers)
    expected = []
    for keys in TrainBatches(4, 2, seed=5):
        for index, seed in keys:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                expected.append(data[index])
    found = list(loader)
    loader.close()
    assert torch.equal(torch.cat([images for images, _ in found]), collate(expected)[0])


def test_crowds_are_not_pasted():
    class One:
        def __len__(self):
            return 1

        def __getitem__(self, index):
            image, target = sample([[0, 0, 12, 12], [13, 0, 20, 20]], [0, 1], 10)
            return image, target | {"crowd": torch.tensor([True, False])}

    data = CopyPaste(One(), object_train_transform(Preprocessing(20), ObjectAugment(flip=0.0)))
    # An object that is pasted over itself replaces itself.
    crowds = [data[0][1]["labels"].tolist() for _ in range(20)]
    assert {tuple(labels) for labels in crowds} == {(0, 1)}
    flipped = CopyPaste(One(), object_train_transform(Preprocessing(20), ObjectAugment(flip=0.5)))
    assert all(flipped[0][1]["labels"].tolist().count(0) <= 1 for _ in range(30))


def test_broken_images_are_skipped_and_never_pasted():
    class Broken:
        def __len__(self):
            return 2

        def __getitem__(self, index):
            if index:
                raise BadImage.at("b.jpg", "empty")
            return sample([[0, 0, 12, 12]], [0], 10)

    data = CopyPaste(Broken(), object_train_transform(Preprocessing(20)), bad_images="skip")
    assert isinstance(data[1], Skipped)
    assert all(not isinstance(data[0], Skipped) for _ in range(8))
    with pytest.raises(BadImage):
        CopyPaste(Broken(), object_train_transform(Preprocessing(20)))[1]
