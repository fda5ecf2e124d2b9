"""Objects cut out of images."""

import numpy as np
import pytest
import torch
from PIL import Image

from res2net.errors import InputError
from res2net.tasks.pixels.saliency.result import Matte, on_checkerboard


@pytest.fixture
def image():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 48, 3)).astype(np.uint8))


def test_a_cut_out_has_the_colours_of_the_image_and_the_opacity_of_the_map(image):
    opacity = np.random.default_rng(1).integers(0, 256, (30, 48)).astype(np.uint8)
    clear = Matte(opacity).cut_out(image)
    assert clear.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(clear)[..., :3], np.asarray(image))
    np.testing.assert_array_equal(np.asarray(clear)[..., 3], opacity)
    tensor = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)
    assert Matte(opacity).cut_out(tensor) == clear


def test_a_map_of_another_size_is_refused(image):
    with pytest.raises(InputError, match="one value for each pixel"):
        Matte(np.zeros((48, 30), np.uint8)).cut_out(image)


def test_a_checkerboard_shows_through(image):
    opacity = np.zeros((30, 48), np.uint8)
    opacity[:, 24:] = 255
    seen = np.asarray(on_checkerboard(Matte(opacity).cut_out(image)))
    np.testing.assert_array_equal(seen[:, 24:], np.asarray(image)[:, 24:])
    assert set(np.unique(seen[:, :24])) == {204, 255}
    # Squares of two pixels: 24 along the longer side.
    assert seen[0, :6, 0].tolist() == [255, 255, 204, 204, 255, 255]
    assert seen[:6, 0, 0].tolist() == [255, 255, 204, 204, 255, 255]
