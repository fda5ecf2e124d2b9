"""Pairs of images: which files belong together, and that both are changed alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from res2net.errors import InputError
from res2net.images import BadImage, DataSettings, open_source
from res2net.tasks.translate.data import PAIR_NAMES, Backwards, ImagePairs, PairTransform, unit
from res2net.tasks.translate.synthetic import LOOKS, MASK_COLOURS, ShapeMasks
from res2net.tasks.translate.task import Translate, TranslateOptions
from res2net.weights import Preprocessing


def draw(path, colour="red", size=(20, 12)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def named(root, first, second, names=("a", "b", "c", "d")):
    for name in names:
        draw(root / first / f"{name}.png", "red")
        draw(root / second / f"{name}.jpg", "blue")


def opened(root, **options):
    return Translate.open(str(root), DataSettings(**options))


def first_pixels(samples):
    image, target = samples[0]
    return image.getpixel((0, 0)), target["image"].getpixel((0, 0))


@pytest.mark.parametrize("layout", ["A", "train/A", "A/train", "side by side", "side by side, split"])
def test_layouts(tmp_path, layout):
    splits = ("train", "test") if "train" in layout or "split" in layout else ("",)
    for split in splits:
        if "side" in layout:
            for name in "abcd":
                sheet = Image.new("RGB", (40, 12), "red")
                sheet.paste("blue", (20, 0, 40, 12))
                (tmp_path / split).mkdir(exist_ok=True)
                sheet.save(tmp_path / split / f"{name}.png")
        else:
            parts = [layout.replace("train", split).replace("A", letter) for letter in "AB"]
            named(tmp_path, *parts)
    source = opened(tmp_path, val_fraction=0.25)
    assert (len(source.train), len(source.val)) == ((4, 4) if len(splits) == 2 else (3, 1))
    assert tuple(source.class_names) == PAIR_NAMES
    (red, _, _), (_, _, blue) = first_pixels(source.train)
    assert min(red, blue) > 240
    image, target = source.val[0]
    assert image.size == target["image"].size == (20, 12)
    assert [len(part) for part in (source.overfit(2).train, source.overfit(2).val)] == [2, 2]


def test_a_image_without_a_partner(tmp_path):
    named(tmp_path, "A", "B")
    draw(tmp_path / "A" / "alone.png")
    draw(tmp_path / "B" / "other.png")
    with pytest.raises(
        InputError, match=r"has 2 files without a partner; the first is in .*A/alone\.png: there is no alone in .*B"
    ):
        opened(tmp_path)
    source = opened(tmp_path, bad_annotations="skip")
    assert len(source.train) + len(source.val) == 4


def test_what_is_wrong_is_told_before_the_first_image(tmp_path):
    named(tmp_path, "A", "B")
    draw(tmp_path / "B" / "c.jpg", size=(12, 20))
    with pytest.raises(InputError, match=r"c\.jpg: it has 12 x 20 pixels, and its partner 20 x 12"):
        opened(tmp_path)
    source = opened(tmp_path, bad_annotations="skip")
    assert len(source.train) + len(source.val) == 3
    (tmp_path / "A" / "a.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"1 unreadable image and 1 wrong size; .*a\.png: it is not an image"):
        opened(tmp_path)
    source = opened(tmp_path, bad_annotations="skip", bad_images="skip")
    assert len(source.train) + len(source.val) == 3  # the loader skips it, and tells


def test_images_of_different_sizes(tmp_path):
    named(tmp_path, "A", "B")
    draw(tmp_path / "B" / "b.jpg", size=(20, 13))
    (place,) = (place for place, name in enumerate("abcd") if name == "b")
    pairs = ImagePairs([(str(tmp_path / f"A/{name}.png"), str(tmp_path / f"B/{name}.jpg")) for name in "abcd"])
    with pytest.raises(BadImage, match=r"b\.jpg: it has 20 x 13 pixels, and its partner 20 x 12"):
        pairs[place]
    draw(tmp_path / "odd.png", size=(21, 12))
    with pytest.raises(BadImage, match="it is 21 pixels wide, and two images side by side are even"):
        ImagePairs([(str(tmp_path / "odd.png"), None)])[0]


def test_what_is_no_data_set_of_pairs(tmp_path):
    with pytest.raises(InputError, match="has no pairs of images: give folders A and B"):
        opened(tmp_path)
    draw(tmp_path / "image.png")
    with pytest.raises(InputError, match=r"image\.png is a file: give a folder with folders A and B"):
        opened(tmp_path / "image.png")
    with pytest.raises(InputError, match="shapes-masks has pairs of images alone"):
        open_source("shapes-masks")


def test_both_images_are_changed_alike():
    numbers = np.arange(30 * 40 * 3, dtype=np.uint8).reshape(30, 40, 3)
    image = Image.fromarray(numbers)
    transform = PairTransform(Preprocessing(mean=(0.5,) * 3, std=(0.25,) * 3), (16, 16), enlarge=1.5, flip=0.5)
    seen = []
    for _ in range(8):
        shown, target = transform(image, {"image": image, "index": 3})
        assert shown.shape == (3, 16, 16)
        assert target["index"] == 3
        torch.testing.assert_close(shown.as_subclass(Tensor) * 0.25 + 0.5, target["image"])
        seen.append(target["image"])
    assert any(not torch.equal(seen[0], other) for other in seen)


def test_a_pair_that_fits_is_left_as_it_is():
    image = Image.fromarray(np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3))
    _, target = PairTransform(Preprocessing(), (16, 16))(image, {"image": image})
    assert torch.equal(target["image"], unit(image))


def test_backwards():
    pairs = ShapeMasks(2, size=32)
    image, target = Backwards(pairs)[1]
    mask, truth = pairs[1]
    assert torch.equal(image, truth["image"])
    assert torch.equal(target["image"], mask)
    assert not Backwards(pairs).reads_files
    assert not hasattr(Backwards(pairs), "paths")
    (one,) = Backwards(pairs).subset([1])
    assert torch.equal(one[0], truth["image"])


def test_the_direction_decides_what_is_opened(tmp_path):
    named(tmp_path, "A", "B")
    forward, backward = (
        Translate.open(tmp_path, options=TranslateOptions(direction=one)) for one in ("forward", "backward")
    )
    assert first_pixels(forward.train) == first_pixels(backward.train)[::-1]
    assert forward.val.reads_files
    assert backward.val.reads_files
    assert [Path(path).parent.name for source in (forward, backward) for path in source.val.paths] == ["A", "B"]
    assert first_pixels(backward.overfit(1).val) == first_pixels(backward.train)


def test_the_source_has_as_many_pairs_as_its_name_states():
    source = Translate.open("shapes-masks:3,2")
    assert (source.name, len(source.train), len(source.val)) == ("shapes-masks", 3, 2)
    assert source.train is Translate.open("shapes-masks:3,2").train
    assert [len(samples) for samples in (Translate.open("shapes-masks").train, Translate.open("shapes-masks").val)] == [
        4000,
        500,
    ]
    with pytest.raises(InputError, match="does not state how many samples shapes-masks has"):
        Translate.open("shapes-masks:3,0")


def test_masks_and_their_images_show_the_same_things():
    pairs = ShapeMasks(6, size=64, split="val")
    for index in range(6):
        mask, target = pairs[index]
        again, _ = ShapeMasks(6, size=64, split="val")[index]
        assert torch.equal(mask, again)
        for silhouette, colour in MASK_COLOURS.items():
            place = (mask.as_subclass(Tensor) == torch.tensor(colour)[:, None, None]).all(0)
            things = [thing for thing in pairs.scenes.scene(index).things if thing.silhouette == silhouette]
            assert bool(place.any()) == bool(things)
            if place.sum() > 200:
                dark, light = (torch.tensor(one) for one in LOOKS[silhouette][1])
                found = unit(target["image"])[:, place].mean(1)
                # Half of a thing is dark and half light, but for its border.
                assert (found - (dark + light) / 2).abs().max() < 0.15
    with pytest.raises(IndexError):
        pairs[6]


@pytest.mark.parametrize("layout", ["{}/A", "A/{}", "{}A", "{}"])
def test_splits_of_any_name(tmp_path, layout):
    for split, names in (("train", "abc"), ("validation2", "de"), ("test_b", "f")):
        if layout == "{}":
            for name in names:
                draw(tmp_path / split / f"{name}.png", size=(40, 12))
        else:
            named(tmp_path, *(layout.replace("A", letter).format(split) for letter in "AB"), names)
    source = opened(tmp_path)
    assert (len(source.train), len(source.val)) == (3, 2)
    assert len(opened(tmp_path, evaluate=True, split="test_b").val) == 1


def turned_pairs(root, orientation, lost, *, stored, size=(20, 12)):
    """Pairs of the same image, of which one lost its orientation; as it is stored, or as it is seen."""
    values = np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(size[1], size[0], 3)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    for name in "abc":
        for part in "AB":
            path = root / part / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(path, exif=exif)
            if part == lost:
                with Image.open(path) as image:
                    made = Image.fromarray(values) if stored else ImageOps.exif_transpose(image)
                made.save(path, exif=Image.Exif())


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("lost", ["A", "B"])
def test_an_image_that_lost_its_orientation_is_turned_as_its_partner(tmp_path, orientation, lost):
    turned_pairs(tmp_path, orientation, lost, stored=True)
    source = opened(tmp_path)
    image, target = source.val[0]
    assert np.array_equal(np.asarray(image), np.asarray(target["image"]))
    assert image.size == ((20, 12) if orientation < 5 else (12, 20))
    assert bool(source.notes) == (orientation < 5)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("lost", ["A", "B", "neither"])
def test_upright_partners_stay_as_they_are(tmp_path, orientation, lost):
    turned_pairs(tmp_path, orientation, lost, stored=False)
    source = opened(tmp_path)
    image, target = source.val[0]
    assert np.array_equal(np.asarray(image), np.asarray(target["image"]))
    assert not source.notes


@pytest.mark.parametrize("layout", ["train/{}", "train{}", "side by side"])
def test_an_empty_split_is_refused_if_it_is_chosen(tmp_path, layout):
    if layout == "side by side":
        for name in "abc":
            draw(tmp_path / "train" / f"{name}.png", size=(40, 12))
    else:
        named(tmp_path, layout.format("A"), layout.format("B"))
    (tmp_path / "val").mkdir()
    with pytest.raises(InputError, match="no pairs of images that can be used in the split val"):
        opened(tmp_path)
    assert len(opened(tmp_path, evaluate=True, split="train").val) >= 3
