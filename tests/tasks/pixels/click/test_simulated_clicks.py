"""A simulated user: clicks beside a search over all pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from res2net.errors import InputError
from res2net.images.shapes.dataset import Shapes
from res2net.tasks.pixels.click.clicks import (
    Clicked,
    SingleObjects,
    clicks_tensor,
    next_click,
    parse_click,
    random_clicks,
)
from res2net.tasks.pixels.click.task import Click


def naive_depths(region):
    """The distance of each pixel of a region to the nearest pixel outside of it or of the image."""
    height, width = region.shape
    outside = [
        (row, column)
        for row in range(-1, height + 1)
        for column in range(-1, width + 1)
        if not (0 <= row < height and 0 <= column < width and region[row, column])
    ]
    return np.array(
        [
            [
                min(math.hypot(row - r, column - c) for r, c in outside) if region[row, column] else 0
                for column in range(width)
            ]
            for row in range(height)
        ]
    )


def test_the_inmost_pixel_of_the_largest_error():
    random = np.random.default_rng(0)
    for _ in range(5):
        true = (random.random((9, 12)) < 0.7).astype(np.uint8)
        true[0, 0] = 255
        found = random.random((9, 12)) < 0.3
        clicked = [Clicked(5, 4, True)]
        missed, excess = naive_depths((true == 1) & ~found), naive_depths((true == 0) & found)
        missed[4, 5] = excess[4, 5] = 0
        click = next_click(found, true, clicked)
        depth = missed if click.positive else excess
        assert click.positive == (missed.max() > excess.max())
        assert depth[click.y, click.x] == pytest.approx(depth.max())
        drawn = next_click(found, true, clicked, spread=True)
        assert depth[drawn.y, drawn.x] > depth.max() / 2


def test_the_first_click_is_in_the_middle():
    true = np.zeros((9, 20), np.uint8)
    true[2:7, 4:15] = 1
    click = next_click(np.zeros((9, 20), bool), true, ())
    assert click.y == 4
    assert click.positive
    assert next_click(true == 1, true, ()) is None


def test_random_clicks_say_what_is_true():
    true = np.zeros((30, 40), np.uint8)
    true[5:20, 10:30] = 1
    true[:, 38:] = 255
    counts = set()
    for _ in range(20):
        clicks = random_clicks(true, 2, 3)
        assert clicks[0].positive
        assert all(true[one.y, one.x] == one.positive for one in clicks)
        counts.add((sum(one.positive for one in clicks), sum(not one.positive for one in clicks)))
    assert max(positive for positive, _ in counts) == 3
    assert max(negative for _, negative in counts) == 3
    assert random_clicks(true * 0, 2, 3) == []
    assert clicks_tensor([Clicked(3, 4, False)], 2).tolist() == [[3, 4, 0], [-1, -1, -1]]


def test_each_object_is_a_sample():
    scenes = Shapes(3, size=64, things=(2, 3), labels=("boxes", "masks"))
    objects = SingleObjects(scenes)
    assert len(objects) == sum(len(scenes[index][1]["masks"]) for index in range(3))
    image, target = objects[2]
    image_index, place = objects.objects[2]
    assert torch.equal(image, scenes[image_index][0])
    assert torch.equal(target["object"].bool(), scenes[image_index][1]["masks"][place])
    assert len(SingleObjects(scenes, max_objects=2)) == 2
    assert len(SingleObjects(scenes, min_area=600)) < len(objects)
    with pytest.raises(InputError, match="No object of the data has a box of 90000 pixels or more"):
        SingleObjects(scenes, min_area=90_000)
    with pytest.raises(IndexError):
        objects[len(objects)]


def test_objects_of_photos(real_data):
    source = Click.open(real_data("penn_fudan"))
    objects = SingleObjects(source.val)
    image, target = objects[0]
    assert target["object"].shape == (image.height, image.width)
    assert target["object"].sum() > 100


def test_clicks_in_words():
    assert parse_click("120,80.5,+") == Clicked(120, 80.5, True)
    assert parse_click("0,3,-") == Clicked(0, 3, False)
    for words in ("1,2", "1,2,3", "a,2,+", "1,2,+,4", "nan,1,+", ""):
        with pytest.raises(InputError, match="is no click: give the column, the row and"):
            parse_click(words)
