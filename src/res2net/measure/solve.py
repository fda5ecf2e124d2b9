"""The width whose cost is nearest a budget."""

from __future__ import annotations

from collections.abc import Callable

from res2net.errors import InputError
from res2net.nn.layers import check_positive

__all__ = ["nearest_width"]


def nearest_width(cost: Callable[[int], float], budget: float, most: int = 4096) -> int:
    """The integer from 1 to `most` whose cost is nearest `budget`; of two equally near neighbours, the smaller.

    Args:
        cost: of a width; it must not fall as the width grows. It is called about `log2(most)` times.
        budget: in the units of `cost`, above 0.
        most: the largest width that is tried.

    Raises:
        InputError: the budget is not above 0, or `most` is no positive integer.
    """
    check_positive("Largest width", most)
    if not budget > 0:
        raise InputError(f"Budget {budget!r} does not fit: give a number above 0.")
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        if cost(middle) < budget:
            low = middle
        else:
            high = middle
    return low if abs(cost(low) - budget) <= abs(cost(high) - budget) else high
