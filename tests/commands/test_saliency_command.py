"""`res2net train`, `predict` and `export` of salient objects, on a few drawn scenes."""

import json

import numpy as np
import pytest
from PIL import Image

from res2net.images.shapes.dataset import Shapes

# What exporters say of their own code.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

KINDS = {"L": 96, "RGBA": (9, 60, 200, 80), "CMYK": (0, 60, 200, 80), "I;16": 40_000, "RGB": (9, 60, 200)}


@pytest.fixture
def photos(tmp_path):
    """Images of several kinds and of odd sizes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels, _ = Shapes(1, size=64, things=2)[0]
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).resize((57, 33)).save(folder / "a.png")
    for number, (mode, colour) in enumerate(KINDS.items()):
        image = Image.new(mode, (1 + 20 * number, 41), colour)
        image.save(folder / f"b{number}.{'jpg' if mode == 'CMYK' else 'png'}")
    turned = Image.new("RGB", (30, 50), (200, 90, 10))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "c.jpg", exif=exif)
    return folder


@pytest.mark.parametrize("decoder", ["dss", pytest.param("poolnet_edges", marks=pytest.mark.slow)])
def test_train_predict_and_export(run, tiny, tmp_path, photos, decoder):
    folder = tmp_path / "run"
    answer = run("train", "saliency", "shapes:4,3", *tiny(out=folder, size=64), "--decoder", decoder, "--channels", 16)
    assert (answer.status, answer.err) == (0, "")
    line = next(line for line in answer.out.splitlines() if line.startswith("epoch"))
    assert "max_F" in line
    assert "MAE" in line
    report = (folder / "report.html").read_text()
    assert "weighted F-measure" in report

    weights = ["--weights", folder / "best.safetensors", "--accelerator", "cpu"]
    saved, drawn = tmp_path / "saved", tmp_path / "drawn"
    found = run("predict", "saliency", photos, *weights, "--json", "--save", saved, "--draw", drawn)
    assert (found.status, found.err) == (0, "")
    entries = json.loads(found.out)
    files = sorted(photos.iterdir())
    assert len(entries) == len(files) == 7
    for number, (entry, path) in enumerate(zip(entries, files, strict=True), start=1):
        with Image.open(path) as image:
            size = image.size[::-1] if path.name == "c.jpg" else image.size
        assert entry["salient"]["segmentation"]["size"] == [size[1], size[0]]
        stem = f"{number:05d}-{path.stem}"
        with Image.open(saved / f"{stem}-mask.png") as mask, Image.open(saved / f"{stem}-cutout.png") as cut:
            assert (mask.size, mask.mode, cut.size, cut.mode) == (size, "L", size, "RGBA")
            np.testing.assert_array_equal(np.asarray(mask), np.asarray(cut)[..., 3])
        with Image.open(drawn / f"{stem}.png") as full_image:
            assert full_image.size == (3 * size[0] + 8, size[1])

    if decoder == "dss":  # one export is enough: it takes seconds
        return
    file = tmp_path / "network.onnx"
    answer = run("export", "saliency", folder / "best.safetensors", "--to", "onnx", "--out", file)
    assert answer.status == 0, answer.err
    again = run("predict", "saliency", photos, "--runtime", "onnx", "--weights", file, "--json")
    assert again.status == 0, again.err
    assert len(json.loads(again.out)) == 7


def test_a_decoder_that_is_misspelt_is_told(refused, tiny):
    said = refused("train", "saliency", "shapes:4,3", *tiny(size=64), "--decoder", "poolnett")
    assert "did you mean 'poolnet'" in said


def test_dss_tells_one_thing_of_a_pixel(refused, tiny):
    assert "DSS tells one thing" in refused("train", "segment", "shapes:4,3", *tiny(size=64), "--decoder", "dss")
