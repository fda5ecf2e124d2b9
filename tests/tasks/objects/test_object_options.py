"""What transforms of images with objects refuse."""

from __future__ import annotations

import pytest
import torch
from torchvision import tv_tensors

from res2net.errors import InputError
from res2net.images.joint_transforms import ObjectAugment, object_eval_transform, object_train_transform
from res2net.weights.records import Preprocessing

SAME = Preprocessing(40)
ALWAYS = ObjectAugment(flip=1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": (0.0, 1.0)}, "crop"),
        ({"crop": (0.5, 1.5)}, "crop .* 1.0 at most"),
        ({"min_sizes": (0,)}, "min_sizes 0 is out of range"),
        ({"min_sizes": (800.5,)}, "give a whole number"),
        ({"min_sizes": (800,), "max_size": 700}, "max_size 700 is out of range: give 800 or more"),
        ({"jitter": (2.0, 0.1)}, "jitter"),
        ({"jitter_size": 0}, "jitter_size"),
        ({"flip": 1.1}, "flip"),
        ({"color_jitter": -0.1}, "color_jitter"),
        ({"photometric_distort": 1.1}, "photometric_distort"),
    ],
)
def test_options_out_of_range_are_told(options, message):
    with pytest.raises(InputError, match=message):
        ObjectAugment(**options)


@pytest.mark.parametrize("pairs", [[(0, 0)], [(0, 1), (1, 2)], [(-1, 2)], [(1,)]])
def test_flip_pairs_that_are_none_are_told(pairs):
    with pytest.raises(InputError, match=r"flip_pairs .* each index once"):
        object_train_transform(SAME, ALWAYS, pairs)


def test_flip_pairs_beyond_the_key_points_are_told():
    target = {"keypoints": tv_tensors.KeyPoints(torch.ones(1, 2, 2), canvas_size=(40, 40))}
    with pytest.raises(InputError, match=r"flip pairs \[.*\(1, 2\).*\] do not fit 2 keypoints"):
        object_train_transform(SAME, ALWAYS, [(1, 2)])(torch.zeros(3, 40, 40), target)


def test_limits_that_contradict_the_network_are_told():
    with pytest.raises(InputError, match="max_size 1333 is out of range: give 1400 or more"):
        object_train_transform(Preprocessing(1400))
    with pytest.raises(InputError, match="max_size 10 is out of range"):
        object_eval_transform(SAME, 10)
    for name in ("color_jitter", "photometric_distort"):
        with pytest.raises(InputError, match=f"{name} needs 1 or 3 channels"):
            object_train_transform(Preprocessing(8, mean=(0.5, 0.5), std=(1.0, 1.0)), ObjectAugment(**{name: 0.1}))
