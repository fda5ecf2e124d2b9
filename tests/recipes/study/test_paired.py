"""Statistics over seeds, compared with scipy and with values of textbooks."""

import math

import pytest
from scipy import stats

from res2net.errors import InputError
from res2net.recipes.study import holm, mean_interval, paired_difference


def test_the_interval_is_students():
    values = [70.1, 70.9, 69.8, 70.4, 71.0]
    interval = mean_interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.mean == pytest.approx(70.44)
    assert interval.std == pytest.approx(math.sqrt(sum((value - 70.44) ** 2 for value in values) / 4))


def test_one_value_has_no_interval():
    interval = mean_interval([70.0])
    assert interval.mean == 70
    assert all(math.isnan(value) for value in interval[1:])
    with pytest.raises(InputError, match="no scores to average"):
        mean_interval([])


def test_pairs_are_tested_as_scipy_tests_them():
    first, second = [71.2, 70.4, 72.0, 70.9], [70.1, 70.6, 71.1, 70.2]
    pair = paired_difference(first, second)
    expected = stats.ttest_rel(first, second)
    limits = expected.confidence_interval(0.95)
    assert pair.p == pytest.approx(expected.pvalue)
    assert (pair.low, pair.high) == pytest.approx((limits.low, limits.high))
    assert pair.mean == pytest.approx(0.625)
    assert pair.wins == 3


def test_pairs_use_that_seeds_are_alike():
    """A seed that is hard for both hides the difference of the means, but not that of the pairs."""
    first, second = [60.5, 70.6, 80.4], [60.0, 70.0, 80.0]
    assert paired_difference(first, second).p < 0.05 < stats.ttest_ind(first, second).pvalue


@pytest.mark.parametrize(("second", "p"), [([1.0, 2.0], 1.0), ([0.5, 1.5], 0.0)])
def test_equal_differences(second, p):
    assert paired_difference([1.0, 2.0], second).p == p


def test_what_makes_no_pairs_is_refused():
    with pytest.raises(InputError, match="3 and 2 scores make no pairs"):
        paired_difference([1.0, 2.0, 3.0], [1.0, 2.0])
    assert math.isnan(paired_difference([1.0], [2.0]).p)


def test_p_values_are_corrected_as_holm_did():
    """The example of the article of Wikipedia on the method, and NaN, which is no test."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    corrected = holm([math.nan, 0.5, 0.9])
    assert math.isnan(corrected[0])
    assert corrected[1:] == [1.0, 1.0]
