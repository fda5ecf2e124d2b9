"""One crop for each person: points move as the pixels do, and lead back to the image."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import tv_tensors

from res2net.errors import InputError
from res2net.images import Transformed, collate
from res2net.images.keypoints import mirrored_order
from res2net.images.shapes.dataset import Shapes
from res2net.tasks.objects.keypoints.crops import (
    CropAugment,
    PersonCrops,
    crop_image,
    crop_matrix,
    inverse_matrix,
    move_points,
)

SIZE = (64, 48)


class People:
    """Images with the targets that are given."""

    def __init__(self, *samples):
        self.samples = samples
        self.read = 0

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        self.read += 1
        return self.samples[index]


def target(boxes, keypoints, visibility, **more):
    size = (80, 100)
    return {
        "boxes": tv_tensors.BoundingBoxes(torch.tensor(boxes).float().reshape(-1, 4), format="XYXY", canvas_size=size),
        "keypoints": tv_tensors.KeyPoints(torch.tensor(keypoints).float(), canvas_size=size),
        "visibility": torch.tensor(visibility, dtype=torch.uint8),
        **more,
    }


def blob(x, y, height=80, width=100, spread=3.0):
    """An image with a round bright spot whose centre is at x, y; the middle of pixel (0, 0) is at 0.5, 0.5."""
    rows, columns = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    bell = torch.exp(-((rows[:, None] - y) ** 2 + (columns[None] - x) ** 2) / (2 * spread**2))
    return (bell * 250).round().to(torch.uint8).expand(3, -1, -1)


def centre_of(crop):
    weight = crop[0].double()
    rows, columns = torch.arange(crop.shape[1]) + 0.5, torch.arange(crop.shape[2]) + 0.5
    return torch.stack([(weight * columns).sum(), (weight * rows[:, None]).sum()]) / weight.sum()


def published_matrix(box, size, scale, rotation):
    """From the image to the crop by three pairs of points, as the published code of SimpleBaseline finds it."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    ratio = size[1] / size[0]
    if width > ratio * height:
        height = width / ratio
    elif width < ratio * height:
        width = height * ratio
    width = width * 1.25 * scale
    turned = np.deg2rad(rotation)
    centre = np.array([(left + right) / 2, (top + bottom) / 2])
    up = np.array([width / 2 * np.sin(turned), -width / 2 * np.cos(turned)])
    crop_centre, crop_up = np.array([size[1] / 2, size[0] / 2]), np.array([0, -size[1] / 2])

    def three(a, b):
        difference = a - b
        return np.stack([a, b, b + np.array([-difference[1], difference[0]])])

    source = three(centre, centre + up)
    crop = three(crop_centre, crop_centre + crop_up)
    return np.linalg.solve(np.concatenate([source, np.ones((3, 1))], 1), crop).T


@settings(deadline=None, max_examples=50)
@given(
    st.floats(0, 200),
    st.floats(0, 200),
    st.floats(1, 300),
    st.floats(1, 300),
    st.floats(0.7, 1.3),
    st.floats(-80, 80),
    st.sampled_from([(256, 192), (384, 288), (64, 64)]),
)
def test_the_matrix_is_that_of_the_published_code(left, top, width, height, scale, rotation, size):
    box = [left, top, left + width, top + height]
    ours = crop_matrix(
        torch.tensor(box, dtype=torch.float64), size, padding=1.25 * scale, angle=rotation, dtype=torch.float64
    )
    theirs = published_matrix(box, size, scale, rotation)
    assert np.allclose(inverse_matrix(ours).numpy(), theirs, rtol=1e-8, atol=1e-6)


def test_a_mirrored_crop_is_the_crop_mirrored():
    image, box = blob(40, 33), torch.tensor([20.0, 10, 70, 60])
    plain = crop_image(image, crop_matrix(box, SIZE, angle=20), SIZE)
    mirrored = crop_image(image, crop_matrix(box, SIZE, angle=20, mirrored=True), SIZE)
    # Bytes are rounded, and halves fall to either side.
    assert (mirrored.flip(-1).int() - plain.int()).abs().max() <= 1


