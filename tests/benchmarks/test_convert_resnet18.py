"""A network and its converted twin, compared."""

import pytest
from res2net.recipes.convert_resnet18 import Arguments, networks, run
from rich.console import Console

from res2net.measure import count
from res2net.nn import Res2Conv


def test_both_networks_cost_the_same():
    both, report = networks(16, 4)
    costs = {name: count(model, (3, 64, 64)) for name, model in both.items()}
    assert costs["converted"].parameters == pytest.approx(costs["resnet18"].parameters, rel=0.03)
    assert sum(isinstance(module, Res2Conv) for module in both["converted"].modules()) == len(report.replaced) == 16


def test_the_table_compares_them(few_shapes):
    console = Console(record=True, width=200, quiet=False)
    table = run(Arguments(epochs=1, images=64), console)
    assert [row[0] for row in table.rows] == ["resnet18", "converted"]
    text = console.export_text()
    assert "layer1.0.conv1" in text
    assert "part of the stem: it reads the input" in text
