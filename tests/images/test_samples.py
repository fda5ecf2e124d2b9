"""Broken images stop or are skipped, and samples become batches."""

from __future__ import annotations

import pickle

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import tv_tensors

from res2net.errors import InputError
from res2net.images import BadImage, ImageFiles, Skipped, Transformed, collate, eval_transform
from res2net.images.samples import FileSamples
from res2net.weights.records import Preprocessing

IMAGE = torch.zeros(3, 8, 8)


@pytest.fixture
def three_files(tmp_path):
    """Three images, of which the second is cut off."""
    paths = [tmp_path / f"{name}.jpg" for name in "abc"]
    for path in paths:
        Image.effect_noise((40, 30), 50).save(path)
    paths[1].write_bytes(paths[1].read_bytes()[:-200])
    return ImageFiles([str(path) for path in paths], [0, 1, 1], ["x", "y"])


@pytest.mark.parametrize("workers", [0, 1])
def test_stop_raises_at_a_broken_image(three_files, workers):
    data = Transformed(three_files, eval_transform(Preprocessing(16)), "stop")
    with pytest.raises(BadImage, match=r"^Cannot read the image .*b.jpg: image file is truncated"):
        list(DataLoader(data, batch_size=3, num_workers=workers, collate_fn=collate))


@pytest.mark.parametrize("workers", [0, 1])
def test_skip_leaves_a_broken_image_out_of_its_batch(three_files, workers):
    data = Transformed(three_files, eval_transform(Preprocessing(16)), "skip")
    [(images, targets)] = DataLoader(data, batch_size=3, num_workers=workers, collate_fn=collate)
    assert images.shape == (2, 3, 16, 16)
    assert targets["label"].tolist() == [0, 1]
    [skipped] = targets["skipped"]
    assert skipped.path == three_files.paths[1]
    assert "truncated" in skipped.reason
    assert len(data) == 3


def test_without_a_transform_samples_are_those_of_the_data_set(three_files):
    image, target = Transformed(three_files)[0]
    assert (image.size, target) == ((40, 30), {"label": 0, "index": 0})


def test_a_misspelt_treatment_is_told(three_files):
    with pytest.raises(InputError, match="'skipp': did you mean 'skip'"):
        Transformed(three_files, bad_images="skipp")


def test_a_batch_of_broken_images_only_is_empty():
    broken = [Skipped("a.jpg", "empty"), Skipped("b.jpg", "empty")]
    images, targets = collate(broken)
    assert images.shape == (0,)
    assert targets == {"skipped": broken}


def test_images_become_a_plain_tensor_and_numbers_a_tensor():
    images, targets = collate([(tv_tensors.Image(IMAGE), {"label": label, "share": 0.5}) for label in (3, 1)])
    assert type(images) is torch.Tensor
    assert images.shape == (2, 3, 8, 8)
    assert targets["label"].tolist() == [3, 1]
    assert targets["label"].dtype == torch.int64
    assert targets["share"].tolist() == [0.5, 0.5]
    assert targets["skipped"] == []


def test_tensors_of_one_shape_are_stacked_and_others_are_lists():
    targets = [
        {"map": tv_tensors.Mask(torch.zeros(8, 8)), "pose": torch.zeros(2), "id": torch.tensor(1), "name": "a"}
        | {"parts": torch.zeros(count)}
        for count in (1, 2)
    ]
    _, batch = collate([(IMAGE, target) for target in targets])
    assert batch["map"].shape == (2, 8, 8)
    assert batch["pose"].shape == (2, 2)
    assert batch["id"].shape == (2,)
    assert batch["name"] == ["a", "a"]
    assert [len(parts) for parts in batch["parts"]] == [1, 2]


@pytest.mark.parametrize("counts", [(1, 2), (2, 2), (0, 0)])
def test_labels_of_objects_are_lists_whatever_their_number(counts):
    def target(count):
        return {
            "boxes": tv_tensors.BoundingBoxes(torch.zeros(count, 4), format="XYXY", canvas_size=(8, 8)),
            "labels": torch.zeros(count, dtype=torch.int64),
            "masks": tv_tensors.Mask(torch.zeros(count, 8, 8)),
            "semantic": tv_tensors.Mask(torch.zeros(8, 8)),
            "image_id": 7,
        }

    _, batch = collate([(IMAGE, target(count)) for count in counts])
    for key in ("boxes", "labels", "masks"):
        assert [len(value) for value in batch[key]] == list(counts)
        assert isinstance(batch[key], list)
    assert isinstance(batch["boxes"][0], tv_tensors.BoundingBoxes)
    assert batch["semantic"].shape == (2, 8, 8)
    assert batch["image_id"].tolist() == [7, 7]


