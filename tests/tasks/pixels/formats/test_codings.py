"""Label maps are read exactly: by index, in all their bits, and turned as their image is."""

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from conftest import open_pixels
from res2net.images.decode import BadImage
from res2net.tasks.pixels.formats.codings import DepthMaps, SaliencyMasks, SemanticMaps, turned


@pytest.mark.parametrize("mode", ["L", "P", "I;16", "1"])
def test_numbers_of_classes_in_every_mode(tmp_path, mode):
    values = np.array([[0, 1, 1], [1, 0, 0]]) if mode == "1" else np.array([[0, 7, 255], [9, 0, 7]])
    image = Image.fromarray(values.astype(np.uint16)) if mode == "I;16" else Image.fromarray(values.astype(np.uint8))
    if mode == "1":
        image = Image.fromarray(values.astype(bool))
    if mode == "P":
        image.putpalette(list(range(255, -1, -1)) * 3)
    assert image.mode == mode
    image.save(tmp_path / "a.png")
    found = SemanticMaps({0: 0, 1: 1, 7: 3, 9: 2}).read(str(tmp_path / "a.png"))
    assert found.dtype == np.uint8
    assert found.tolist() == ([[0, 1, 1], [1, 0, 0]] if mode == "1" else [[0, 3, 255], [2, 0, 3]])


def test_numbers_above_eight_bits(tmp_path):
    path = str(tmp_path / "a.png")
    Image.fromarray(np.array([[300, 65535]], dtype=np.uint16)).save(path)
    assert SemanticMaps({300: 4}).read(path).tolist() == [[4, 255]]
    with pytest.raises(BadImage, match="its label 300 is no class, of which the numbers are 0 to 1, and 255 is unlab"):
        SemanticMaps({0: 0, 1: 1}).read(path)


@pytest.mark.parametrize("kind", [SemanticMaps({0: 0, 1: 1}), SaliencyMasks(), DepthMaps()])
def test_what_cannot_be_read_is_one_sentence(tmp_path, kind):
    for name, content in (("text.png", b"text"), ("empty.png", b""), ("text.npy", b"text"), ("none.png", None)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        for use in (kind.read, kind.size):
            with pytest.raises(BadImage) as caught:
                use(str(tmp_path / name))
            assert "\n" not in str(caught.value)


def test_classes_are_not_read_from_files_with_loss_or_colours(tmp_path):
    Image.new("L", (4, 3)).save(tmp_path / "a.jpg")
    Image.new("RGB", (4, 3)).save(tmp_path / "b.png")
    for name, said in (("a.jpg", "without loss"), ("b.png", "a mask has one channel")):
        with pytest.raises(BadImage, match=said):
            SemanticMaps({0: 0}).read(str(tmp_path / name))


GREY = np.array([[0, 1, 128, 129, 255]], dtype=np.uint8)


def grey_palette(values):
    image = Image.fromarray(values)
    image.putpalette([level for level in range(256) for _ in range(3)])
    return image


@pytest.mark.parametrize(
    ("image", "salient"),
    [
        (Image.fromarray(GREY), [0, 0, 0, 1, 1]),  # PySODMetrics: gt > 128
        (Image.fromarray(GREY).convert("RGB"), [0, 0, 0, 1, 1]),
        (Image.fromarray(GREY).convert("LA"), [0, 0, 0, 1, 1]),
        (Image.fromarray(GREY.astype(np.uint16) * 257), [0, 0, 0, 1, 1]),
        (grey_palette(GREY), [0, 0, 0, 1, 1]),
        (Image.fromarray(np.array([[0, 1, 1]], dtype=np.uint8)), [0, 1, 1]),
        (Image.fromarray(np.array([[False, True]])), [0, 1]),
    ],
)
def test_what_is_salient(tmp_path, image, salient):
    image.save(tmp_path / "a.png")
    assert SaliencyMasks().read(str(tmp_path / "a.png")).tolist() == [[bool(one) for one in salient]]


def test_a_palette_with_colours_is_salient_but_for_its_first(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8))
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    image.save(tmp_path / "a.png")
    assert SaliencyMasks().read(str(tmp_path / "a.png")).tolist() == [[False, True, True]]


def test_arrays_are_no_programs(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[{"a": 1}]], dtype=object), allow_pickle=True)
    with pytest.raises(BadImage, match="no array of numbers"):
        DepthMaps().read(str(tmp_path / "a.npy"))
    np.save(tmp_path / "b.npy", np.ones((2, 3, 4)))
    with pytest.raises(BadImage, match=r"the shape \(2, 3, 4\), and a map is \(H, W\)"):
        DepthMaps().read(str(tmp_path / "b.npy"))
    np.save(tmp_path / "c.npy", np.ones((2, 3, 1), dtype=np.float32))
    assert DepthMaps().read(str(tmp_path / "c.npy")).shape == (2, 3)


def test_depth_of_eight_bits_needs_a_scale(tmp_path):
    Image.new("L", (4, 3), 10).save(tmp_path / "a.png")
    with pytest.raises(BadImage, match=r"have 8 bits: say how many make a metre, in depth\.json"):
        DepthMaps().read(str(tmp_path / "a.png"))
    assert DepthMaps(5).read(str(tmp_path / "a.png")).tolist() == [[2.0] * 4] * 3


def exif(orientation):
    found = Image.Exif()
    found[ExifTags.Base.Orientation] = orientation
    return found


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_map_turns_as_pillow_turns_its_image(orientation):
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image.fromarray(values)
    image.getexif()[ExifTags.Base.Orientation] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(turned(values, orientation, expected.shape), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_image_and_its_map_stay_together(tmp_path, orientation):
    """The map holds the image's own grey: after any turn they agree everywhere."""
    values = np.tile(np.arange(12, dtype=np.uint8).reshape(3, 4).repeat(8, 0).repeat(8, 1) * 20, (1, 1))
    for stem in ("a", "b"):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
        Image.fromarray(values).save(tmp_path / "images" / f"{stem}.png", exif=exif(orientation))
        Image.fromarray(values // 20).save(tmp_path / "masks" / f"{stem}.png")
    image, target = open_pixels(tmp_path, "semantic")[0][0]
    assert image.size == ((32, 24) if orientation < 5 else (24, 32))
    assert np.array_equal(np.asarray(image)[..., 0] // 20, target["semantic"])


def test_a_map_that_was_made_upright_is_not_turned_again(tmp_path):
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for stem in ("a", "b"):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
        Image.fromarray(values).save(tmp_path / "images" / f"{stem}.png", exif=exif(6))
        Image.fromarray(np.ascontiguousarray(np.rot90(values, -1))).save(tmp_path / "masks" / f"{stem}.png")
    image, target = open_pixels(tmp_path, "semantic")[0][0]
    assert np.array_equal(np.asarray(image)[..., 0], target["semantic"])
