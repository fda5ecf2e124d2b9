"""Clicks to an IoU, counted by hand."""

from __future__ import annotations

import math

import pytest

from res2net.errors import InputError
from res2net.tasks.pixels.click.metric import ClicksToIoU


def test_the_numbers():
    metric = ClicksToIoU(20)
    metric.update([0.5, 0.86, 0.84, 0.91])  # 2 clicks to 85 %, though it falls below again, 4 to 90 %
    metric.update([0.95])
    metric.update([0.1] * 20)
    found = metric.compute()
    assert found["NoC@85"] == pytest.approx((2 + 1 + 20) / 3)
    assert found["NoC@90"] == pytest.approx((4 + 1 + 20) / 3)
    assert found["reached@85"] == pytest.approx(2 / 3)
    assert found["IoU@1"] == pytest.approx((0.5 + 0.95 + 0.1) / 3)
    assert found["IoU@3"] == pytest.approx((0.84 + 0.95 + 0.1) / 3)
    assert found["IoU@5"] == pytest.approx((0.91 + 0.95 + 0.1) / 3)


def test_exactly_the_goal_is_enough():
    metric = ClicksToIoU()
    metric.update([0.85, 0.9])
    assert metric.compute()["NoC@85"] == 1
    assert metric.compute()["NoC@90"] == 2


def test_no_object():
    with pytest.warns(UserWarning, match="before the ``update``"):
        found = ClicksToIoU().compute()
    assert all(math.isnan(value) for value in found.values())


def test_mistakes():
    with pytest.raises(InputError, match="0 clicks do not fit"):
        ClicksToIoU(0)
    for ious in ([], [0.1] * 3):
        with pytest.raises(InputError, match="give the IoU after each of 1 to 2"):
            ClicksToIoU(2).update(ious)
