"""A JPEG decoded in no more detail than it is used in: the same part of the image, nearly the same pixels."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from res2net.errors import InputError
from res2net.images import (
    BadImage,
    DataSettings,
    ImageFiles,
    Jpeg,
    TrainAugment,
    Transformed,
    decode_image,
    eval_transform,
    open_image,
    open_source,
    read_image,
    train_transform,
)
from res2net.weights.records import Preprocessing

BILINEAR = Image.Resampling.BILINEAR


@cache
def photo(width: int, height: int) -> Image.Image:
    """Noise at several scales, more of it the coarser it is, as photographs have."""
    rng = np.random.default_rng(width)
    pixels = np.zeros((height, width, 3))
    for cells in (3, 9, 27, 81, 243):
        layer = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        pixels += np.asarray(layer.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64) / cells
    return Image.fromarray((pixels / pixels.max() * 255).astype(np.uint8))


def ramps(width: int, height: int) -> Image.Image:
    """Red tells the column and green the row, from 0 to 255."""
    columns, rows = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([columns, rows, 0 * rows], -1).round().astype(np.uint8))


def encoded(image: Image.Image, orientation: int = 1, **options) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, exif=exif, **options)
    return buffer.getvalue()


def psnr(one, other) -> float:
    """Decibels of 8-bit pixels."""
    difference = np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)
    return 10 * np.log10(255**2 / (difference**2).mean())


@pytest.fixture
def scales(monkeypatch) -> list[int]:
    """The scale of each image that was decoded in less than full detail."""
    found = []
    draft = JpegImageFile.draft

    def noted(image, mode, size):
        full = image.width
        answer = draft(image, mode, size)
        found.append(round(full / image.width))
        return answer

    monkeypatch.setattr(JpegImageFile, "draft", noted)
    return found


@pytest.mark.parametrize("box", [(0, 0, 301, 203), (17, 30, 280, 151)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_where_all_detail_is_needed_nothing_changes(box, orientation, scales):
    data = encoded(photo(301, 203) if orientation == 1 else photo(203, 301), orientation)
    jpeg = Jpeg(data, "a.jpg")
    assert jpeg.size == (301, 203)
    expected = decode_image(data, "a.jpg").crop(box).resize((150, 120), BILINEAR)
    assert np.array_equal(np.asarray(jpeg.cut(box, (150, 120), BILINEAR)), np.asarray(expected))
    assert not scales


@pytest.mark.parametrize(
    ("side", "scale"), [(257, 1), (256, 2), (129, 2), (128, 4), (64, 8), (65, 4), (8, 8), (1024, 1), (1500, 1)]
)
def test_at_least_two_pixels_are_decoded_for_one(side, scale, scales):
    cut = Jpeg(encoded(Image.new("RGB", (1024, 1040))), "a.jpg").cut((0, 0, 1024, 1040), (side, side), BILINEAR)
    assert cut.size == (side, side)
    assert scales == ([scale] if scale > 1 else [])


def test_the_side_that_needs_more_detail_decides(scales):
    jpeg = Jpeg(encoded(Image.new("RGB", (1024, 1024))), "a.jpg")
    jpeg.cut((0, 0, 1024, 512), (128, 128), BILINEAR)
    jpeg.cut((0, 0, 1024, 1024), (128, 128), BILINEAR)
    assert scales == [2, 4]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("remainder", [0, 1, 5])
def test_the_part_is_the_same_however_the_image_is_turned(orientation, scale, remainder, scales):
    image = ramps(640 + remainder, 480 + remainder)
    size = (image.width // (2 * scale), image.height // (2 * scale))
    expected = Jpeg(encoded(image), "a.jpg").cut((0, 0, *image.size), size, BILINEAR)
    expected.getexif()[0x0112] = orientation
    ImageOps.exif_transpose(expected, in_place=True)
    turned = Jpeg(encoded(image, orientation), "a.jpg")
    cut = turned.cut((0, 0, *turned.size), expected.size, BILINEAR)
    assert scales == [scale, scale]
    # A shift by one pixel of the full image is a shift by 0.4 or 0.5 levels.
    difference = np.asarray(cut, dtype=np.float64) - np.asarray(expected)
    assert np.abs(difference[1:-1, 1:-1].mean((0, 1))).max() < 0.2
    assert np.abs(difference[1:-1, 1:-1]).max() <= 2


def mode_of(image: Image.Image, kind: str) -> bytes:
    options = {"progressive": {"progressive": True}, "4:4:4": {"subsampling": 0}, "4:2:0": {"subsampling": 2}}
    modes = {"grey": "L", "cmyk": "CMYK"}
    return encoded(image.convert(modes.get(kind, "RGB")), **options.get(kind, {}))


@pytest.mark.parametrize("kind", ["4:4:4", "4:2:0", "progressive", "grey", "cmyk"])
@pytest.mark.parametrize("size", [(1600, 1200), (997, 1331)])
def test_the_pixels_hardly_change_in_any_kind_of_jpeg(kind, size, scales):
    data = mode_of(photo(*size), kind)
    full, jpeg = decode_image(data, "a.jpg"), Jpeg(data, "a.jpg")
    box = (100, 50, 900, 850)
    for side in (200, 150, 100, 60):
        cut = jpeg.cut(box, (side, side), BILINEAR)
        assert cut.mode == "RGB"
        assert psnr(cut, full.crop(box).resize((side, side), BILINEAR)) > 42
    assert scales == [2, 2, 4, 4]


@pytest.mark.parametrize("ending", ["png", "webp", "tif", "bmp"])
def test_other_formats_are_decoded_at_once(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    photo(60, 40).save(path)
    image = open_image(path)
    assert isinstance(image, Image.Image)
    assert np.array_equal(np.asarray(image), np.asarray(read_image(path)))


def test_a_jpeg_is_known_by_its_content(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(photo(60, 40)))
    assert isinstance(open_image(path), Jpeg)


@pytest.mark.parametrize("keep", [0, 2, 30, 2000])
def test_broken_files_are_told_at_the_latest_when_pixels_are_needed(tmp_path, keep):
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(photo(600, 400))[:keep])
    with pytest.raises(BadImage, match=r"Cannot read the image .*a\.jpg"):
        open_image(path).cut((0, 0, 600, 400), (60, 40), BILINEAR)
    files = ImageFiles([str(path)], [0], ["a"])
    [skipped] = [Transformed(files, eval_transform(Preprocessing(32)), "skip", "scaled")[0]]
    assert skipped.path == str(path)
    with pytest.raises(BadImage):
        Transformed(files, eval_transform(Preprocessing(32)), "stop", "scaled")[0]


@pytest.fixture
def images(tmp_path):
    """JPEG files whose pixels tell where they are, and a PNG."""
    paths = []
    for width, height in ((1600, 1200), (901, 1203), (640, 480), (300, 200)):
        paths.append(tmp_path / f"{width}.jpg")
        ramps(width, height).save(paths[-1], quality=95)
    Image.open(paths[0]).save(tmp_path / "a.png")
    return ImageFiles([str(path) for path in [*paths, tmp_path / "a.png"]], [0] * 5, ["a"])


AUGMENTS = [TrainAugment(), TrainAugment(scale=(0.5, 1.0), ratio=(1.0, 1.0)), TrainAugment(pad=2), TrainAugment(pad=0)]
LEVELS = Preprocessing(64, mean=(0.0,) * 3, std=(1 / 255,) * 3)


@pytest.mark.parametrize("augment", AUGMENTS)
def test_the_same_seed_gives_the_same_crops(images, augment, scales):
    transform = train_transform(LEVELS, augment)
    full, scaled = (Transformed(images, transform, decode=decode) for decode in ("full", "scaled"))
    for index in range(len(images)):
        for seed in range(10):
            torch.manual_seed(seed)
            expected, target = full[index]
            after = torch.rand(1)
            torch.manual_seed(seed)
            image, same = scaled[index]
            assert after == torch.rand(1), "another number of draws"
            assert same == target
            # A level is a 255th of the image's side. Near edges of the crop, resizing sees a pixel more or less.
            assert (image - expected).abs().mean() < 0.6
            assert (image - expected).abs().max() < 3
    assert scales, "nothing was scaled"


@pytest.mark.parametrize("crop", [0.875, 1.0, 0.6])
def test_evaluation_sees_the_same_part(images, crop, scales):
    transform = eval_transform(Preprocessing(65, crop, mean=LEVELS.mean, std=LEVELS.std))
    for index in range(len(images)):
        expected, image = (Transformed(images, transform, decode=decode)[index][0] for decode in ("full", "scaled"))
        assert (image - expected).abs().mean() < 0.6
        assert (image - expected).abs().max() < 3
    assert scales, "nothing was scaled"


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
def test_pixels_of_evaluation_hardly_change(tmp_path, interpolation, scales):
    path = tmp_path / "a.jpg"
    photo(1600, 1200).save(path, quality=95)
    transform = eval_transform(Preprocessing(224, 0.875, interpolation, LEVELS.mean, LEVELS.std))
    assert psnr(transform(open_image(path)), transform(read_image(path))) > 42
    assert scales == [2]


def test_a_jpeg_alone_is_transformed_too(tmp_path):
    jpeg = Jpeg(encoded(photo(300, 200)), "a.jpg")
    assert eval_transform(LEVELS)(jpeg).shape == train_transform(LEVELS)(jpeg).shape == (3, 64, 64)


def test_a_source_hands_the_choice_to_both_halves(tmp_path, scales):
    for name in ("train/a", "train/b", "val/a", "val/b"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        photo(600, 400).save(folder / "a.jpg")
    source = open_source(tmp_path, DataSettings(decode="scaled"))
    assert isinstance(source.train[0][0], Image.Image), "without a transform images are decoded"
    train, val = source.transformed(train_transform(LEVELS, TrainAugment(scale=(1.0, 1.0))), eval_transform(LEVELS))
    for samples in (train, val):
        assert samples[0][0].shape == (3, 64, 64)
    assert len(scales) == 2


def test_sources_without_files_ignore_the_choice():
    source = open_source("shapes", DataSettings(decode="scaled"))
    _, val = source.transformed(train_transform(source.preprocessing), eval_transform(source.preprocessing))
    _, full = open_source("shapes").transformed(train_transform(source.preprocessing), val.transform)
    assert torch.equal(val[0][0], full[0][0])


def test_a_misspelt_choice_is_told(tmp_path):
    for make in (lambda: open_source("shapes", DataSettings(decode="scale")), lambda: Transformed([], decode="scale")):
        with pytest.raises(InputError, match="Unknown way to decode 'scale': did you mean 'scaled'"):
            make()
