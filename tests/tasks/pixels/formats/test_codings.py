"""Label maps are read exactly: by index, in all their bits, and turned as their image is."""

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from conftest import open_pixels
from res2net.errors import InputError
from res2net.images.decode import BadImage
from res2net.images.faults import AnnotationReport
from res2net.images.sources import open_source
from res2net.tasks.pixels.formats.codings import DepthMaps, SaliencyMasks, SemanticMaps, masks_of, turned
from res2net.tasks.pixels.formats.open import read_pixels


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
        for use in (kind.read, kind.header):
            with pytest.raises(BadImage) as caught:
                use(str(tmp_path / name))
            assert "\n" not in str(caught.value)


def test_classes_are_not_read_from_files_with_loss_or_colours(tmp_path):
    Image.new("L", (4, 3)).save(tmp_path / "a.jpg")
    Image.new("RGB", (4, 3), "red").save(tmp_path / "b.png")
    Image.new("LA", (4, 3)).save(tmp_path / "c.png")
    for name, said in (
        ("a.jpg", "without loss"),
        ("b.png", r"its pixels are colours: list these .* in labelmap\.txt"),
        ("c.png", "some of its pixels are transparent"),
    ):
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
    assert np.array_equal(turned(values, orientation), expected)


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
    values = (np.arange(12, dtype=np.uint8) % 5).reshape(3, 4)
    for stem in ("a", "b"):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
        Image.fromarray(values).save(tmp_path / "images" / f"{stem}.png", exif=exif(6))
        Image.fromarray(np.ascontiguousarray(np.rot90(values, -1))).save(tmp_path / "masks" / f"{stem}.png")
    image, target = open_pixels(tmp_path, "semantic")[0][0]
    assert np.array_equal(np.asarray(image)[..., 0], target["semantic"])


