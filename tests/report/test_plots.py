"""Figures: what they draw, how they are labelled, and that odd data do not break them."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from res2net.errors import InputError
from res2net.report import Panel, confusion_matrix, curve_panels, curves, lines_with_errors, render

EDGES = [6, 12, 24, 48, 90]


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def texts_of(axes):
    return [text.get_text() for text in axes.texts]


def size_of(figure):
    return Image.open(io.BytesIO(render(figure))).size


class TestCurves:
    def test_each_series_is_a_line_with_its_name(self):
        figure = curves({"training": ([1, 2, 3], [3, 2, 1]), "validation": ([1, 3], [4, 2])}, "epoch", "loss")
        (axes,) = figure.axes
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "loss")
        assert [line.get_ydata().tolist() for line in axes.lines] == [[3, 2, 1], [4, 2]]
        assert legend_of(figure) == ["training", "validation"]
        assert size_of(figure)[0] == 1400

    def test_a_name_has_one_look_in_all_panels_and_no_two_names_share_one(self):
        x = torch.arange(30)
        series = {f"model {index}": (x, x + index) for index in range(20)}
        figure = curve_panels([Panel(series, "loss"), Panel(dict(reversed(series.items())), "accuracy (%)")], "epoch")
        looks = [[(line.get_color(), line.get_linestyle()) for line in axes.lines] for axes in figure.axes]
        assert looks[0] == looks[1][::-1]
        assert len(set(looks[0])) == 20
        assert len(legend_of(figure)) == 20
        assert size_of(figure)[0] == 1400

    def test_an_odd_number_of_panels_leaves_no_empty_axes(self):
        figure = curve_panels([Panel({"a": ([1], [1])}, str(index)) for index in range(3)], "epoch")
        assert [axes.get_ylabel() for axes in figure.axes] == ["0", "1", "2"]

    def test_legends_do_not_cover_the_data(self):
        series = {"a rather long name of a model " * 3 + str(index): ([0, 1], [0, 1]) for index in range(9)}
        figure = curves(series, "epoch", "loss")
        render(figure, scale=1)
        legend, axes = figure.legends[0].get_window_extent(), figure.axes[0].get_window_extent()
        assert legend.y0 >= axes.y1
        assert legend.x1 <= figure.bbox.x1
        assert axes.height > 250

    def test_missing_values_leave_gaps_and_only_missing_ones_are_told(self):
        assert texts_of(curves({"a": ([1, 2, 3], [1, np.nan, np.inf])}, "x", "y").axes[0]) == []
        for values in ([], [np.nan], [np.inf]):
            figure = curves({"a": (range(len(values)), values)}, "x", "y")
            assert texts_of(figure.axes[0]) == ["no values"]
            assert size_of(figure)
        assert size_of(curves({}, "x", "y"))

    def test_mistakes_are_told(self):
        with pytest.raises(InputError, match="The curve 'a' has 2 x and 1 y values: give equal numbers"):
            curves({"a": ([1, 2], [1])}, "x", "y")
        with pytest.raises(InputError, match="no panels"):
            curve_panels([], "x")


class TestLinesWithErrors:
    VALUES = torch.tensor([[60.0, 70, 80, 90], [62.0, 70, 86, 90], [64.0, 70, 83, float("nan")]])

    COUNTS = torch.tensor([10, 2000, 0, 7])

    def test_means_and_standard_deviations(self):
        figure = lines_with_errors({"a": self.VALUES}, EDGES, "size (%)", "accuracy (%)", self.COUNTS)
        container = figure.axes[0].containers[0]
        assert container.lines[0].get_ydata() == pytest.approx([62, 70, 83, 90])
        lengths = [np.ptp(segment[:, 1]) for segment in container.lines[2][0].get_segments()]
        assert lengths == pytest.approx([2 * 2, 0, 2 * 3, 0])
        assert figure.legends[0].get_title().get_text() == (
            "line: mean of the seeds; bars: ± 1 standard deviation; dots: single seeds"
        )
        assert legend_of(figure) == ["a (3 seeds)"]

    def test_every_seed_is_a_dot(self):
        figure = lines_with_errors({"a": self.VALUES}, EDGES, "size (%)", "accuracy (%)", self.COUNTS)
        dots = [line for line in figure.axes[0].lines if line.get_alpha()]
        assert np.array([line.get_ydata() for line in dots]) == pytest.approx(self.VALUES.numpy(), nan_ok=True)

    def test_points_lie_within_their_bins_side_by_side(self):
        figure = lines_with_errors(dict.fromkeys("abc", self.VALUES), EDGES, "size (%)", "accuracy (%)", self.COUNTS)
        x = np.array([container.lines[0].get_xdata() for container in figure.axes[0].containers])
        assert (np.diff(x, axis=0) > 0).all()
        assert (x > EDGES[:-1]).all()
        assert (x < EDGES[1:]).all()
        assert x[1] == pytest.approx(np.sqrt(np.multiply(EDGES[:-1], EDGES[1:])))
        assert figure.axes[0].get_xscale() == "log"

    def test_counts_stand_below(self):
        figure = lines_with_errors({"a": self.VALUES}, EDGES, "size (%)", "accuracy (%)", self.COUNTS)
        above, below = figure.axes
        assert (above.get_ylabel(), below.get_ylabel(), below.get_xlabel()) == ("accuracy (%)", "images", "size (%)")
        assert texts_of(below) == ["10", "2,000", "0", "7"]
        assert [bar.get_height() for bar in below.patches] == [10, 2000, 0, 7]
        render(figure)
        assert [text.get_text() for text in below.get_xticklabels()] == ["6", "12", "24", "48", "90"]

    def test_one_seed_has_neither_bars_nor_words_about_them(self):
        figure = lines_with_errors({"a": [1, 2, 3, 4]}, EDGES, "x", "y", self.COUNTS)
        assert figure.axes[0].containers[0].lines[2] == ()
        assert figure.legends[0].get_title().get_text() == ""
        assert legend_of(figure) == ["a"]
        assert size_of(figure)

    def test_odd_data(self):
        assert texts_of(lines_with_errors({"a": [np.nan] * 4}, EDGES, "x", "y", counts=[0] * 4).axes[0]) == [
            "no values"
        ]
        assert size_of(lines_with_errors({"a": [[1, np.inf, 2, 3], [1, 1, 1, 1]]}, EDGES, "x", "y", self.COUNTS))
        many = np.arange(1, 100)
        assert size_of(lines_with_errors({}, EDGES, "x", "y", self.COUNTS))
        assert size_of(lines_with_errors({"$a$": many[:-1]}, many, "x", "y", counts=many[:-1]))

    @pytest.mark.parametrize(
        ("values", "options", "message"),
        [
            ([1, 2], {}, r"'a' has values of shape \(1, 2\) for 4 bins"),
            (np.zeros((0, 4)), {}, "'a' has values of shape"),
            ([1, 2, 3, 4], {"counts": [1]}, "'counts' has values of shape"),
            ([1, 2, 3, 4], {"edges": [1, 2, 2, 3, 4]}, "not edges of bins: give two or more above 0 in ascending"),
            ([1, 2, 3, 4], {"edges": [0, 1, 2, 3, 4]}, "above 0"),
            ([1, 2, 3, 4], {"edges": [1]}, "not edges of bins"),
            ([1, 2, 3, 4], {"edges": [1, 2, 3, 4, np.inf]}, "not edges of bins"),
        ],
    )
    def test_mistakes_are_told(self, values, options, message):
        with pytest.raises(InputError, match=message):
            lines_with_errors(
                {"a": values}, x_label="x", y_label="y", **{"edges": EDGES, "counts": self.COUNTS} | options
            )


class TestConfusionMatrix:
    def test_rows_are_in_percent(self):
        figure = confusion_matrix(torch.tensor([[3, 1], [0, 500]]), ["cat", "dog"])
        axes, bar = figure.axes
        assert axes.images[0].get_array().tolist() == [[75, 25], [0, 100]]
        assert texts_of(axes) == ["75", "25", "100"]
        assert (axes.get_ylabel(), axes.get_xlabel()) == ("true class", "predicted class")
        assert bar.get_ylabel() == "share of the true class (%)"
        assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]

    def test_rare_confusions_are_not_rounded_away(self):
        assert texts_of(confusion_matrix([[999, 1], [0, 1]], ["a", "b"]).axes[0]) == ["100", "<1", "100"]

    def test_a_class_without_images_is_neither_right_nor_wrong(self):
        array = confusion_matrix([[0, 0], [1, 1]], ["a", "b"]).axes[0].images[0].get_array()
        assert array.mask.tolist() == [[True, True], [False, False]]
        array = confusion_matrix([[np.nan, 1], [1, 1]], ["a", "b"]).axes[0].images[0].get_array()
        assert array.mask.tolist() == [[True, True], [False, False]]

    @pytest.mark.parametrize("classes", [1, 2, 12, 13, 40, 41, 200, 1000])
    def test_labels_fit_any_number_of_classes(self, classes):
        names = [f"a very long name of a class, number {index} of many" for index in range(classes)]
        figure = confusion_matrix(np.eye(classes), names)
        axes = figure.axes[0]
        render(figure, scale=1)
        width, height = figure.get_size_inches()
        assert width <= 7.001
        assert 0.5 < height / width < 1.5
        assert len(axes.get_yticks()) <= 40
        assert (classes <= 40) == (len(axes.get_yticks()) == classes)
        assert len(axes.texts) == (classes if classes <= 12 else 0)
        boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
        assert all(upper.y0 >= lower.y1 - 1 for upper, lower in pairwise(boxes))
        assert min(box.x0 for box in boxes) >= 0
        boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
        assert all(left.x1 <= right.x0 + 1 for left, right in pairwise(boxes))
        # Each cell is large enough to be seen.
        shown = axes.images[0].get_array().shape[0]
        assert axes.get_window_extent().width / shown > 1.8

    def test_many_classes_share_cells_and_no_confusion_is_lost(self):
        counts = np.eye(1000)
        counts[3, 801] = 1
        figure = confusion_matrix(counts, [str(index) for index in range(1000)])
        array = figure.axes[0].images[0].get_array()
        assert array.shape == (200, 200)
        assert array[0, 160] == 50
        assert array.sum() == 200 * 100 + 50
        assert figure.axes[1].get_ylabel().endswith("maximum of 5 x 5 classes")

    def test_blocks_at_the_border_may_be_smaller(self):
        array = confusion_matrix(np.eye(201), ["x"] * 201).axes[0].images[0].get_array()
        assert array.shape == (101, 101)
        assert array[100, 100] == 100

    @pytest.mark.parametrize(
        ("matrix", "names"),
        [(np.zeros((0, 0)), []), (np.eye(2), ["a"]), ([[1, -1], [0, 1]], ["a", "b"]), ([1], ["a"]), ([[np.inf]], "a")],
    )
    def test_mistakes_are_told(self, matrix, names):
        with pytest.raises(InputError, match=r"A confusion matrix of shape .* does not fit \d class names"):
            confusion_matrix(matrix, names)


def test_figures_become_png_and_svg_files_that_do_not_change():
    figure = curves({"<script>": ([1, 2], [1, 2])}, "x", "y")
    assert render(figure, scale=1) == render(figure, scale=1)
    svg = render(figure, "svg")
    assert b"<svg" in svg
    assert b"<script" not in svg
    assert b"<dc:date>" not in svg
    with pytest.raises(InputError, match="Unknown kind of image 'pgn': did you mean 'png'"):
        render(figure, "pgn")
