"""The measures of images that were made, against formulas written out and torchmetrics."""

import math

import pytest
import torch
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure, VisualInformationFidelity

from res2net.errors import InputError
from res2net.tasks.translate.metric import ImageSimilarity


def images(height=48, width=64):
    real = torch.rand(3, height, width)
    return (real + 0.1 * torch.randn(3, height, width)).clamp(0, 1), real


def test_psnr_is_its_formula():
    metric = ImageSimilarity()
    expected = []
    for size in ((20, 30), (48, 64)):
        made, real = images(*size)
        metric.update(made, real)
        expected.append(10 * math.log10(1 / float((made.double() - real.double()).square().mean())))
    assert float(metric.compute()["PSNR"]) == pytest.approx(sum(expected) / 2, abs=1e-4)


def test_ssim_is_its_formula():
    """The mean over windows around all pixels, by the formula (Wang et al., 2004, Eq. 13)."""
    made, real = images(11, 11)
    metric = ImageSimilarity()
    whole = torch.nn.functional.pad(torch.stack([made, real]), (5,) * 4, mode="reflect").double()
    place = torch.arange(11).double() - 5
    gauss = torch.exp(-place.square() / (2 * 1.5**2))
    weights = gauss[:, None] * gauss / gauss.sum() ** 2
    values = []
    for row in range(11):
        for column in range(11):
            one, other = whole[..., row : row + 11, column : column + 11]
            means = [(weights * part).sum((-1, -2)) for part in (one, other)]
            squares = [(weights * part.square()).sum((-1, -2)) for part in (one, other)]
            variances = [square - mean**2 for square, mean in zip(squares, means, strict=True)]
            common = (weights * one * other).sum((-1, -2)) - means[0] * means[1]
            top = (2 * means[0] * means[1] + 0.01**2) * (2 * common + 0.03**2)
            below = (means[0] ** 2 + means[1] ** 2 + 0.01**2) * (variances[0] + variances[1] + 0.03**2)
            values.append((top / below).mean())
    metric.update(made, real)
    assert float(metric.compute()["SSIM"]) == pytest.approx(float(sum(values)) / len(values), abs=1e-4)


def test_all_are_those_of_torchmetrics():
    made, real = images()
    metric = ImageSimilarity()
    metric.update(made, real)
    found = metric.compute()
    for name, other, factor in (
        ("SSIM", StructuralSimilarityIndexMeasure(data_range=1.0), 1),
        ("PSNR", PeakSignalNoiseRatio(data_range=1.0), 1),
        ("VIF", VisualInformationFidelity(), 255),
    ):
        other.update(factor * made[None], factor * real[None])
        assert float(found[name]) == pytest.approx(float(other.compute()), abs=1e-6)


def test_equal_and_small_images():
    metric = ImageSimilarity()
    metric.update(torch.zeros(3, 1, 1), torch.zeros(3, 1, 1))
    found = metric.compute()
    assert float(found["PSNR"]) == 100
    assert math.isnan(found["SSIM"])
    assert math.isnan(found["VIF"])
    _, real = images()
    metric.update(real, real)
    found = metric.compute()
    assert float(found["SSIM"]) == pytest.approx(1)
    assert float(found["VIF"]) == pytest.approx(1, abs=1e-4)
    with pytest.raises(InputError, match=r"cannot be compared: give one size"):
        metric.update(real, real[:, 1:])
