"""Images and their maps of labels seen alike."""

import pytest
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from res2net.errors import InputError
from res2net.tasks.pixels.options import PixelOptions
from res2net.tasks.pixels.transforms import pixel_eval_transform, pixel_train_transform
from res2net.weights import Preprocessing

PLAIN = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def sample(height=40, width=60):
    """An image whose red channel is its map of classes."""
    classes = (torch.arange(height)[:, None] // 4 * 7 + torch.arange(width) // 4) % 200
    image = tv_tensors.Image(classes.expand(3, -1, -1).to(torch.uint8).contiguous())
    return image, {"semantic": tv_tensors.Mask(classes), "index": 3}


def same_pixels(pixels, classes):
    inside = classes != 255
    assert torch.equal((pixels[0] * 255).round().long()[inside], classes[inside].long())
    return inside


@pytest.mark.parametrize("seed", range(6))
def test_image_and_map_move_together(seed):
    torch.manual_seed(seed)
    image, target = sample()
    transform = pixel_train_transform(PLAIN, crop=(32, 48), scale=(1.0, 1.0))
    pixels, seen = transform(image, target)
    assert pixels.shape == (3, 32, 48)
    assert seen["semantic"].shape == (32, 48)
    assert same_pixels(pixels, seen["semantic"].as_subclass(torch.Tensor)).all()


def test_what_is_outside_of_the_image_is_unknown():
    image, target = sample(20, 30)
    known = {
        "saliency": tv_tensors.Mask(torch.ones(20, 30, dtype=torch.bool)),
        "depth": tv_tensors.Mask(torch.ones(20, 30)),
    }
    transform = pixel_train_transform(PLAIN, crop=(32, 32), scale=(1.0, 1.0), flip=0.0)
    pixels, seen = transform(image, target | known)
    inside = same_pixels(pixels, seen["semantic"].as_subclass(torch.Tensor))
    assert int(inside.sum()) == 20 * 30
    assert (pixels[:, ~inside] == 0).all()
    assert sorted(seen["saliency"].unique().tolist()) == [1, 255]
    assert torch.equal(seen["depth"] == 0, ~inside)


def test_sizes_vary_within_the_scales():
    image, target = sample(100, 100)
    transform = pixel_train_transform(PLAIN, crop=(400, 400), scale=(0.5, 2.0))
    sizes = {transform(image, target)[1]["size_now"][0] for _ in range(40)}
    assert 50 <= min(sizes) < 80
    assert 160 < max(sizes) <= 200


def test_images_may_be_resized_first():
    image, target = sample(40, 60)
    transform = pixel_train_transform(PLAIN, crop=(99, 99), shorter=20, scale=(1.0, 1.0))
    assert transform(image, target)[1]["size_now"] == (20, 30)


def test_evaluation_leaves_images_as_they_are():
    image, target = sample(33, 57)
    pixels, seen = pixel_eval_transform(PLAIN)(image, target)
    torch.testing.assert_close(pixels.as_subclass(torch.Tensor), image.as_subclass(torch.Tensor) / 255)
    assert torch.equal(seen["semantic"], target["semantic"])
    assert (seen["original_size"], seen["size_now"]) == ((33, 57), (33, 57))


def test_the_shorter_side_may_be_chosen():
    image = Image.new("RGB", (57, 33), "red")
    resized = pixel_eval_transform(PLAIN, 66)(image)
    assert resized.shape == (3, 66, 114)
    reference = v2.functional.resize(image, [66], antialias=True)
    assert reference.size == (114, 66)


def test_images_fit_into_an_exported_network():
    small, large = (
        pixel_eval_transform(PLAIN, within=(32, 48), padded=True)(sample(*size)[0]) for size in ((10, 12), (99, 99))
    )
    assert small.shape == large.shape == (3, 32, 48)
    assert (small[:, 10:] == 0).all()
    assert (large[:, :, 32:] == 0).all()
    assert (large[:, -1, :32] != 0).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"scale": (2.0, 1.0)}, "scale"), ({"crop": (0, 8)}, "crop"), ({"flip": 2.0}, "flip 2.0 is out of range")],
)
def test_changes_that_do_not_fit(options, message):
    with pytest.raises(InputError, match=message):
        PixelOptions(**options)


def test_colours_of_many_channels_cannot_be_changed():
    with pytest.raises(InputError, match="color_jitter needs 1 or 3 channels, and the network sees 5"):
        pixel_train_transform(Preprocessing(mean=(0.0,) * 5, std=(1.0,) * 5), (8, 8), color_jitter=0.3)
