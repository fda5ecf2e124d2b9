"""The machine that something was measured on, and whether others used it meanwhile."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from pathlib import Path
from typing import Any

import torch

from res2net._version import __version__
from res2net.bench.cases import Setting

__all__ = ["Watch", "describe_machine"]

PACKAGES = ("torch", "timm", "onnxruntime", "openvino", "nncf")
OTHERS = 0.05
"""Share of the processor that others may use before a measurement is doubted."""


def describe_machine(setting: Setting) -> dict[str, Any]:
    """Processor, cores, threads and versions, ready for JSON."""
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
    """Numbers of the cores that this process may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


class Watch:
    """Looks from its making on how much others use the cores of this process."""

    def __init__(self) -> None:
        self.start = time.monotonic(), busy_seconds(), sum(os.times()[:4])

    def others(self) -> float | None:
        """Share of the time of all cores that others took; None where the system does not tell."""
        since, busy, own = self.start
        now = busy_seconds()
        passed = (time.monotonic() - since) * len(cores())
        if busy is None or now is None or passed <= 0:
            return None
        return max(0.0, (now - busy - (sum(os.times()[:4]) - own)) / passed)

    def warning(self) -> str | None:
        """A sentence where the machine was not quiet; None where it was, or where that is not known."""
        share = self.others()
        if share is None:
            load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
            crowded = load > 1.5 * len(cores())
            return f"The load average is {load:.1f} on {len(cores())} cores." if crowded else None
        if share <= OTHERS:
            return None
        return f"Other programs used {share:.0%} of the processor meanwhile: measure again on a quiet machine."


def busy_seconds() -> float | None:
    """Seconds that the cores of this process have worked, for anyone, also for another virtual machine."""
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
