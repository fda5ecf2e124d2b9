"""Junctions and pixels of roads, and all of it as a metric."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_cdt

from res2net.tasks.roads.graph import RoadGraph
from res2net.tasks.roads.metric import RoadMetric, junction_scores, relaxed_counts

EMPTY = RoadGraph.of([], [])


def star(x, y, directions, length=30):
    ends = [(x + length * np.cos(angle), y + length * np.sin(angle)) for angle in np.radians(directions)]
    return RoadGraph.of([(x, y), *ends], [(0, one) for one in range(1, len(ends) + 1)])


def test_equal_junctions():
    assert junction_scores(star(50, 50, (0, 90, 180)), star(54, 53, (5, 80, 185))).tolist() == [1, 1, 1, 1]


def test_a_junction_too_far_away_is_missed_and_extra():
    assert junction_scores(star(50, 50, (0, 90, 180)), star(61, 50, (0, 90, 180))).tolist() == [0, 1, 0, 1]


def test_arms_that_lack_or_are_too_many():
    crossing, bend = star(50, 50, (0, 90, 180, 270)), star(50, 50, (80, 90, 100))
    # Of the four true arms those at 0 and 180 have one within 90 degrees, at 80 and 100; the one at 270 has none.
    assert junction_scores(crossing, bend) == pytest.approx([0.75, 1, 1, 1])
    assert junction_scores(bend, crossing) == pytest.approx([1, 1, 0.75, 1])


def test_each_junction_is_taken_once():
    two = RoadGraph.of(
        np.concatenate([star(50, 50, (0, 90, 180)).points, star(52, 50, (0, 90, 180)).points]),
        [(0, 1), (0, 2), (0, 3), (4, 5), (4, 6), (4, 7)],
    )
    assert junction_scores(two, star(50, 50, (0, 90, 180))).tolist() == [1, 2, 1, 1]
    assert junction_scores(two, EMPTY).tolist() == [0, 2, 0, 0]


@pytest.mark.parametrize("seed", range(3))
def test_pixels_within_a_tolerance_as_of_a_distance_transform(seed):
    rng = np.random.default_rng(seed)
    truth, found = (rng.random((40, 50)) < 0.02 for _ in range(2))
    near = [distance_transform_cdt(~one, metric="chessboard") <= 3 for one in (truth, found)]
    expected = [(truth & near[1]).sum(), truth.sum(), (found & near[0]).sum(), found.sum()]
    assert relaxed_counts(truth, found, 3).tolist() == expected


def test_the_metric_sums_over_images():
    line = RoadGraph.of([(0, 20), (60, 20)], [(0, 1)])
    metric = RoadMetric()
    metric.update([line, EMPTY], [line, line], [(64, 64), (64, 64)])
    values = {name: float(value) for name, value in metric.compute().items()}
    assert values["APLS"] == 0.5
    assert values["pixel_precision"] == 1
    assert values["pixel_recall"] == 0.5
    assert values["pixel_F1"] == pytest.approx(2 / 3)
    assert values["junction_F1"] == 1  # there are none, and none were found


def test_nothing_anywhere_is_right():
    metric = RoadMetric()
    metric.update([EMPTY], [EMPTY], [(8, 8)])
    assert all(value == 1 for value in metric.compute().values())


def test_nothing_found():
    metric = RoadMetric()
    metric.update([EMPTY], [star(20, 20, (0, 120, 240))], [(64, 64)])
    assert all(value == 0 for value in metric.compute().values())