@settings(deadline=None, max_examples=30)
@given(st.floats(43, 57), st.floats(35, 45), st.floats(-80, 80), st.floats(0.8, 1.3), st.booleans(), st.booleans())
def test_points_move_as_the_pixels_do(x, y, angle, padding, mirrored, as_image):
    matrix = crop_matrix(torch.tensor([20.0, 5, 80, 75]), (96, 80), padding=padding, angle=angle, mirrored=mirrored)
    image = blob(x, y)
    crop = crop_image(Image.fromarray(image.permute(1, 2, 0).numpy()) if as_image else image, matrix, (96, 80))
    assert (crop.dtype, tuple(crop.shape)) == (torch.uint8, (3, 96, 80))
    point = move_points(inverse_matrix(matrix), torch.tensor([[x, y]]))[0]
    assert (centre_of(crop) - point).abs().max() < 0.1
    assert torch.allclose(move_points(matrix, point[None])[0], torch.tensor([x, y]), atol=1e-3)


def test_the_identity_keeps_every_pixel_and_what_is_beyond_is_black():
    image = torch.randint(1, 256, (5, 64, 48), dtype=torch.uint8)
    whole = torch.tensor([0.0, 0, 48, 64])
    same = crop_matrix(whole, (64, 48), padding=1)
    assert torch.equal(crop_image(image, same, (64, 48)), image)
    floats = image.float() / 255
    assert torch.equal(crop_image(floats, same, (64, 48)), floats)
    wider = crop_image(image, crop_matrix(whole, (64, 48), padding=2), (64, 48))
    assert (wider[:, :15] == 0).all()
    assert (wider[:, 17:47, 13:35] > 0).all()


def test_everybody_with_a_labelled_point_is_there_once_but_crowds_are_not():
    crowd = torch.tensor([False, True, False])
    first = target(
        [[0, 0, 10, 10], [0, 0, 20, 20], [5, 5, 30, 60]],
        [[[1, 1], [2, 2]]] * 3,
        [[0, 0], [2, 2], [0, 1]],
        crowd=crowd,
        labels=torch.tensor([4, 5, 6]),
        area=torch.tensor([1.0, 2.0, 3.0]),
        image_id=77,
    )
    none = target(np.zeros((0, 4)), np.zeros((0, 2, 2)), np.zeros((0, 2)))
    flat = target([[5, 5, 5, 9], [50, 20, 90, 70]], [[[1, 1], [2, 2]]] * 2, [[2, 2], [2, 0]])
    people = PersonCrops(People(*[(blob(9, 9), some) for some in (none, first, flat)]), size=SIZE)
    assert people.people == [(1, 2), (2, 1)]
    image, person = people[0]
    assert isinstance(image, tv_tensors.Image)
    assert (image.dtype, tuple(image.shape)) == (torch.uint8, (3, *SIZE))
    numbers = {name: person[name] for name in ("image_id", "object", "index", "label", "original_size")}
    assert numbers == {
        "image_id": 77,
        "object": 2,
        "index": 0,
        "label": 6,
        "original_size": (80, 100),
    }
    assert person["box"].tolist() == [5, 5, 30, 60]
    assert people[1][1]["image_id"] == 2
    with pytest.raises(IndexError):
        people[2]


def test_a_data_set_that_tells_its_targets_is_not_read():
    one = target([[0, 0, 10, 10]], [[[1, 1]]], [[2]])

    class Telling(People):
        def target(self, index):
            return self.samples[index][1]

    data = Telling((blob(9, 9), one))
    assert len(PersonCrops(data, size=SIZE)) == 1
    assert data.read == 0


def test_points_lead_back_to_the_image_of_the_data_set():
    data = Shapes(4, size=64, things=(1, 3), labels=("boxes", "labels", "keypoints", "visibility"))
    for train in (False, True):
        people = PersonCrops(data, size=SIZE, train=train, flip_pairs=[(1, 2)])
        for index, (image, place) in enumerate(people.people):
            _, person = people[index]
            back = move_points(person["matrix"], person["keypoints"])
            true = data[image][1]["keypoints"][place]
            order = [0, 2, 1, 3, 4]
            ways = [true] if not train else [true, true[order]]
            assert min(float((back - way).abs().max()) for way in ways) < 1e-3


