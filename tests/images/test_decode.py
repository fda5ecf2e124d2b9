"""Any image file becomes an upright RGB image, or one sentence."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from torch.utils.data import DataLoader

from res2net.images import BadImage, decode_image, read_image
from res2net.images.decode import image_header
from res2net.images.faults import AnnotationReport

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 20), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (12, 20, 3), dtype=np.uint8)


def saved(image: Image.Image, path: Path, **options) -> Path:
    image.save(path, **options)
    return path


def pixels(path: Path) -> np.ndarray:
    image = read_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize("ending", ["bmp", "png", "ppm", "tif"])
def test_colour_is_read_as_it_is(tmp_path, ending):
    np.testing.assert_array_equal(pixels(saved(Image.fromarray(COLOUR), tmp_path / f"a.{ending}")), COLOUR)


def test_a_colour_image_is_not_copied(tmp_path, monkeypatch):
    path = saved(Image.fromarray(COLOUR), tmp_path / "a.jpg")
    monkeypatch.setattr(Image.Image, "copy", lambda _: pytest.fail("copied"))
    assert pixels(path).shape == COLOUR.shape


@pytest.mark.parametrize(("ending", "options"), [("jpg", {}), ("webp", {"lossless": True}), ("jp2", {})])
def test_compressed_formats_are_those_of_pillow(tmp_path, ending, options):
    path = saved(Image.fromarray(COLOUR), tmp_path / f"a.{ending}", **options)
    np.testing.assert_array_equal(pixels(path), np.asarray(Image.open(path)))


def test_grey_has_three_equal_channels(tmp_path):
    np.testing.assert_array_equal(
        pixels(saved(Image.fromarray(GREY), tmp_path / "a.png")), np.stack([GREY] * 3, axis=-1)
    )


def test_one_bit_is_black_and_white(tmp_path):
    image = Image.fromarray(GREY > 127)
    assert image.mode == "1"
    expected = np.where(GREY > 127, 255, 0)
    np.testing.assert_array_equal(pixels(saved(image, tmp_path / "a.png"))[..., 0], expected)


def test_palette_becomes_its_colours(tmp_path):
    image = Image.fromarray(COLOUR).quantize(16)
    np.testing.assert_array_equal(pixels(saved(image, tmp_path / "a.gif")), np.asarray(image.convert("RGB")))


def test_cmyk_becomes_colour(tmp_path):
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    for name in ("a.jpg", "a.tif"):
        assert tuple(pixels(saved(image, tmp_path / name))[4, 4]) == pytest.approx((255, 0, 0), abs=3)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path, ending):
    values = np.array([[0, 257, 128 * 257, 65535, 300, 40000]], dtype=np.uint16)
    path = saved(Image.fromarray(values), tmp_path / f"a.{ending}")
    assert pixels(path)[0, :, 0].tolist() == [0, 1, 128, 255, 1, 156]


def test_sixteen_bit_grey_of_a_pgm(tmp_path):
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 3 1 65535\n" + np.array([0, 32896, 65535], ">u2").tobytes())
    assert pixels(path)[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_without_an_agreed_white_are_refused(tmp_path, mode):
    path = saved(Image.new(mode, (4, 4), 100_000), tmp_path / "a.tif")
    with pytest.raises(BadImage, match=f"mode {mode}.*no agreed white: save it with 8 or 16 bits"):
        read_image(path)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_lie_on_white(tmp_path, mode):
    hidden = (10,) * (len(mode) - 1)
    path = saved(Image.new(mode, (2, 2), (*hidden, 0)), tmp_path / "a.png")
    assert (pixels(path) == 255).all()
    path = saved(Image.new(mode, (2, 2), (*hidden, 255)), tmp_path / "b.png")
    assert (pixels(path) == 10).all()


def test_a_transparent_colour_of_a_palette_lies_on_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([9, 9, 9, 200, 0, 0])
    image.putdata([0, 1])
    for options in ({"transparency": 0}, {"transparency": b"\x00\xff"}):
        assert pixels(saved(image, tmp_path / "a.png", **options)).tolist() == [[[255] * 3, [200, 0, 0]]]


def test_a_transparent_colour_without_alpha_lies_on_white(tmp_path):
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8))
    path = saved(image, tmp_path / "a.png", transparency=(1, 2, 3))
    assert pixels(path).tolist() == [[[255] * 3, [4, 5, 6]]]


def test_the_first_frame_of_an_animation_is_taken(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = saved(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert pixels(path)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_the_image_is_turned_as_its_exif_says(tmp_path, orientation, ending):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(Image.fromarray(COLOUR), tmp_path / f"a.{ending}", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(path))
    assert expected.size == ((20, 12) if orientation < 5 else (12, 20))
    np.testing.assert_array_equal(pixels(path), np.asarray(expected))


def test_sixteen_bit_grey_is_turned_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(Image.fromarray(np.array([[0, 65535]], dtype=np.uint16)), tmp_path / "a.png", exif=exif)
    assert pixels(path)[..., 0].tolist() == [[0], [255]]


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\0\0"])
def test_broken_metadata_does_not_cost_the_image(tmp_path, exif):
    path = saved(Image.fromarray(COLOUR), tmp_path / "a.jpg", exif=exif)
    assert read_image(path).size == (20, 12)


def test_metadata_that_cannot_be_rewritten_does_not_cost_the_turn(tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(Image.fromarray(COLOUR), tmp_path / "a.jpg", exif=exif)

    def fail(*_):
        raise TypeError("odd tag")

    monkeypatch.setattr(Image.Exif, "tobytes", fail)
    assert read_image(path).size == (12, 20)


def contents(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.tile(COLOUR, (8, 8, 1))).save(buffer, "PNG" if kind == "broken png" else "JPEG")
    data = buffer.getvalue()
    return {
        "empty": b"",
        "text": b"not an image",
        "truncated": data[: len(data) // 2],
        "header only": data[:30],
        "broken png": data[:40] + bytes(100) + data[140:],
        "vector": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    }[kind]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("empty", "the file is empty"),
        ("text", "not an image of a known format"),
        ("truncated", "truncated"),
        ("header only", None),
        ("broken png", None),
        ("vector", "not an image of a known format"),
    ],
)
def test_a_broken_file_is_told_in_one_sentence_with_its_path(tmp_path, kind, reason):
    path = tmp_path / "a.jpg"
    path.write_bytes(contents(kind))
    with pytest.raises(BadImage, match=reason) as caught:
        read_image(path)
    assert str(caught.value) == f"Cannot read the image {path}: {caught.value.reason}."
    assert caught.value.path == str(path)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_told(tmp_path):
    with pytest.raises(BadImage, match="no such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(BadImage, match="directory"):
        read_image(tmp_path)


def test_large_images_are_read_without_a_warning_and_suspicious_ones_refused(tmp_path, monkeypatch):
    path = saved(Image.fromarray(COLOUR), tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 12 * 20 - 1)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert read_image(path).size == (20, 12)
    assert not told
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(BadImage, match=r"240 pixels.*exceeds limit of 200 pixels"):
        read_image(path)


def bomb(width: int, height: int, bits: int = 8, text: bytes = b"") -> bytes:
    """A black PNG whose pixels compress to nearly nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0))
    rows = zlib.compress(bytes(height * (1 + width * bits // 8)))
    texts = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(text)) if text else b""
    return b"\x89PNG\r\n\x1a\n" + header + texts + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            {"width": 100_000_000, "height": 1, "bits": 1},
            r"it has 100,000,000 x 1 pixels, and a side has at most 65",
        ),
        ({"width": 1, "height": 1_000_000}, r"it has 1 x 1,000,000 pixels, and a side has at most 65,536\."),
        ({"width": 20_000, "height": 9_000, "bits": 1}, r"180000000 pixels\) exceeds limit of 178956970"),
        ({"width": 8, "height": 8, "text": bytes(10_000_000)}, r"Decompressed data too large"),
        (b"P6\n60000 60000\n255\n" + b"0" * 99, r"exceeds limit"),
        (b"P6\n9000 9000\n255\n" + b"0" * 99, r"truncated"),
        (b"P5\n" + b"9" * 5000 + b" 1\n255\n0", r"too long"),
    ],
)
def test_small_files_that_would_fill_the_memory(tmp_path, arguments, reason):
    path = tmp_path / "bomb.png"
    path.write_bytes(content := arguments if isinstance(arguments, bytes) else bomb(**arguments))
    assert len(content) < 100_000
    with pytest.raises(BadImage, match=reason):
        read_image(path)


