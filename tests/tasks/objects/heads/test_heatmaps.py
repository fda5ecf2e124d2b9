"""Heat maps: what is encoded is decoded, as the formulas say, and a mirrored image tells the same."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from res2net.errors import InputError
from res2net.tasks.objects.keypoints.heatmaps import HeatmapCodec, flip_back, flip_test

HEIGHT, WIDTH = 256, 192
PUBLISHED = HeatmapCodec.published()


def drawn_by_loops(point, rounded, first, sigma=2.0):
    """The map of one point, a pixel after the other, with the window of the published code."""
    x, y = ((value - first) / 4 for value in point)
    near_x, near_y = math.floor(x + 0.5), math.floor(y + 0.5)
    if rounded:
        x, y = near_x, near_y
    heatmap = torch.zeros(64, 48)
    for row in range(64):
        for column in range(48):
            if abs(row - near_y) <= 3 * sigma and abs(column - near_x) <= 3 * sigma:
                heatmap[row, column] = math.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * sigma**2))
    return heatmap


@pytest.mark.parametrize(
    "codec", [PUBLISHED, HeatmapCodec(), HeatmapCodec(rounded=True)], ids=lambda codec: codec.refine
)
def test_maps_are_those_of_the_formula(codec):
    points = torch.tensor([[[90.3, 101.9], [3.0, 250.0], [100.0, 100.0]], [[2.2, 2.2], [187.0, 3.9], [64.5, 17.3]]])
    heatmaps, weights = codec.encode(points, torch.full((2, 3), 2))
    assert tuple(heatmaps.shape) == (2, 3, 64, 48)
    assert weights.tolist() == [[1, 1, 1], [1, 1, 1]]
    for person in range(2):
        for point in range(3):
            naive = drawn_by_loops(points[person, point].tolist(), codec.rounded, codec.origin)
            assert torch.allclose(heatmaps[person, point], naive, atol=1e-6)


inside = st.tuples(st.floats(0, WIDTH, exclude_max=True, width=32), st.floats(0, HEIGHT, exclude_max=True, width=32))
well_inside = st.tuples(st.floats(32, WIDTH - 32, width=32), st.floats(32, HEIGHT - 32, width=32))


def error(codec, point):
    points = torch.tensor([[point]])
    heatmaps, weights = codec.encode(points, torch.ones(1, 1))
    assert weights.item() == 1
    found, scores = codec.decode(heatmaps)
    assert 0.85 <= scores.item() <= 1 + 1e-6
    return float((found - points).abs().max())


@settings(deadline=None)
@given(inside)
def test_a_point_anywhere_in_the_crop_comes_back(point):
    """Half a pixel of the map is 2 of the crop, and a quarter, what remains after a shift by a quarter, is 1."""
    assert error(HeatmapCodec(), point) <= 2 + 1e-3
    assert error(HeatmapCodec(refine="none"), point) <= 2 + 1e-3
    away = min(point[0] - 4, point[1] - 4, WIDTH - 4 - point[0], HEIGHT - 4 - point[1])
    assert error(HeatmapCodec(refine="quarter"), point) <= (1 if away > 0 else 2) + 1e-3


@settings(deadline=None)
@given(st.tuples(st.floats(12, WIDTH - 12, width=32), st.floats(12, HEIGHT - 12, width=32)))
def test_three_pixels_of_a_map_from_its_border_half_a_pixel_of_the_crop_is_the_most(point):
    assert error(HeatmapCodec(), point) < 0.5


@settings(deadline=None)
@given(well_inside)
def test_the_parabola_finds_the_point_between_the_pixels(point):
    assert error(HeatmapCodec(smooth=False), point) < 0.002
    assert error(HeatmapCodec(), point) < 0.02
    assert error(PUBLISHED, point) <= 2 + 1e-3


def decoded_by_loops(heatmap, refine):
    """Of one map `(h, w)`: the steps of the published codes of SimpleBaseline and DARK, without its smoothing."""
    height, width = heatmap.shape
    best = max(range(height * width), key=lambda index: float(heatmap.flatten()[index]))
    y, x = divmod(best, width)
    moved = [float(x), float(y)]
    if 1 <= x < width - 1:
        moved[0] += 0.25 * math.copysign(1, heatmap[y, x + 1] - heatmap[y, x - 1])
    if 1 <= y < height - 1:
        moved[1] += 0.25 * math.copysign(1, heatmap[y + 1, x] - heatmap[y - 1, x])
    if refine == "taylor" and 2 <= x < width - 2 and 2 <= y < height - 2:
        log = heatmap.double().clamp(min=1e-10).log()
        slope = torch.stack([log[y, x + 1] - log[y, x - 1], log[y + 1, x] - log[y - 1, x]]) / 2
        bend = torch.empty(2, 2, dtype=torch.float64)
        bend[0, 0] = (log[y, x + 2] - 2 * log[y, x] + log[y, x - 2]) / 4
        bend[1, 1] = (log[y + 2, x] - 2 * log[y, x] + log[y - 2, x]) / 4
        bend[0, 1] = bend[1, 0] = (log[y + 1, x + 1] - log[y - 1, x + 1] - log[y + 1, x - 1] + log[y - 1, x - 1]) / 4
        if (torch.linalg.eigvalsh(bend) < 0).all():
            offset = -torch.linalg.solve(bend, slope)
            moved = [x + float(offset[0].clamp(-1, 1)), y + float(offset[1].clamp(-1, 1))]
    return moved


@pytest.mark.parametrize("refine", ["quarter", "taylor"])
def test_decoding_is_that_of_the_formula_also_at_borders(refine):
    codec = HeatmapCodec((40, 28), refine=refine, smooth=False)
    maps = torch.rand(40, 3, 10, 7)
    assert len({int(place) % 7 for place in maps.flatten(2).argmax(2).flatten()}) == 7  # every column, the borders too
    points, scores = codec.decode(maps)
    assert torch.equal(scores, maps.amax((2, 3)))
    for image in range(40):
        for point in range(3):
            naive = torch.tensor(decoded_by_loops(maps[image, point], refine)) * 4 + 2
            assert torch.allclose(points[image, point], naive, atol=1e-3)


def test_smoothing_is_a_gaussian_of_eleven_pixels():
    codec = HeatmapCodec()
    maps = torch.rand(1, 2, 64, 48)
    weights = [math.exp(-(place**2) / 8) for place in range(-5, 6)]
    row, column = 20, 30
    naive = (
        sum(
            weights[down + 5] * weights[right + 5] * float(maps[0, 1, row + down, column + right])
            for down in range(-5, 6)
            for right in range(-5, 6)
        )
        / sum(weights) ** 2
    )
    assert float(codec._smoothed(maps)[0, 1, row, column]) == pytest.approx(naive, rel=1e-5)


def test_smoothing_helps_with_noise():
    torch.manual_seed(1)
    points = 40 + torch.rand(50, 4, 2) * 100
    heatmaps, _ = HeatmapCodec().encode(points, torch.ones(50, 4))
    noisy = heatmaps + 0.05 * torch.randn_like(heatmaps)
    errors = {
        smooth: float((HeatmapCodec(smooth=smooth).decode(noisy)[0] - points).norm(dim=-1).mean())
        for smooth in (False, True)
    }
    assert errors[True] < 0.6 * errors[False]


def test_points_outside_and_points_without_label_have_no_weight():
    points = torch.tensor([[[-0.1, 9], [192.0, 9], [9, -3], [9, 256], [math.nan, math.nan], [9, 9], [191.9, 255.9]]])
    visibility = torch.tensor([[2, 2, 1, 2, 0, 0, 1]], dtype=torch.uint8)
    heatmaps, weights = HeatmapCodec().encode(points, visibility)
    assert weights.tolist() == [[0, 0, 0, 0, 0, 0, 1]]
    assert not heatmaps[0, :6].any()
    assert heatmaps[0, 6].max() > 0.85


def test_points_go_back_to_the_image():
    codec = HeatmapCodec(smooth=False)
    points = torch.tensor([[[50.0, 60], [90, 100]], [[70, 70], [120, 33]]])
    matrix = torch.tensor([[[0.5, 0, 7], [0, 0.5, 9]], [[0, -2.0, 300], [2, 0, 1]]], dtype=torch.float64)
    found, _ = codec.decode(codec.encode(points, torch.ones(2, 2))[0], matrix)
    expected = torch.tensor([[[32.0, 39], [52, 59]], [[160, 141], [234, 241]]])
    assert torch.allclose(found, expected, atol=1e-2)


PAIRS = [(0, 1), (3, 4)]


def test_a_mirrored_crop_has_mirrored_maps():
    points = torch.rand(2, 5, 2) * torch.tensor([WIDTH - 60.0, HEIGHT - 60.0]) + 30
    codec = HeatmapCodec()
    heatmaps, _ = codec.encode(points, torch.ones(2, 5))
    mirrored = torch.stack([WIDTH - points[..., 0], points[..., 1]], -1)[:, [1, 0, 2, 4, 3]]
    flipped, _ = codec.encode(mirrored, torch.ones(2, 5))
    assert torch.allclose(flip_back(flipped, PAIRS), heatmaps, atol=1e-5)


def test_the_published_maps_need_a_shift_of_a_pixel():
    """Their pixels lie at 0, 4, ..., and an image's mirror leads from pixel j of 48 to 48 - j."""
    heatmaps, _ = PUBLISHED.encode(torch.tensor([[[80.0, 100.0]]]), torch.ones(1, 1))
    flipped, _ = PUBLISHED.encode(torch.tensor([[[WIDTH - 80.0, 100.0]]]), torch.ones(1, 1))
    assert torch.equal(flip_back(flipped, [], shift=True), heatmaps)
    assert not torch.allclose(flip_back(flipped, []), heatmaps, atol=0.1)