def test_random_changes_are_those_of_torchs_generator_alone():
    data = Shapes(3, labels=("boxes", "keypoints", "visibility"))
    people = PersonCrops(data, size=SIZE, train=True)
    torch.manual_seed(4)
    first = [people[index] for index in range(3)]
    torch.manual_seed(4)
    np.random.seed(99)  # noqa: NPY002 - another generator, which must not matter
    again = [people[index] for index in range(3)]
    for (image, person), (same_image, same) in zip(first, again, strict=True):
        assert torch.equal(image, same_image)
        assert torch.equal(person["matrix"], same["matrix"])
    assert not torch.equal(people[0][1]["matrix"], first[0][1]["matrix"])


def test_the_changes_are_as_often_and_as_large_as_they_should_be():
    drawn = [CropAugment().draw() for _ in range(4000)]
    factors, angles, mirrored = (torch.tensor(values, dtype=torch.float64) for values in zip(*drawn, strict=True))
    assert (float(factors.min()), float(factors.max())) == pytest.approx((0.7, 1.3))
    assert float(angles.abs().max()) == 80
    # The shares of a normal distribution beyond one and beyond two standard deviations; four standard errors.
    assert float((factors == factors.max()).double().mean()) == pytest.approx(0.159, abs=0.024)
    assert float((angles.abs() == 80).double().mean()) == pytest.approx(0.6 * 0.0455, abs=0.011)
    assert float((angles != 0).double().mean()) == pytest.approx(0.6, abs=0.031)
    assert float(mirrored.mean()) == pytest.approx(0.5, abs=0.032)
    still = CropAugment(scale=0, rotation=0, flip=0).draw()
    assert still == (1, 0, False)


def test_a_flip_swaps_left_and_right_with_their_visibility():
    one = target([[10, 10, 58, 74]], [[[20, 30], [40, 30], [30, 50]]], [[2, 1, 0]])
    always = CropAugment(scale=0, rotate=0, flip=1)
    data = People((blob(20, 30), one))
    people = PersonCrops(data, size=(64, 48), train=True, flip_pairs=[(0, 1)], augment=always, padding=1)
    image, person = people[0]
    assert person["visibility"].tolist() == [1, 2, 0]
    # 48 x 64 pixels from (10, 10), mirrored: x to 48 - (x - 10).
    assert torch.allclose(person["keypoints"], torch.tensor([[18.0, 20], [38, 20], [28, 40]]))
    assert (centre_of(image) - person["keypoints"][1]).abs().max() < 0.5


def test_a_batch_is_stacked():
    data = Shapes(4, labels=("boxes", "labels", "keypoints", "visibility"))
    images, batch = collate([Transformed(PersonCrops(data, size=SIZE))[index] for index in range(4)])
    assert tuple(images.shape) == (4, 3, *SIZE)
    assert tuple(batch["keypoints"].shape) == (4, 5, 2)
    assert tuple(batch["matrix"].shape) == (4, 2, 3)
    assert batch["index"].tolist() == [0, 1, 2, 3]


def test_what_does_not_fit_is_refused():
    one = target([[0, 0, 10, 10]], [[[1, 1], [2, 2]]], [[2, 2]])
    data = People((blob(9, 9), one))
    with pytest.raises(InputError, match="at most once"):
        PersonCrops(data, flip_pairs=[(0, 2)])
    with pytest.raises(InputError, match="at most once"):
        mirrored_order(4, [(0, 1), (1, 2)])
    with pytest.raises(InputError, match="size"):
        PersonCrops(data, size=(64, 0))
    with pytest.raises(InputError, match="padding"):
        PersonCrops(data, padding=0)
    with pytest.raises(InputError, match="no keypoints and no visibility"):
        PersonCrops(Shapes(2, labels=("boxes",)))
    unlabelled = target([[0, 0, 10, 10]], [[[1, 1]]], [[0]])
    with pytest.raises(InputError, match="labelled keypoint"):
        PersonCrops(People((blob(9, 9), unlabelled)))
    with pytest.raises(InputError, match="no area"):
        crop_matrix(torch.tensor([3.0, 3, 3, 9]), SIZE)
    with pytest.raises(InputError, match="scale"):
        CropAugment(scale=1.0)
