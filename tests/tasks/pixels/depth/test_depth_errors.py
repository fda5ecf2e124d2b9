"""Errors of distances, beside the formulas of Eigen et al. (2014) written out pixel by pixel."""

from __future__ import annotations

import math

import pytest
import torch

from res2net.errors import InputError
from res2net.tasks.pixels.depth.metric import DepthErrors


def naive(found, true, least, most):
    """The errors of one image, as the paper's table 1 has them."""
    pairs = [
        (min(max(d, least), most), t)
        for d, t in zip(found.flatten().tolist(), true.flatten().tolist(), strict=True)
        if least <= t <= most
    ]
    count = len(pairs)
    errors = {f"delta{power}": sum(max(d / t, t / d) < 1.25**power for d, t in pairs) / count for power in (1, 2, 3)}
    logarithms = [math.log(d) - math.log(t) for d, t in pairs]
    mean = sum(logarithms) / count
    return errors | {
        "AbsRel": sum(abs(d - t) / t for d, t in pairs) / count,
        "RMSE": math.sqrt(sum((d - t) ** 2 for d, t in pairs) / count),
        "RMSE_log": math.sqrt(sum(one**2 for one in logarithms) / count),
        "SILog": math.sqrt(sum((one - mean) ** 2 for one in logarithms) / count),
    }


def test_the_formulas_image_by_image():
    metric = DepthErrors(0.5, 10.0)
    images = []
    for size in ((7, 9), (4, 4), (1, 1)):
        true = torch.rand(size) * 12
        true[torch.rand(size) < 0.3] = 0
        true[0, 0] = 3.0
        found = true * (1 + torch.randn(size) * 0.4).clamp(0.2) + 0.1
        metric.update(found, true)
        images.append(naive(found, true, 0.5, 10.0))
    for name, value in metric.compute().items():
        assert value == pytest.approx(sum(one[name] for one in images) / 3, abs=1e-6), name


def test_the_truth_has_no_error():
    metric = DepthErrors()
    true = torch.rand(5, 5) + 1
    metric.update(true, true)
    assert metric.errors(true, true)[0] == 1
    assert metric.compute() == {
        "delta1": 1,
        "delta2": 1,
        "delta3": 1,
        "AbsRel": 0,
        "RMSE": 0,
        "RMSE_log": 0,
        "SILog": 0,
    }


def test_unknown_pixels_and_those_beyond_the_caps_never_count():
    true = torch.tensor([[2.0, 0.0, 90.0, 0.0001, float("nan"), float("inf")]])
    found = torch.tensor([[2.0, 50.0, 1.0, 70.0, 1.0, 1.0]])
    metric = DepthErrors(0.001, 80)
    metric.update(found, true)
    assert metric.compute()["delta1"] == 1
    assert metric.compute()["RMSE"] == 0


def test_a_common_factor_is_no_scale_invariant_error():
    metric = DepthErrors()
    true = torch.rand(6, 6) + 1
    metric.update(true * 2, true)
    found = metric.compute()
    assert found["SILog"] == pytest.approx(0, abs=1e-6)
    assert found["RMSE_log"] == pytest.approx(math.log(2), abs=1e-6)


def test_a_image_without_a_known_pixel_does_not_count():
    metric = DepthErrors()
    metric.update(torch.ones(3, 3), torch.zeros(3, 3))
    assert metric.errors(torch.ones(3, 3), torch.zeros(3, 3)).isnan().all()
    assert all(math.isnan(value) for value in metric.compute().values())
    metric.update(torch.ones(3, 3), torch.ones(3, 3))
    assert metric.compute()["delta1"] == 1


def test_mistakes():
    with pytest.raises(InputError, match=r"Maps of \(2, 2\) and \(3, 2\) do not fit"):
        DepthErrors().update(torch.ones(2, 2), torch.ones(3, 2))
    with pytest.raises(InputError, match="is NaN: give metres"):
        DepthErrors().update(torch.full((2, 2), math.nan), torch.ones(2, 2))
    with pytest.raises(InputError, match="Distances from 5 to 1 m do not fit"):
        DepthErrors(5, 1)
