"""Images of every mode and of odd sizes, and their maps, give a sample or one clear sentence."""

import numpy as np
import pytest
from PIL import Image

from res2net.images import BadImage
from res2net.tasks.pixels.formats.codings import SaliencyMasks, SemanticMaps
from res2net.tasks.pixels.formats.images import PixelFiles, PixelImages

MODES = {
    "grey": ("L", "png"),
    "black and white": ("1", "png"),
    "palette": ("P", "png"),
    "transparent": ("RGBA", "png"),
    "transparent grey": ("LA", "png"),
    "16 bits": ("I;16", "png"),
    "CMYK": ("CMYK", "jpg"),
    "YCbCr": ("YCbCr", "jpg"),
    "decimal": ("F", "tif"),
}


def sample(tmp_path, image, ending, labels, coding, label="semantic"):
    full_image, numbers = tmp_path / f"image.{ending}", tmp_path / "map.png"
    image.save(full_image)
    labels.save(numbers)
    return PixelImages(PixelFiles("odd", label, ("a", "b"), [(str(full_image), str(numbers))], coding))


@pytest.mark.parametrize("size", [(1, 1), (33, 57), (1, 40)])
@pytest.mark.parametrize("kind", MODES)
def test_images_of_every_mode_and_size(tmp_path, kind, size):
    mode, ending = MODES[kind]
    images = sample(tmp_path, Image.new(mode, size), ending, Image.new("L", size, 1), SemanticMaps({0: 0, 1: 1}))
    if mode == "F":
        with pytest.raises(BadImage, match=r"have no agreed white: save it with 8 or 16 bits"):
            images[0]
        return
    image, target = images[0]
    assert (image.mode, image.size) == ("RGB", size)
    assert target["semantic"].tolist() == [[1] * size[0]] * size[1]


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "I;16"])
def test_maps_of_every_mode(tmp_path, mode):
    """A grey of several channels is a number, white is 255."""
    image = Image.new("RGB", (33, 57))
    mask = Image.new(mode, (33, 57), "white" if mode in ("RGBA", "LA") else 1)
    if mode == "P":
        mask.putpalette([0, 0, 0, 255, 255, 255])
    classes = sample(tmp_path, image, "png", mask, SemanticMaps({0: 0, 1: 1}))
    if mode in ("RGBA", "LA"):
        assert np.unique(classes[0][1]["semantic"]).tolist() == [255]
    else:
        assert np.unique(classes[0][1]["semantic"]).tolist() == [1]
    assert sample(tmp_path, image, "png", mask, SaliencyMasks(), "saliency")[0][1]["saliency"].all()


def test_a_map_of_another_size_is_told(tmp_path):
    images = sample(tmp_path, Image.new("L", (33, 57)), "png", Image.new("L", (57, 33)), SemanticMaps({0: 0, 1: 1}))
    with pytest.raises(BadImage, match="it has 57 x 33 pixels, and its image has 33 x 57"):
        images[0]
