"""Photos with objects that are decoded in no more detail than the network sees."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from res2net.images import BadImage, DataSettings, Jpeg, open_source
from res2net.images.joint_transforms import ObjectAugment, object_eval_transform, object_train_transform
from res2net.images.samples import Skipped
from res2net.tasks.objects.formats import read_objects
from res2net.weights import Preprocessing

LABELS = ("boxes", "labels")
PLAIN = {"crop": 1.0, "mean": (0, 0, 0), "std": (1, 1, 1)}


@pytest.fixture
def photos(tmp_path):
    """A COCO file with two JPEG images of 400 x 300 pixels, smooth as photos are, and a PNG."""
    random = np.random.default_rng(0)
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "thing"}]}
    for number, name in enumerate(("a.jpg", "b.jpg", "c.png")):
        cells = Image.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        cells.resize((400, 300), Image.Resampling.BICUBIC).save(tmp_path / name)
        content["images"].append({"id": number, "file_name": name, "width": 400, "height": 300})
        box = {"bbox": [100, 60, 200, 120], "area": 24000, "iscrowd": 0}
        content["annotations"].append({"id": number, "image_id": number, "category_id": 1} | box)
    (tmp_path / "instances.json").write_text(json.dumps(content))
    return tmp_path


def opened(photos, decode, train=None, **options):
    look = Preprocessing(size=60, **PLAIN)
    settings = DataSettings(val_fraction=0.4, decode=decode, **options)
    source = open_source(photos, settings, labels=LABELS, reader=read_objects)
    return source.transformed(train or object_eval_transform(look), object_eval_transform(look))[0]


def decibels(one, other):
    return -10 * float(((one - other) ** 2).mean().log10())


@pytest.mark.parametrize("augment", [None, ObjectAugment(min_sizes=(60,), flip=1.0, crop=(0.8, 0.9))])
def test_the_pixels_are_nearly_the_same_and_the_boxes_the_same(photos, augment):
    train = augment and object_train_transform(Preprocessing(size=60, **PLAIN), augment)
    full, scaled = opened(photos, "full", train), opened(photos, "scaled", train)
    kinds = [type(scaled.dataset.undecoded(index)[0]) for index in range(len(scaled))]
    assert Jpeg in kinds
    for index, kind in enumerate(kinds):
        results = []
        for samples in (full, scaled):
            torch.manual_seed(index)
            results.append(samples[index])
        (image, target), (other, same) = results
        assert torch.equal(target["boxes"], same["boxes"])
        assert (target["size_now"], target["original_size"]) == (same["size_now"], (300, 400))
        assert decibels(image, other) > 40
        assert torch.equal(image, other) == (kind is not Jpeg), "a quarter of a JPEG was decoded"


def test_a_image_of_another_size_or_without_its_end_is_told(photos):
    samples = opened(photos, "scaled", bad_images="skip")
    place = next(place for place in range(len(samples)) if samples.dataset.paths[place].endswith(".jpg"))
    path = samples.dataset.paths[place]
    Path(path).write_bytes(Path(path).read_bytes()[:2000])
    assert isinstance(samples[place], Skipped)
    Image.new("RGB", (40, 30)).save(path)
    with pytest.raises(BadImage, match="it has 40 x 30 pixels, and its annotations are for 400 x 300"):
        samples.dataset.undecoded(place)


def test_real_photos(real_data):
    look = Preprocessing(size=60, **PLAIN)
    both = [
        open_source(
            real_data("coco_mini"), DataSettings(decode=decode), labels=LABELS, reader=read_objects
        ).transformed(object_eval_transform(look), object_eval_transform(look))[1]
        for decode in ("full", "scaled")
    ]
    for index in range(4):
        (image, target), (other, same) = (samples[index] for samples in both)
        assert torch.equal(target["boxes"], same["boxes"])
        assert not torch.equal(image, other)
        assert decibels(image, other) > 35