def test_the_shift_keeps_the_first_column():
    maps = torch.arange(6.0).view(1, 1, 2, 3)
    assert flip_back(maps, [], shift=True).tolist() == [[[[2, 2, 1], [5, 5, 4]]]]


def test_the_flip_test_is_the_mean_of_both_ways():
    def model(images):  # a network that finds the brightness, and in a second map twice of it
        return torch.cat([images, 2 * images], 1)

    images = torch.rand(2, 1, 4, 6)
    assert torch.allclose(flip_test(model, images, []), model(images))
    swapped = flip_test(model, images, [(0, 1)])
    assert torch.allclose(swapped, 1.5 * images.expand(-1, 2, -1, -1))


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="did you mean 'taylor'"):
        HeatmapCodec(refine="tailor")
    with pytest.raises(InputError, match="stride"):
        HeatmapCodec((250, 192))
    with pytest.raises(InputError, match="sigma"):
        HeatmapCodec(sigma=0)
    with pytest.raises(InputError, match="too small"):
        HeatmapCodec((16, 16))
    with pytest.raises(InputError, match="give maps of 64 x 48"):
        HeatmapCodec().decode(torch.rand(1, 1, 48, 64))
    with pytest.raises(InputError, match="do not fit 2 keypoints"):
        flip_back(torch.rand(1, 2, 4, 4), [(0, 2)])