def test_a_file_that_is_too_large(tmp_path):
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(2**40)  # takes no space on the disk
    with pytest.raises(BadImage, match=r"it has 1,099,511,627,776 bytes, more than 1,073,741,824\."):
        read_image(path)


@pytest.mark.parametrize("value", [0, 128, 129, 32767, 32896, 65406, 65407, 65535])
def test_sixteen_bits_are_rounded_to_eight(tmp_path, value):
    path = saved(Image.fromarray(np.full((2, 3), value, np.uint16)), tmp_path / "a.png")
    assert (pixels(path) == round(value / 257)).all()


def test_bytes_are_decoded_under_a_name():
    with pytest.raises(BadImage, match=r"Cannot read the image shard-0.tar/7.jpg: the file is empty\."):
        decode_image(b"", "shard-0.tar/7.jpg")


def test_the_exception_can_be_pickled():
    error = BadImage.at("a.jpg", "it is broken")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.path, copy.reason) == (str(error), "a.jpg", "it is broken")


class Broken:
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise BadImage.at("a.jpg", "it is broken")


def test_a_worker_hands_on_the_sentence_alone():
    with pytest.raises(BadImage) as caught:
        next(iter(DataLoader(Broken(), num_workers=1)))
    assert str(caught.value) == "Cannot read the image a.jpg: it is broken."


@pytest.mark.parametrize(("keep", "counted"), [(True, {}), (False, {"unreadable image": 1})])
def test_an_unreadable_image_is_kept_or_a_fault(tmp_path, keep, counted):
    (tmp_path / "empty.png").write_bytes(b"")
    report = AnnotationReport(tmp_path)
    with pytest.raises(BadImage) as raised:
        image_header(tmp_path / "empty.png")
    assert report.keeps(raised.value, keep) is keep
    assert report.counts == counted
    faults = report.examples.get("unreadable image", [])
    assert [(fault.file, fault.what.split(" (")[0]) for fault in faults] == (
        [] if keep else [(str(tmp_path / "empty.png"), "it is not an image of a known format")]
    )
