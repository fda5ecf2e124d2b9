"""The figure of receptive fields: what is drawn and how it is labelled."""

import io
from itertools import combinations

import pytest
import torch
from PIL import Image

from res2net.errors import InputError
from res2net.measure import EffectiveField
from res2net.report import Fields, fields_figure, render
from res2net.report.fields import most_end_at


def network(spread=8.0, size=33, paths=None):
    place = torch.arange(size, dtype=torch.float64) - size // 2
    gradient = torch.exp(-(place[:, None] ** 2 + place**2) / spread**2)
    return Fields(paths or {1: 1, 3: 3, 5: 2, 7: 1}, EffectiveField(gradient / gradient.sum(), (size // 2,) * 2))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_one_distribution_one_curve_and_one_map_for_each_network(count):
    names = [f"res2net{index}_26w_4s" for index in range(count)]
    figure = fields_figure({name: network(4 + index) for index, name in enumerate(names)})
    paths, shares, *maps = figure.axes
    assert paths.get_xlabel() == "receptive field of a path, px"
    assert paths.get_ylabel() == "paths, %"
    assert (shares.get_xlabel(), shares.get_ylabel()) == (
        "side of a square around the centre, px",
        "gradient within, %",
    )
    assert [axes.get_title() for axes in maps[:count]] == names
    assert {axes.get_xlabel() for axes in maps[:count]} == {"px from the centre"}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == names
    assert Image.open(io.BytesIO(render(figure))).width == 1400
    boxes = [axes.get_tightbbox() for axes in figure.axes] + [figure.legends[0].get_window_extent()]
    assert not any(first.overlaps(second) for first, second in combinations(boxes, 2)), "they cover each other"


def test_the_share_of_paths_in_percent():
    figure = fields_figure({"a": network(), "b": network(paths={1: 10**400, 300: 3 * 10**400})})
    left = figure.axes[0]
    assert left.get_ylabel() == "paths, % in each 8 px"
    heights = [patch.get_data().values for patch in left.patches]
    assert [values.sum() for values in heights] == pytest.approx([100] * 4)
    assert heights[-1][0] == pytest.approx(25)
    assert heights[-1][300 // 8] == pytest.approx(75)


def test_the_gradient_within_a_square():
    figure = fields_figure({"a": network()})
    curve = figure.axes[1].lines[0].get_ydata()
    assert curve[-1] == pytest.approx(100)
    assert (curve[1:] >= curve[:-1]).all()
    image = figure.axes[2].images[0]
    assert image.get_array().max() == pytest.approx(100)
    assert image.get_extent() == [-16.5, 16.5, 16.5, -16.5]


def test_mistakes_are_told():
    with pytest.raises(InputError, match="There are no networks to plot"):
        fields_figure({})
    for wrong in (
        Fields({}, network().effective),
        Fields({1: 1}, EffectiveField(torch.ones(3) / 3, (1,))),
    ):
        with pytest.raises(InputError, match="The receptive fields of a cannot be plotted"):
            fields_figure({"a": wrong})


def test_the_axis_of_paths_ends_where_nearly_all_do():
    assert most_end_at({1: 10, 5: 980, 9: 9, 900: 1}) == 9
    assert most_end_at({1: 10, 5: 970, 900: 20}) == 900
    assert most_end_at({3: 10**400, 7: 10**400}) == 7
