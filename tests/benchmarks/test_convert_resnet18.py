"""A network and its converted twin, compared."""

from pathlib import Path

import pytest
from rich.console import Console

from res2net.measure import count
from res2net.nn import Res2Conv


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import convert_resnet18

    return convert_resnet18


def test_both_networks_cost_the_same(recipe):
    both, report = recipe.networks(16, 4)
    costs = {name: count(model, (3, 64, 64)) for name, model in both.items()}
    assert costs["converted"].parameters == pytest.approx(costs["resnet18"].parameters, rel=0.03)
    assert sum(isinstance(module, Res2Conv) for module in both["converted"].modules()) == len(report.replaced) == 16


def test_the_table_compares_them(recipe):
    console = Console(record=True, width=200, quiet=False)
    table = recipe.run(recipe.Arguments(epochs=1, images=64, source="shapes:80,40"), console)
    assert [row[0] for row in table.rows] == ["resnet18", "converted"]
    text = console.export_text()
    assert "layer1.0.conv1" in text
    assert "part of the stem: it reads the input" in text
