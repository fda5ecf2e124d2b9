"""The width whose cost is nearest a budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from res2net.errors import InputError
from res2net.measure import nearest_width


@given(st.floats(0.01, 1e4), st.integers(1, 64), st.floats(0, 3), st.floats(0, 50))
def test_it_is_the_best_of_all(budget, most, square, linear):
    def cost(width):
        return square * width**2 + linear * width

    found = abs(cost(nearest_width(cost, budget, most)) - budget)
    assert found == min(abs(cost(width) - budget) for width in range(1, most + 1))


def test_it_asks_seldom():
    asked = []
    assert nearest_width(lambda width: asked.append(width) or width**2, 1000.0) == 32
    assert len(asked) < 20


@pytest.mark.parametrize("budget", [0, -1.0, float("nan")])
def test_a_budget_is_above_zero(budget):
    with pytest.raises(InputError, match="give a number above 0"):
        nearest_width(float, budget)


def test_the_largest_width_is_a_positive_integer():
    with pytest.raises(InputError, match="Largest width 0"):
        nearest_width(float, 3.0, most=0)
