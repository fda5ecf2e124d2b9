"""The machine: its description, its load and its peak."""

import pytest

from res2net.bench.cases import Setting
from res2net.bench.machine import LoadMonitor, Usage, describe_machine, peak_run


def test_the_machine_is_described():
    machine = describe_machine(Setting(threads=1))
    assert machine["cores"] >= 1
    assert machine["threads"] == 1
    assert machine["versions"]["torch"]
    assert machine["processor"]


@pytest.mark.parametrize(("own", "share"), [(0.0, 0.25), (4.0, 0.05), (5.0, 0.0)])
def test_the_load_of_other_programs(own, share):
    readings = iter([Usage(0.0, 100.0, 7.0), Usage(20.0, 105.0, 7.0 + own)])
    assert LoadMonitor(lambda: next(readings)).others() == pytest.approx(share)


def test_a_busy_machine_is_reported():
    readings = iter([Usage(0.0, 100.0, 0.0), Usage(20.0, 105.0, 0.0)])
    warning = LoadMonitor(lambda: next(readings)).warning()
    assert warning == "Other programs used 25% of the CPU during the measurement: repeat it on an idle machine."


def test_an_idle_machine_gives_no_warning():
    readings = iter([Usage(0.0, 100.0, 0.0), Usage(20.0, 105.0, 4.8)])
    assert LoadMonitor(lambda: next(readings)).warning() is None


def test_the_load_of_this_machine_is_a_share():
    share = LoadMonitor().others()
    assert share is None or share >= 0


def test_the_peak_is_a_product_of_matrices():
    assert peak_run("fp32")().shape == (2048, 2048)