@pytest.mark.parametrize(
    "entry",
    [
        {"points": tv_tensors.KeyPoints(torch.zeros(2, 5, 2), canvas_size=(8, 8))},
        {"masks": tv_tensors.Mask(torch.zeros(2, 8, 8))},
    ],
)
def test_key_points_and_masks_of_objects_are_lists_too(entry):
    _, batch = collate([(IMAGE, entry), (IMAGE, entry)])
    [values] = [value for key, value in batch.items() if key != "skipped"]
    assert isinstance(values, list)


def image_with(count, height, width, channels=3):
    """An image of ones with so many objects, as a transform gives it."""
    size = (height, width)
    return torch.ones(channels, *size), {
        "boxes": tv_tensors.BoundingBoxes(torch.zeros(count, 4), format="XYXY", canvas_size=size),
        "masks": tv_tensors.Mask(torch.zeros(count, *size, dtype=torch.bool)),
        "semantic": tv_tensors.Mask(torch.zeros(size)),
        "image_id": 4,
        "size_now": size,
        "original_size": (2 * height, 2 * width),
    }


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(30, 70), (65, 40)], (96, 96)),
        ([(64, 32), (1, 1)], (64, 32)),
        ([(33, 32)], (64, 32)),
        ([(20, 20), (20, 20)], (32, 32)),
    ],
)
@pytest.mark.parametrize("objects", [(2, 1), (0, 1), (1, 0), (0, 0)])
def test_images_with_objects_get_zeros_at_their_right_and_bottom(sizes, expected, objects):
    images, batch = collate([image_with(count, *size) for count, size in zip(objects, sizes, strict=False)])
    assert images.shape == (len(sizes), 3, *expected)
    assert type(images) is torch.Tensor
    for image, (height, width) in zip(images, sizes, strict=True):
        assert (image[:, :height, :width] == 1).all()
        assert image.sum() == 3 * height * width
    assert batch["size_now"] == sizes
    assert all(type(size) is tuple for size in batch["size_now"])
    assert batch["original_size"] == [(2 * height, 2 * width) for height, width in sizes]
    assert batch["image_id"].tolist() == [4] * len(sizes)
    for key in ("boxes", "masks"):
        assert [len(value) for value in batch[key]] == list(objects[: len(sizes)])
    assert [tuple(mask.shape[-2:]) for mask in batch["masks"]] == sizes, "masks are not padded"
    assert [tuple(mask.shape) for mask in batch["semantic"]] == sizes


def test_one_key_point_set_for_the_whole_image_is_no_object():
    pose = {"keypoints": tv_tensors.KeyPoints(torch.zeros(17, 2), canvas_size=(8, 8))}
    images, batch = collate([(IMAGE, pose), (IMAGE, pose)])
    assert images.shape == (2, 3, 8, 8)
    assert batch["keypoints"].shape == (2, 17, 2)


def test_images_with_objects_and_different_channels_are_told():
    with pytest.raises(InputError, match=r"shapes \[\(1, 8, 8\), \(3, 8, 8\)\]"):
        collate([image_with(1, 8, 8), image_with(1, 8, 8, channels=1)])


def test_entries_that_only_some_targets_have_are_told():
    with pytest.raises(InputError, match="Only some targets of a batch have the entries area, crowd:"):
        collate([(IMAGE, {"label": 1, "crowd": 0}), (IMAGE, {"label": 1, "area": 0})])


def test_images_of_different_sizes_are_told():
    with pytest.raises(InputError, match=r"shapes \[\(3, 4, 4\), \(3, 8, 8\)\]"):
        collate([(IMAGE, {}), (IMAGE[:, :4, :4], {})])


def test_markers_can_be_pickled():
    assert pickle.loads(pickle.dumps(Skipped("a", "b"))) == Skipped("a", "b")


def test_a_subset_of_files_keeps_its_kind_and_what_else_it_knows():
    class Named(FileSamples):
        def __init__(self, files, name):
            super().__init__(files)
            self.name = name

    whole = Named([("a.png", 1), ("b.png", 2), ("c.png", 3)], "set")
    some = whole.subset([2, 0])
    assert (type(some), some.name, len(some), some.paths) == (Named, "set", 2, ["c.png", "a.png"])
    assert whole.paths == ["a.png", "b.png", "c.png"]
