"""Measures of salient objects are those of PySODMetrics, whose values `make_saliency_reference.py` wrote down."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from saliency_cases import cases, digest

from res2net.errors import InputError
from res2net.tasks.pixels.saliency.metric import SaliencyMeasures

REFERENCE = json.loads(Path(__file__).with_name("saliency_reference.json").read_text(encoding="utf-8"))
CASES = {name: (saliency, mask) for name, saliency, mask in cases()}
CLOSE = 1e-6
CURVES = ("precision", "recall", "F", "E")


def measured(pairs, **options):
    metric = SaliencyMeasures(**options)
    for number, (saliency, mask) in enumerate(pairs):
        metric.update(
            [{"saliency": torch.as_tensor(saliency)}], [{"saliency": torch.as_tensor(mask), "image_id": number}]
        )
    return metric


def test_the_values_are_of_these_cases():
    assert REFERENCE["cases"] == digest(), "run make_saliency_reference.py"


@pytest.mark.parametrize(("kind", "stretch"), [("stretched", True), ("plain", False)])
@pytest.mark.parametrize("name", CASES)
def test_each_image_has_the_values_of_the_toolbox(name, kind, stretch):
    ours = measured([CASES[name]], stretch=stretch).compute()
    expected = REFERENCE[kind]["single"][name]
    assert {measure: ours[measure] for measure in expected} == pytest.approx(expected, abs=CLOSE)


@pytest.mark.parametrize(("kind", "stretch"), [("stretched", True), ("plain", False)])
def test_all_images_have_the_values_and_curves_of_the_toolbox(kind, stretch):
    metric = measured(CASES.values(), stretch=stretch)
    ours, expected = metric.compute(), REFERENCE[kind]["all"]
    assert all(ours[name] == pytest.approx(expected[name], abs=CLOSE) for name in set(expected) - set(CURVES))
    for name in CURVES:
        np.testing.assert_allclose(metric.curves()[name], expected[name], atol=CLOSE)
    precision, recall = np.array(expected["precision"]), np.array(expected["recall"])
    assert ours["max_F_of_means"] == pytest.approx(
        (1.3 * precision * recall / (0.3 * precision + recall)).max(), abs=CLOSE
    )


def test_numbers_are_rounded_to_the_levels_of_a_file():
    saliency, mask = CASES["good"]
    exact = saliency / 255
    shifted = np.clip(exact + np.random.default_rng(0).uniform(-0.4, 0.4, exact.shape) / 255, 0, 1)
    assert measured([(shifted, mask)]).compute() == measured([(saliency, mask)]).compute()
    assert measured([(exact.astype(np.float32), mask)]).compute() == measured([(saliency, mask)]).compute()


def test_an_object_in_the_last_row_or_column_has_a_structure():
    """Parts of no pixel make it NaN in PySODMetrics; what remains is the mean over the parts that there are."""
    saliency = np.random.default_rng(1).integers(0, 256, (20, 30)).astype(np.uint8)
    mask = np.zeros((20, 30), bool)
    mask[10, 29] = True
    wider = np.pad(saliency, ((0, 0), (0, 40)))
    alone = measured([(saliency, mask)]).compute()["S"]
    assert 0 < alone < 1
    # With more and more columns behind it, the parts on the right come and change the number.
    assert alone != pytest.approx(measured([(wider, np.pad(mask, ((0, 0), (0, 40))))]).compute()["S"], abs=1e-4)
    corner = np.zeros((20, 30), bool)
    corner[-1, -1] = True
    assert not math.isnan(measured([(saliency, corner)]).compute()["S"])


@pytest.mark.parametrize(("found", "there"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_image_of_one_pixel(found, there):
    values = measured([(np.full((1, 1), 255 * found, np.uint8), np.full((1, 1), bool(there)))]).compute()
    assert values["MAE"] == (found != there)
    assert values["S"] == (found == there)
    assert found != there or values["weighted_F"] == pytest.approx(found, abs=CLOSE)
    assert 0 <= values["mean_E"] <= values["max_E"] <= 1


def test_a_image_that_comes_twice_counts_once_and_their_order_does_not_matter():
    named = list(enumerate(CASES.values()))
    metric = SaliencyMeasures()
    for number, (saliency, mask) in [*named[::-1], *named[:5]]:
        metric.update([{"saliency": torch.tensor(saliency)}], [{"saliency": torch.tensor(mask), "image_id": number}])
    assert metric.compute() == pytest.approx(measured(CASES.values()).compute(), abs=1e-12)


def test_without_images_there_are_no_numbers():
    metric = SaliencyMeasures()
    metric.update([], [])
    assert all(map(math.isnan, metric.compute().values()))


@pytest.mark.parametrize(
    ("saliency", "mask", "said"),
    [
        (torch.zeros(4, 5), torch.zeros(4, 6, dtype=torch.bool), "has shape"),
        (torch.zeros(4, 5), torch.zeros(4, 5), "give bool"),
        (torch.zeros(0, 5), torch.zeros(0, 5, dtype=torch.bool), "no pixel"),
        (torch.full((4, 5), 1.5), torch.zeros(4, 5, dtype=torch.bool), "from 0 to 1"),
        (torch.full((4, 5), math.nan), torch.zeros(4, 5, dtype=torch.bool), "from 0 to 1"),
        (torch.zeros(4, 5, dtype=torch.int64), torch.zeros(4, 5, dtype=torch.bool), "uint8"),
    ],
)
def test_what_does_not_fit_is_told(saliency, mask, said):
    with pytest.raises(InputError, match=said):
        SaliencyMeasures().update([{"saliency": saliency}], [{"saliency": mask, "image_id": 0}])
