"""The machine of a benchmark: its description, its peak performance, and whether other programs used it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from res2net._version import __version__
from res2net.bench.cases import Device, Precision, Setting

PACKAGES = ("torch", "timm", "onnxruntime", "openvino", "nncf")
MAX_OTHERS = 0.05
"""Share of the CPU that other programs may use before a warning is given."""
SIDES: dict[Device, int] = {"cpu": 2048, "cuda": 8192}
OPERATIONS = {device: 2 * side**3 for device, side in SIDES.items()}
"""Multiplications and additions of one matrix product of the peak, by device."""


def describe_machine(setting: Setting) -> dict[str, Any]:
    """Describe processor, cores, threads and versions, as a dictionary for JSON."""
    versions = {"res2net": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": processor(),
        "cores": len(cores()),
        "threads": setting.threads,
        "gpu": torch.cuda.get_device_name() if setting.device == "cuda" else None,
        "system": platform.platform(),
        "versions": versions,
    }


def processor() -> str:
    """The name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def cores() -> set[int]:
    """Indices of the cores that this process may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


class Peak(str):
    """The key of the matrix product in a precision, among the cases that are measured."""

    __slots__ = ()


def peak_run(precision: Precision, device: Device = "cpu") -> Callable[[], object]:
    """Prepare a product of two large square matrices; in int8 its sums have 32 bits."""
    side = SIDES[device]
    if precision == "int8":
        integers = torch.randint(-127, 128, (side, side), dtype=torch.int8, device=device)
        return lambda: torch._int_mm(integers, integers.T)
    matrix = torch.randn(side, side, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    return lambda: matrix @ matrix


@dataclass(frozen=True)
class Usage:
    """A reading of the clocks of the CPU, in seconds of the cores of this process."""

    available: float
    """Time on the wall clock, times the number of cores."""
    busy: float | None
    """Time that the cores worked for any program; None where the system does not report it."""
    own: float
    """Time that they worked for this process and its finished children."""


def read_usage() -> Usage:
    """Read the clocks now."""
    return Usage(time.monotonic() * len(cores()), busy_seconds(), sum(os.times()[:4]))


class LoadMonitor:
    """Measures, from its creation on, how much other programs use the cores of this process."""

    def __init__(self, read: Callable[[], Usage] = read_usage) -> None:
        self.read = read
        self.start = read()

    def others(self) -> float | None:
        """Share of the time of all cores that other programs used; None where the system does not report it."""
        start, now = self.start, self.read()
        available = now.available - start.available
        if start.busy is None or now.busy is None or available <= 0:
            return None
        return max(0.0, (now.busy - start.busy - (now.own - start.own)) / available)

    def warning(self) -> str | None:
        """A warning if other programs used the machine; None if not, or if it is not known."""
        share = self.others()
        if share is None:
            load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
            crowded = load > 1.5 * len(cores())
            return f"The load average is {load:.1f} on {len(cores())} cores." if crowded else None
        if share <= MAX_OTHERS:
            return None
        return f"Other programs used {share:.0%} of the CPU during the measurement: repeat it on an idle machine."


def busy_seconds() -> float | None:
    """Busy time of the cores of this process in seconds, for all programs and other virtual machines."""
    file = Path("/proc/stat")
    if not file.exists():
        return None
    names = {f"cpu{core}" for core in cores()}
    ticks = 0
    for line in file.read_text(encoding="utf-8").splitlines():
        name, *fields = line.split()
        if name in names:
            user, nice, system, _idle, _waiting, interrupts, soft, stolen = map(int, fields[:8])
            ticks += user + nice + system + interrupts + soft + stolen
    return ticks / os.sysconf("SC_CLK_TCK") if ticks else None
