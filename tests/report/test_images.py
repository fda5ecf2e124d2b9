"""Sheets of images, and heat maps over images."""

from __future__ import annotations

import io
import itertools
import time

import numpy as np
import pytest
import torch
from PIL import Image

from res2net.errors import InputError
from res2net.images.shapes.dataset import Shapes
from res2net.report import captioned, image_grid, image_rows, overlay, render
from res2net.report.images import as_image, fit, image_table


def texts_of(figure):
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def pixels_of(figure):
    return np.asarray(Image.open(io.BytesIO(render(figure))).convert("RGB"))


@pytest.fixture(scope="module")
def image():
    return Shapes(1, size=64)[0][0]


class TestGrid:
    def test_small_images_grow_by_a_whole_number_and_keep_their_pixels(self, image):
        pixels = pixels_of(image_grid([image], columns=4))
        expected = image.permute(1, 2, 0).numpy().repeat(5, 0).repeat(5, 1)
        left = (1400 // 4 - 320) // 2
        assert (pixels[12 : 12 + 320, left : left + 320] == expected).all()
        assert pixels.shape[1] == 1400

    def test_captions_stand_below_their_images(self, image):
        figure = image_grid([image] * 3, ["one\n→ two 60 %", "b", ""], columns=2)
        assert texts_of(figure) == ["one\n→ two 60 %", "b"]
        render(figure, scale=1)
        one, b = (text for text in figure.axes[0].texts if text.get_text())
        assert one.get_position()[1] == b.get_position()[1]
        assert one.get_window_extent().x1 < b.get_window_extent().x0

    @pytest.mark.parametrize("columns", [1, 3, 8])
    def test_long_captions_stay_within_their_column(self, image, columns):
        captions = ["supercalifragilisticexpialidocious", "several words that take several lines", "WWWWWW WWWWWW" * 9]
        figure = image_grid([image] * 3, captions, columns)
        render(figure, scale=1)
        for text in figure.axes[0].texts:
            assert text.get_window_extent().width <= 700 / columns
            assert text.get_window_extent().y0 >= 0

    def test_images_of_any_kind_and_size_share_a_sheet(self, image):
        grey = torch.zeros(1, 300, 20, dtype=torch.uint8)
        assert pixels_of(image_grid([image, grey, Image.new("L", (999, 5)), Image.new("RGBA", (1, 1))])).size

    def test_no_images_are_told(self):
        assert texts_of(image_grid([])) == ["no images"]
        assert pixels_of(image_grid([])).size

    def test_mistakes_are_told(self, image):
        with pytest.raises(InputError, match="1 images, 2 captions and 5 columns do not fit"):
            image_grid([image], ["a", "b"])
        with pytest.raises(InputError, match="0 columns do not fit"):
            image_grid([image], columns=0)
        with pytest.raises(InputError, match=r"\(3, 64, 64\) of torch.float32 is not an image: .* `denormalise`"):
            image_grid([image.float()])
        with pytest.raises(InputError, match="200 rows of images are too many for a sheet"):
            image_grid([Image.new("L", (8, 8))] * 200, columns=1)
        with pytest.raises(InputError, match="0 x 4 pixels cannot be drawn"):
            image_grid([torch.zeros(3, 4, 0, dtype=torch.uint8)])


class TestCaptioned:
    def test_the_image_is_above_and_the_letters_below(self, image):
        pixels = np.asarray(captioned(image, "cat 90 %\ndog 10 %"))
        expected = image.permute(1, 2, 0).numpy().repeat(10, 0).repeat(10, 1)
        assert pixels.shape[1] == 700
        assert (pixels[6 : 6 + 640, 30 : 30 + 640] == expected).all()
        assert (pixels[:6] == 255).all()
        assert (pixels[6 + 640 : 652] == 255).all()
        caption = pixels[652:]
        assert caption.min() < 100
        assert (caption[:, :250] == 255).all()  # in the middle
        assert (caption[-2:] == 255).all()  # whole

    def test_each_line_takes_its_room(self, image):
        heights = [captioned(image, "\n".join(["x"] * lines)).height for lines in range(1, 5)]
        assert len({after - before for before, after in itertools.pairwise(heights)}) == 1
        assert captioned(image, "").height < heights[0]
        assert captioned(image, "several words " * 40).height == heights[1]

    @pytest.mark.parametrize("name", ["größe $x^2$", "中文", "x" * 500])
    @pytest.mark.parametrize("size", [(1, 1), (3000, 20), (20, 3000)])
    def test_any_name_below_any_image(self, name, size):
        drawn = captioned(Image.new("L", size), name)
        assert (np.asarray(drawn)[-21:] < 128).any()
        assert drawn.mode == "RGB"

    def test_it_is_fast(self, image):
        """Hundreds of images are drawn one by one; as sheets they took half a second each."""
        captioned(image, "first")
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            captioned(image, "cat 90 %\ndog 10 %")
            seconds.append(time.perf_counter() - start)
        assert min(seconds) < 0.1


class TestRows:
    def test_columns_have_titles_and_colours_a_legend(self, image):
        rows = [[image, overlay(image, torch.rand(64, 64))]] * 2
        figure = image_rows(rows, ["image", "Res2Net"], [["a", "b"], ["c", "d"]], heat_legend="evidence")
        assert texts_of(figure) == ["image", "Res2Net", "a", "b", "c", "d", "none", "most", "evidence"]
        plain = image_rows(rows, ["image", "Res2Net"])
        assert texts_of(plain) == ["image", "Res2Net"]
        assert plain.get_figheight() < figure.get_figheight()

    def test_mistakes_are_told(self, image):
        for rows, captions in ([[[image]], ()], [[[image] * 2], [["a"]]], [[[image] * 2], [["a", "b"]] * 2]):
            with pytest.raises(InputError, match="do not fit 2 column titles"):
                image_rows(rows, ["one", "two"], captions)


class TestOverlay:
    def test_without_heat_the_image_stays_clear_and_grey(self, image):
        cold = np.asarray(overlay(image, torch.zeros(64, 64)))
        assert (cold == cold[..., :1]).all()
        grey = np.asarray(as_image(image).convert("L"), dtype=float)
        assert np.corrcoef(cold[..., 0].ravel(), grey.ravel())[0, 1] > 0.999

    def test_heat_has_the_colour_of_the_map(self, image):
        hot, cold = (np.asarray(overlay(image, heat * torch.ones(64, 64)), dtype=float) for heat in (1, 0))
        assert np.abs(hot - (0.25 * cold + 0.75 * np.array([240, 249, 33]))).max() <= 1

    def test_odd_heat(self, image):
        heat = torch.full((64, 64), float("nan"))
        assert overlay(image, heat).tobytes() == overlay(image, torch.zeros(64, 64)).tobytes()
        assert overlay(image, heat.fill_(7)).tobytes() == overlay(image, torch.ones(64, 64)).tobytes()
        with pytest.raises(InputError, match=r"A heat map \(2, 2\) does not fit an image of 64 x 64 pixels"):
            overlay(image, torch.zeros(2, 2))


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [((32, 32), 100, (96, 96)), ((64, 16), 100, (64, 16)), ((200, 100), 50, (50, 25)), ((1000, 1), 10, (10, 1))],
)
def test_fitting_keeps_the_proportions(size, side, expected):
    assert fit(Image.new("RGB", size), side).size == expected


def test_a_table_of_images_centres_each_in_its_cell():
    image = Image.effect_noise((48, 30), 100).convert("RGB")
    small = image.resize((10, 20))
    table = image_table([[image, small], [small, small]], gap=4)
    assert table.size == (48 + 4 + 10, 30 + 4 + 20)
    assert table.crop((0, 0, 48, 30)) == image
    assert table.crop((52, 5, 62, 25)) == table.crop((19, 34, 29, 54)) == table.crop((52, 34, 62, 54)) == small
    assert table.getpixel((50, 5)) == table.getpixel((0, 40)) == (255, 255, 255)
    assert image_table([[small], [image]], background=(1, 2, 3)).getpixel((0, 0)) == (1, 2, 3)