def turned_pair(root, stem, values, orientation, *, upright, own=1, endings=("png", "png")):
    """An image that EXIF turns, with the map of its pixels as they are stored, or as they are seen."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(exist_ok=True, parents=True)
    stored = Image.fromarray(values)
    lossless = {"lossless": True} if endings[0] == "webp" else {}
    image = Image.fromarray(values * 60)
    image.save(root / "images" / f"{stem}.{endings[0]}", exif=exif(orientation), **lossless)
    stored.getexif()[ExifTags.Base.Orientation] = orientation
    made = ImageOps.exif_transpose(stored) if upright else Image.fromarray(values)
    made.save(root / "masks" / f"{stem}.{endings[1]}", **({} if own == 1 else {"exif": exif(own)}))


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("endings", [("png", "png"), ("tif", "png")])
def test_maps_of_turned_images_have_the_stored_or_the_upright_size(tmp_path, orientation, upright, endings):
    """A map that fits both ways is taken as the one of an image whose quarter turn tells."""
    values = (np.arange(12, dtype=np.uint8) % 5).reshape(3, 4)
    turned_pair(tmp_path, "a", values, orientation, upright=upright, endings=endings)
    turned_pair(tmp_path, "tells", values, 6, upright=upright, endings=endings)
    source = open_source(tmp_path, labels=("semantic",), reader=read_pixels)
    for samples in (source.train, source.val):
        image, target = samples[0]
        assert np.array_equal(np.asarray(image)[..., 0] // 60, target["semantic"])
    said = "they are taken as upright" if upright else "they are turned along, as those are whose size tells"
    assert [said in note for note in source.notes] == ([True] if orientation < 5 else [])


def test_a_map_that_fits_both_ways_is_told(tmp_path):
    for stem, orientation in (("a", 3), ("b", 1), ("c", 2)):
        turned_pair(tmp_path, stem, np.eye(4, dtype=np.uint8), orientation, upright=False)
    source = open_source(tmp_path, labels=("semantic",), reader=read_pixels)
    (note,) = source.notes
    assert note.startswith("2 images are turned by the EXIF orientation, and their maps would fit turned or not: they ")


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("endings", [("png", "png"), ("tif", "png"), ("png", "tif"), ("tif", "tif"), ("webp", "png")])
def test_a_map_with_an_orientation_of_its_own(tmp_path, orientation, endings):
    values = (np.arange(12, dtype=np.uint8) % 5).reshape(3, 4)
    for stem in ("a", "b"):
        turned_pair(tmp_path, stem, values, orientation, upright=False, own=orientation, endings=endings)
    source = open_source(tmp_path, labels=("semantic",), reader=read_pixels)
    image, target = source.train[0]
    assert np.array_equal(np.asarray(image)[..., 0] // 60, target["semantic"])
    assert source.notes == []


def disc(size=64, levels=(0, 255), smooth=0.0):
    """A disc `(H, W)` uint8 of the second level, with an edge that is `smooth` pixels wide."""
    rows, columns = np.indices((size, size)) - size / 2 + 0.5
    inside = ((size / 3 - np.hypot(rows, columns)) / max(smooth, 1e-9) + 0.5).clip(0, 1)
    return (levels[0] + inside * (levels[1] - levels[0])).round().astype(np.uint8)


@pytest.mark.parametrize("kind", ["smooth", "jpeg", "jpeg of colours", "16 bits", "transparent"])
def test_masks_with_soft_edges_are_cut_at_half(tmp_path, kind):
    sharp, soft = disc() > 0, disc(smooth=0.0 if kind.startswith("jpeg") else 4.0)
    path = tmp_path / ("a.jpg" if kind.startswith("jpeg") else "a.png")
    image = {
        "16 bits": lambda: Image.fromarray(soft.astype(np.uint16) * 257),
        "jpeg of colours": lambda: Image.fromarray(np.stack([soft, soft * 0, soft * 0], -1)),
        "transparent": lambda: Image.fromarray(np.dstack([np.full((64, 64, 3), 255, np.uint8), soft])),
    }.get(kind, lambda: Image.fromarray(soft))()
    image.save(path, **({"quality": 60} if path.suffix == ".jpg" else {}))
    report = AnnotationReport(tmp_path)
    found = masks_of([str(path)], report, "salient").read(str(path))
    assert (found != sharp).mean() < 0.01
    assert report.remarks == [
        "1 of 1 masks have values between black and white, as soft edges and JPEG make them: "
        "pixels above half of white are salient."
    ]


@pytest.mark.parametrize(
    ("levels", "note"),
    [((0, 1), []), ((0, 255), []), ((0, 100), ["The masks have the values 0, 100: pixels of 100 are salient."])],
)
def test_masks_of_two_values(tmp_path, levels, note):
    Image.fromarray(disc(levels=levels)).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "none.png")
    report = AnnotationReport(tmp_path)
    masks = masks_of([str(tmp_path / "a.png"), str(tmp_path / "none.png")], report, "salient")
    assert np.array_equal(masks.read(str(tmp_path / "a.png")), disc() > 0)
    assert not masks.read(str(tmp_path / "none.png")).any()
    assert report.remarks == note


def test_masks_without_white_have_several_meanings(tmp_path):
    Image.fromarray(np.array([[0, 1, 2, 3]], np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="have the values 0, 1, 2, 3, of which none is white: save them as 0 and 255"):
        masks_of([str(tmp_path / "a.png")], AnnotationReport(tmp_path), "salient")


def test_flat_colours_are_salient_however_dark(tmp_path):
    Image.fromarray(np.array([[[0, 0, 0], [64, 0, 0], [0, 0, 128], [9, 9, 40]]], np.uint8)).save(tmp_path / "a.png")
    assert SaliencyMasks().read(str(tmp_path / "a.png")).tolist() == [[False, True, True, True]]


def test_a_palette_whose_first_colour_is_the_object(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8))
    image.putpalette([200, 0, 0, 0, 0, 0, 0, 128, 0])
    image.save(tmp_path / "a.png")
    assert SaliencyMasks().read(str(tmp_path / "a.png")).tolist() == [[True, False, True]]


def test_colours_and_transparency_that_disagree(tmp_path):
    mask = disc()
    Image.fromarray(np.dstack([mask, mask, mask, mask[::-1] // 2 + np.roll(mask, 9) // 2])).save(tmp_path / "a.png")
    with pytest.raises(BadImage, match="its colours and its transparency are different masks"):
        SaliencyMasks().read(str(tmp_path / "a.png"))


def test_inverse_depth(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[0.5, 0, 4]], np.float32))
    assert DepthMaps(1, inverse=True).read(str(tmp_path / "a.npy")).tolist() == [[2.0, 0.0, 0.25]]
    assert DepthMaps(2, inverse=True).read(str(tmp_path / "a.npy")).tolist() == [[4.0, 0.0, 0.5]]


def test_photos_are_no_masks(tmp_path):
    photo = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"are neither black nor white in \d+% of their pixels: give masks in which"):
        masks_of([str(tmp_path / "a.png")], AnnotationReport(tmp_path), "salient")
