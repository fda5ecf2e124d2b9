"""The memory that a case takes, in a process of its own."""

from __future__ import annotations

import importlib
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch

from res2net.bench.cases import Case, Setting
from res2net.bench.runtimes import make_run
from res2net.bench.subjects import open_subject
from res2net.errors import InputError

__all__ = ["peak_memory"]

CALLS = 3
PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}
STATUS = Path("/proc/self/status")


def peak_memory(case: Case, setting: Setting, file: Path | None) -> float:
    """MiB that a process takes at most while a case runs, less what it takes with its libraries alone.

    It has the weights, in the form that the runtime gives them, activations, and for training gradients and what the
    optimizer keeps. On a GPU it is what torch holds there.

    Args:
        case: what is run.
        setting: of all cases.
        file: of `export_case`.

    Raises:
        InputError: the process was ended, as where memory is short.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(measure, case, setting, file).result()
        except BrokenProcessPool as error:
            raise InputError(f"The process that measures memory was ended ({case}): leave out --memory.") from error


def measure(case: Case, setting: Setting, file: Path | None) -> float:
    """The same, in the process that is measured."""
    torch.set_num_threads(setting.threads)
    if case.runtime in PACKAGES:
        importlib.import_module(PACKAGES[case.runtime])
    before = resident("VmRSS")
    subject = open_subject(case.model)
    if file is None:
        subject.settle(case.size)
        run = make_run(case, subject, setting)
        del subject
    else:
        # It is there beside the file, which does not need it.
        before = resident("VmRSS")
        run = make_run(case, subject, setting, file)
    forget_peak(setting)
    for _ in range(CALLS):
        run()
    if setting.device == "cuda":
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() / 2**20
    return resident("VmHWM") - before


def forget_peak(setting: Setting) -> None:
    """Let the peak begin at what is there now, where the system can."""
    if setting.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        return


def resident(field: str) -> float:
    """MiB of memory of this process: VmRSS is now, VmHWM is the peak. Without /proc both are the peak."""
    if STATUS.exists():
        line = next(line for line in STATUS.read_text(encoding="utf-8").splitlines() if line.startswith(field))
        return int(line.split()[1]) / 1024
    import resource  # not on every system

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
