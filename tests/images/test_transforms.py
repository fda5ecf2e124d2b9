"""From an image to what a network sees, and back."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform
from torchvision import tv_tensors
from torchvision.transforms import v2

from res2net.errors import InputError
from res2net.images import TrainAugment, batch_mix, denormalise, eval_transform, open_folder, train_transform
from res2net.images.decode import open_image
from res2net.weights.records import Preprocessing

IMAGENET = Preprocessing()
PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def photo(width: int, height: int) -> Image.Image:
    """Noise at several scales, as photographs have."""
    rng = np.random.default_rng(width)
    layers = [Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)) for size in (4, 16, 64, 256)]
    resized = [
        np.asarray(layer.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64) for layer in layers
    ]
    return Image.fromarray(np.mean(resized, axis=0).astype(np.uint8))


def boxes_of(*boxes, size):
    return tv_tensors.BoundingBoxes(torch.tensor(boxes, dtype=torch.float32), format="XYXY", canvas_size=size)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize(("size", "crop"), [(224, 0.875), (224, 0.95), (288, 0.9), (97, 0.77), (32, 1.0)])
@pytest.mark.parametrize("image", [photo(501, 377), photo(150, 260)], ids=["wide", "tall"])
def test_evaluation_is_exactly_that_of_timm(image, size, crop, interpolation):
    ours = Preprocessing(size, crop, interpolation)
    theirs = create_transform(
        size, crop_pct=crop, interpolation=interpolation, mean=IMAGENET.mean, std=IMAGENET.std, is_training=False
    )
    result = eval_transform(ours)(image)
    assert result.dtype == torch.float32
    assert torch.equal(result, theirs(image))


@pytest.mark.parametrize("size", [(60_000, 2), (1, 60_000), (1, 1), (3000, 1)])
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_strips_of_one_pixel_take_no_memory(tmp_path, size, ending):
    path = tmp_path / f"strip.{ending}"
    Image.new("RGB", size, "orange").save(path, quality=95)
    preprocessing = Preprocessing(size=32, crop=0.875, mean=(0.0,) * 3, std=(1.0,) * 3)
    for transform in (
        eval_transform(preprocessing),
        train_transform(preprocessing, TrainAugment(pad=4)),
        train_transform(preprocessing, TrainAugment()),
    ):
        image = transform(open_image(path))
        assert image.shape == (3, 32, 32)
        assert image.amax((1, 2)).tolist() == pytest.approx([1, 165 / 255, 0], abs=0.02)


def test_the_middle_of_a_long_image_is_that_of_the_whole():
    wide = np.zeros((8, 1600, 3), np.uint8)
    wide[:, 796:804] = np.random.default_rng(0).integers(0, 256, (8, 8, 3))
    preprocessing = Preprocessing(size=8, crop=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    seen = eval_transform(preprocessing)(Image.fromarray(wide))
    assert (seen * 255).round().permute(1, 2, 0).tolist() == wide[:, 796:804].tolist()


def test_a_tensor_gives_nearly_what_the_image_gives():
    preprocessing = Preprocessing(64, **PLAIN)
    image = photo(300, 200)
    from_image = eval_transform(preprocessing)(image)
    for tensor in (tv_tensors.Image(image), torch.from_numpy(np.array(image)).permute(2, 0, 1)):
        assert (eval_transform(preprocessing)(tensor) - from_image).abs().max() < 2 / 255


@pytest.mark.parametrize("channels", [1, 3])
def test_the_layout_of_an_image_in_memory_changes_no_bit(channels):
    preprocessing = Preprocessing(8, 1.0, mean=IMAGENET.mean[:channels], std=IMAGENET.std[:channels])
    image = torch.randint(0, 256, (channels, 8, 8), dtype=torch.uint8)
    by_row = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    given = by_row / 255
    results = [eval_transform(preprocessing)(pixels) for pixels in (image, by_row, image / 255, given)]
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    assert all(torch.equal(result, (image / 255 - mean) / std) for result in results)
    assert torch.equal(given, image / 255), "the image that was given is changed"


def test_float_images_keep_their_values():
    image = torch.rand(3, 8, 8)
    assert torch.equal(eval_transform(Preprocessing(8, 1.0, **PLAIN))(image), image)


def test_sixteen_bit_images_are_scaled_by_their_range():
    image = torch.full((3, 8, 8), 65535, dtype=torch.uint16)
    assert (eval_transform(Preprocessing(8, 1.0, **PLAIN))(image) == 1).all()


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_tensors_may_have_any_channels(channels):
    values = tuple(0.1 * (c + 1) for c in range(channels))
    preprocessing = Preprocessing(8, 1.0, mean=values, std=values)
    image = torch.randint(0, 256, (channels, 8, 8), dtype=torch.uint8)
    expected = (image / 255 - torch.tensor(values).view(-1, 1, 1)) / torch.tensor(values).view(-1, 1, 1)
    torch.testing.assert_close(eval_transform(preprocessing)(image), expected)
    assert train_transform(preprocessing)(image, {})[0].shape == (channels, 8, 8)


def test_grey_and_colour_become_each_other():
    grey = eval_transform(Preprocessing(16, mean=(0.5,), std=(0.5,)))(photo(40, 30))
    assert grey.shape == (1, 16, 16)
    colour = eval_transform(Preprocessing(16))(torch.zeros(1, 20, 20, dtype=torch.uint8))
    assert colour.shape == (3, 16, 16)


def test_other_channels_than_the_network_sees_are_told():
    with pytest.raises(InputError, match="image has 3 channels and the network sees 5"):
        eval_transform(Preprocessing(16, mean=(0.5,) * 5, std=(0.5,) * 5))(photo(40, 30))


def test_labels_pass_and_boxes_masks_and_key_points_are_cropped_alike():
    target = {
        "label": 3,
        "boxes": boxes_of([40, 10, 60, 30], size=(40, 100)),
        "labels": torch.tensor([1]),
        "masks": tv_tensors.Mask(torch.zeros(1, 40, 100, dtype=torch.uint8)),
        "points": tv_tensors.KeyPoints(torch.tensor([[40.0, 10.0]]), canvas_size=(40, 100)),
    }
    target["masks"][:, 10:30, 40:60] = 1
    image, result = eval_transform(Preprocessing(20, 1.0))(Image.new("RGB", (100, 40)), target)
    # Resized to 50 x 20, then 15 columns are cut off on the left.
    assert image.shape == (3, 20, 20)
    assert result["label"] == 3
    assert result["boxes"].tolist() == [[5, 5, 15, 15]]
    assert result["points"].tolist() == [[5, 5]]
    assert result["masks"].shape == (1, 20, 20)
    assert result["masks"].sum() == result["masks"][:, 5:15, 5:15].sum() == 100
    assert torch.equal(result["labels"], target["labels"])


@pytest.mark.parametrize("augment", [TrainAugment(flip=1.0), TrainAugment(flip=1.0, pad=3)])
def test_training_moves_boxes_and_masks_with_the_image(augment):
    full_image = np.zeros((40, 60, 3), dtype=np.uint8)
    full_image[10:30, 20:40] = 255
    mask = tv_tensors.Mask(torch.from_numpy(full_image[..., 0] > 0))
    target = {"mask": mask, "boxes": boxes_of([20, 10, 40, 30], size=(40, 60))}
    torch.manual_seed(0)
    for _ in range(10):
        image, moved = train_transform(Preprocessing(32, **PLAIN), augment)(Image.fromarray(full_image), target)
        differs = (image[0] > 0.5) != moved["mask"]
        assert differs.float().mean() < 0.1
        x1, y1, x2, y2 = moved["boxes"][0].round().int().tolist()
        assert moved["mask"].sum() == pytest.approx((x2 - x1) * (y2 - y1), rel=0.2, abs=32)


@pytest.mark.parametrize(
    "target", [{"label": 3}, {"mask": tv_tensors.Mask(torch.zeros(32, 32))}], ids=["label", "mask"]
)
@pytest.mark.parametrize("image", [photo(32, 32), torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)], ids=type)
@pytest.mark.parametrize("pad", [None, 4])
@pytest.mark.parametrize("flip", [0.3, 1.0])
def test_random_changes_are_those_of_torchvision_for_the_same_seed(target, image, pad, flip):
    crop = v2.RandomCrop(32, padding=4) if pad else v2.RandomResizedCrop(32)
    steps = [v2.ToImage(), crop, v2.RandomHorizontalFlip(flip)] if isinstance(image, torch.Tensor) else None
    theirs = v2.Compose(steps or [crop, v2.RandomHorizontalFlip(flip), v2.ToImage()])
    ours = train_transform(Preprocessing(32, **PLAIN), TrainAugment(pad=pad, flip=flip))
    for seed in range(10):
        torch.manual_seed(seed)
        expected, moved = theirs(image, target)
        after = torch.rand(1)
        torch.manual_seed(seed)
        result, ours_moved = ours(image, target)
        assert torch.equal(result, expected / 255)
        assert after == torch.rand(1), "another number of draws"
        assert all(value is target[key] or torch.equal(value, moved[key]) for key, value in ours_moved.items())


def test_the_padded_crop_moves_by_at_most_the_padding():
    transform = train_transform(Preprocessing(32, 1.0, **PLAIN), TrainAugment(pad=4, flip=0.0))
    image = torch.randint(1, 256, (3, 32, 32), dtype=torch.uint8)
    torch.manual_seed(0)
    offsets = set()
    for _ in range(100):
        moved, _ = transform(image, {})
        rows, columns = (moved[0] > 0).any(1).sum().item(), (moved[0] > 0).any(0).sum().item()
        offsets.add((rows, columns))
        assert rows >= 28
        assert columns >= 28
    assert len(offsets) > 10
    assert torch.equal(
        train_transform(Preprocessing(32, 1.0, **PLAIN), TrainAugment(pad=0, flip=0.0))(image), image / 255
    )


def test_a_flip_of_probability_one_flips():
    transform = train_transform(Preprocessing(32, 1.0, **PLAIN), TrainAugment(pad=0, flip=1.0))
    image = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    assert torch.equal(transform(image), image.flip(-1) / 255)


def test_a_whole_crop_scale_only_resizes():
    augment = TrainAugment(scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0)
    image = photo(64, 64)
    expected = eval_transform(Preprocessing(32, 1.0))(image)
    assert torch.equal(train_transform(Preprocessing(32), augment)(image), expected)


@pytest.mark.parametrize(
    "augment",
    [TrainAugment(rand_augment=2, magnitude=15), TrainAugment(color_jitter=0.4), TrainAugment(erase=1.0)],
    ids=["rand_augment", "color_jitter", "erase"],
)
@pytest.mark.parametrize("kind", ["image", "tensor"])
def test_each_change_changes_the_image_and_keeps_its_shape(augment, kind):
    image = photo(80, 60) if kind == "image" else tv_tensors.Image(photo(80, 60))
    results = []
    for options in (augment, TrainAugment()):
        torch.manual_seed(3)
        result, target = train_transform(Preprocessing(32), options)(image, {"label": 1})
        assert result.shape == (3, 32, 32)
        assert target == {"label": 1}
        results.append(result)
    assert not torch.equal(*results)


def test_the_same_seed_gives_the_same_image():
    transform = train_transform(Preprocessing(32), TrainAugment(rand_augment=2, color_jitter=0.4, erase=0.5))
    results = []
    for _ in range(2):
        torch.manual_seed(0)
        results.append(transform(photo(80, 60)))
    assert torch.equal(*results)


def test_transforms_can_be_pickled_for_workers():
    for transform in (eval_transform(IMAGENET), train_transform(IMAGENET, TrainAugment(rand_augment=1, erase=0.1))):
        pickle.loads(pickle.dumps(transform))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": (0.0, 1.0)}, r"scale \(0.0, 1.0\) is out of range: .* above 0, 1.0 at most"),
        ({"scale": (0.5, 0.2)}, "a smallest and a largest number"),
        ({"scale": (0.5, 1.2)}, "scale"),
        ({"ratio": (2.0, 1.0)}, "ratio .* above 0"),
        ({"ratio": (1.0,)}, "ratio"),
        ({"flip": "often"}, "flip 'often' is out of range"),
        ({"pad": 1.5}, "pad 1.5 does not fit: give a whole number"),
        ({"pad": -1}, "pad -1 is out of range: give 0 or more"),
        ({"flip": 1.5}, "flip 1.5 is out of range: give 0 to 1"),
        ({"flip": float("nan")}, "flip nan"),
        ({"rand_augment": -1}, "rand_augment -1 is out of range: give 0 or more"),
        ({"magnitude": 31}, "magnitude 31 is out of range: give 0 to 30"),
        ({"color_jitter": -0.1}, "color_jitter -0.1"),
        ({"erase": 2}, "erase 2 is out of range"),
    ],
)
def test_options_out_of_range_are_told(options, message):
    with pytest.raises(InputError, match=message):
        TrainAugment(**options)


@pytest.mark.parametrize("options", [{"rand_augment": 1}, {"color_jitter": 0.1}])
def test_colours_of_other_than_grey_and_colour_images_cannot_be_changed(options):
    with pytest.raises(InputError, match="need 1 or 3 channels, and the network sees 4: set both to 0"):
        train_transform(Preprocessing(mean=(0.5,) * 4, std=(0.5,) * 4), TrainAugment(**options))


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.2, 0.0), (0.0, 1.0), (0.2, 1.0)])
def test_mixing_keeps_the_sum_of_each_label_and_of_each_pixel(mixup, cutmix):
    mix = batch_mix(mixup, cutmix, num_classes=5)
    images, labels = torch.rand(6, 3, 8, 8), torch.arange(6) % 5
    torch.manual_seed(0)
    for _ in range(5):
        mixed, probabilities = mix(images, labels)
        assert mixed.shape == images.shape
        assert probabilities.shape == (6, 5)
        torch.testing.assert_close(probabilities.sum(1), torch.ones(6))
        # Each image is mixed with another of the batch, by the same share or the same rectangle.
        torch.testing.assert_close(mixed.sum(0), images.sum(0))
        assert not torch.equal(mixed, images)


def test_the_share_of_a_label_is_that_of_its_image():
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 32, 32)
    torch.manual_seed(0)
    for mixup, cutmix in ((0.8, 0.0), (0.0, 1.0)):
        mixed, probabilities = batch_mix(mixup, cutmix, num_classes=4)(images, torch.arange(4))
        torch.testing.assert_close(mixed.mean((1, 2, 3)), probabilities @ torch.arange(4.0))


def test_both_kinds_of_mixing_are_drawn():
    mix = batch_mix(1.0, 1.0, num_classes=2)
    images = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 16, 16)
    torch.manual_seed(0)
    blended = {
        bool(((mixed > 0) & (mixed < 1)).any()) for mixed, _ in (mix(images, torch.arange(2)) for _ in range(20))
    }
    assert blended == {True, False}


def test_without_mixing_there_is_nothing_to_call():
    assert batch_mix(0.0, 0.0, num_classes=5) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 0, 5), "mixup_alpha -1 is out of range: give 0 or more"),
        ((0, -0.5, 5), "cutmix_alpha -0.5"),
        ((0.2, 0, 0), "num_classes 0 is out of range: give 1 or more"),
    ],
)
def test_mixing_out_of_range_is_told(arguments, message):
    with pytest.raises(InputError, match=message):
        batch_mix(*arguments)


def test_denormalise_undoes_the_normalisation():
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    preprocessing = Preprocessing(16, 1.0)
    normalised = torch.stack([eval_transform(preprocessing)(image) for image in images])
    assert torch.equal(denormalise(normalised, preprocessing), images)
    assert torch.equal(denormalise(normalised[0], preprocessing), images[0])
    assert denormalise(torch.full((3, 1, 1), 9.0), preprocessing).flatten().tolist() == [255] * 3


def test_real_photographs_are_prepared_exactly_as_by_timm(real_data):
    _, val, _ = open_folder(real_data("imagenette_mini"))
    theirs = create_transform(160, crop_pct=0.875, interpolation="bicubic", is_training=False)
    for index in range(0, len(val), 100):
        image, _ = val[index]
        assert torch.equal(eval_transform(Preprocessing(160, 0.875, "bicubic"))(image), theirs(image))
