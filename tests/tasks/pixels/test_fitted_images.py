"""Images that have to fit into the size of an exported detector."""

import pytest
import torch
from PIL import Image

from res2net.images.joint_geometry import fitting_size
from res2net.images.joint_transforms import object_eval_transform
from res2net.weights import Preprocessing

PLAIN = Preprocessing(40, mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.mark.parametrize("most", [(64, 64), (32, 96), (7, 5)])
@pytest.mark.parametrize("given", [(30, 30), (1, 500), (500, 1), (33, 97), (480, 640)])
def test_the_largest_that_fits(given, most):
    """One side is exact; the other is what the shape says, rounded down."""
    scale = min(limit / side for limit, side in zip(most, given, strict=True))
    found = fitting_size(*given, *most)
    assert found == tuple(max(1, int(side * scale + 1e-9)) for side in given)
    assert any(side == limit for side, limit in zip(found, most, strict=True))


@pytest.mark.parametrize(
    ("given", "expected"),
    [((20, 30), (40, 60)), ((30, 20), (48, 32)), ((20, 100), (12, 64)), ((80, 80), (40, 40))],
    ids=["fits", "high", "wide", "square"],
)
def test_only_what_would_be_larger_is_made_smaller(given, expected):
    full_image = Image.effect_noise(given[::-1], 100).convert("RGB")
    image, target = object_eval_transform(PLAIN, 100, (48, 64))(full_image, {})
    assert target["size_now"] == tuple(image.shape[1:]) == expected
    assert target["original_size"] == given
    padded = object_eval_transform(PLAIN, 100, (48, 64), padded=True)(full_image)
    assert padded.shape == (3, 48, 64)
    assert torch.equal(padded[:, : expected[0], : expected[1]], image)
    assert padded.count_nonzero() == image.count_nonzero()
