"""What is said about the machine."""

from res2net.bench import machine
from res2net.bench.cases import Setting
from res2net.bench.peak import peak_run


def test_the_machine_is_described():
    said = machine.describe_machine(Setting(threads=1))
    assert said["cores"] >= 1
    assert said["threads"] == 1
    assert said["versions"]["torch"]
    assert said["processor"]


def test_others_who_use_the_machine_are_seen(monkeypatch):
    clock = iter([0.0, 10.0])
    monkeypatch.setattr(machine.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(machine, "cores", lambda: {0, 1})
    monkeypatch.setattr(machine.os, "times", lambda: (0.0, 0.0, 0.0, 0.0, 0.0))
    busy = iter([100.0, 105.0])
    monkeypatch.setattr(machine, "busy_seconds", lambda: next(busy))
    warning = machine.Watch().warning()
    assert warning == "Other programs used 25% of the processor meanwhile: measure again on a quiet machine."


def test_a_quiet_machine_is_not_doubted(monkeypatch):
    monkeypatch.setattr(machine.Watch, "others", lambda self: 0.01)
    assert machine.Watch().warning() is None


def test_the_peak_is_a_product_of_matrices():
    assert peak_run("fp32")().shape == (2048, 2048)
