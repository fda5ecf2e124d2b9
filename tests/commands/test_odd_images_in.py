"""Odd images in, maps of their size and orientation out: each dense task with each kind of image."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from pixel_files import checkpoint

from res2net.images.shapes.dataset import Shapes

SIDES = (57, 33)
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How an image lies in a file whose EXIF says how to turn it back."""
MAPS = {
    "segment": "-classes",
    "saliency": "-mask",
    "depth": "-depth",
    "click": "-mask",
    "roads": "",
    "translate": "-translated",
}
"""What the files with the maps of the tasks end in."""


def turned(image, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return image.transpose(TURNS[orientation]), {"exif": exif}


def deep(image):
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def black(image):
    """CMYK with all ink in K, which is the same grey again."""
    nothing = Image.new("L", image.size)
    return Image.merge("CMYK", [nothing] * 3 + [Image.eval(image.convert("L"), lambda value: 255 - value)])


# What is said to be the same as the first, or as the second, of these has to give exactly the same map.
COLOURED = {"plain": lambda image: (image, {}), "rgba": lambda image: (image.convert("RGBA"), {})}
COLOURED |= {f"turned{number}": lambda image, number=number: turned(image, number) for number in TURNS}
GREY = {
    "grey": lambda image: (image.convert("L").convert("RGB"), {}),
    "one_channel": lambda image: (image.convert("L"), {}),
    "with_alpha": lambda image: (image.convert("LA"), {}),
    "sixteen_bits": lambda image: (deep(image), {}),
}
OTHER = {
    "half_clear": lambda image: (Image.merge("RGBA", (*image.split(), image.convert("L"))), {}),
    "palette": lambda image: (image.quantize(64), {}),
    "one_bit": lambda image: (image.convert("1"), {}),
}
SIZES = {"one": (1, 1), "row": (57, 1), "column": (1, 33), "few": (2, 3), "long": (301, 5)}


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A folder of images, and the sizes (width, height) in which they are seen; not to be changed."""
    folder = tmp_path_factory.mktemp("odd")
    pixels, _ = Shapes(1, size=64, things=2)[0]
    image = Image.fromarray(pixels.permute(1, 2, 0).numpy()).resize(SIDES)
    sizes = {}
    for name, kind in (COLOURED | GREY | OTHER).items():
        made, options = kind(image)
        made.save(folder / f"{name}.png", **options)
        sizes[f"{name}.png"] = SIDES
    black(image).save(folder / "cmyk.tif")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    sizes |= {"cmyk.tif": SIDES, "cmyk.jpg": SIDES}
    for name, size in SIZES.items():
        image.resize(size).save(folder / f"{name}.png")
        sizes[f"{name}.png"] = size
    Image.fromarray(np.ones((4, 4), np.float32)).save(folder / "real_numbers.tif")
    return folder, sizes


@pytest.mark.parametrize("task", MAPS)
def test_maps_have_the_size_and_the_orientation_in_which_images_are_seen(run, odd, tmp_path, task):
    folder, sizes = odd
    words = ["--weights", checkpoint(tmp_path, task), "--accelerator", "cpu", "--bad-images", "skip", "--json"]
    words += ["--clicks", "0,0,+"] if task == "click" else []
    saved, drawn = tmp_path / "saved", tmp_path / "drawn"
    answer = run("predict", task, folder, *words, "--save", saved, "--draw", drawn)
    assert (answer.status, answer.err) == (0, "")
    told = json.loads(answer.out)
    errors = {entry["file"]: entry["error"] for entry in told if "error" in entry}
    assert list(errors) == [str(folder / "real_numbers.tif")]
    assert "have no agreed white: save it with 8 or 16 bits" in errors[str(folder / "real_numbers.tif")]
    maps = {}
    for number, path in enumerate(sorted(folder.iterdir()), start=1):
        if path.name not in sizes:
            continue
        assert (drawn / f"{number:05d}-{path.stem}.png").is_file()
        with Image.open(saved / f"{number:05d}-{path.stem}{MAPS[task]}.png") as found:
            assert found.size == sizes[path.name], path.name
            maps[path.name] = np.asarray(found)
    assert len(np.unique(maps["plain.png"])) > 1
    for names in (COLOURED, GREY):
        first, *others = names
        for name in others:
            np.testing.assert_array_equal(maps[f"{name}.png"], maps[f"{first}.png"], err_msg=name)
    np.testing.assert_array_equal(maps["cmyk.tif"], maps["grey.png"])


@pytest.mark.parametrize(
    ("task", "decoder"), [("segment", "deeplabv3plus"), ("saliency", "dss"), ("saliency", "poolnet_edges")]
)
def test_maps_by_windows_and_of_other_decoders(run, odd, tmp_path, task, decoder):
    folder, sizes = odd
    words = ["--weights", checkpoint(tmp_path, task, decoder=decoder), "--accelerator", "cpu"]
    chosen = ["--task-options", "window", 32, "scales", "[0.5,1]", "flip_test", "true"]
    for name in ("one.png", "long.png", "turned6.png"):
        saved = tmp_path / name
        answer = run("predict", task, folder / name, *words, "--save", saved, *chosen)
        assert (answer.status, answer.err) == (0, "")
        with Image.open(next(path for path in saved.iterdir() if path.stem.endswith(MAPS[task]))) as found:
            assert found.size == sizes[name]


@pytest.mark.parametrize("model", ["res2net3d20_26w_4s_tiny", "ecapa_tdnn_512"])
@pytest.mark.parametrize("task", ["segment", "translate"])
def test_networks_for_other_signals_are_refused(refused, tiny, task, model):
    source = "shapes-masks" if task == "translate" else "shapes"
    sentence = refused("train", task, source, *tiny(model=model))
    assert f"and the task {task} needs a 2-D one: choose another with --model." in sentence


def test_a_discriminator_needs_some_pixels(refused, tiny):
    told = refused("train", "translate", "shapes-masks", *tiny(model="res2_generator_tiny", size=8))
    assert told == "size (with a discriminator) 8 is out of range: give 16 or more."
