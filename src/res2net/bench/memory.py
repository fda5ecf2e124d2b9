"""Peak memory of a case, measured in a process of its own."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch

from res2net.bench.cases import Case, Setting, open_subject
from res2net.bench.runtimes import make_run
from res2net.errors import InputError

CALLS = 3
PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}
STATUS = Path("/proc/self/status")


def peak_memory(case: Case, setting: Setting, file: Path | None) -> float:
    """Measure the peak memory of a process while it runs a case, in MiB, minus the memory of the imported libraries.

    It consists of the weights, in the layout of the runtime, the activations, and in training the gradients and the
    state of the optimizer. On a GPU it is the memory that torch allocates there. The file is from `export_case`.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(measure, case, setting, file).result()
        except BrokenProcessPool as error:
            raise InputError(f"The process that measures memory was killed ({case}): leave out --memory.") from error


def measure(case: Case, setting: Setting, file: Path | None) -> float:
    """Run a case and measure the peak memory, in the process that is measured."""
    torch.set_num_threads(setting.threads)
    if case.runtime in PACKAGES:
        importlib.import_module(PACKAGES[case.runtime])
    before = resident("VmRSS")
    subject = open_subject(case.model)
    if file is None:
        subject.calibrate(case.size)
        run = make_run(case, subject, setting)
        del subject
    else:
        # The network in torch is in memory as well, but the file does not need it.
        before = resident("VmRSS")
        run = make_run(case, subject, setting, file)
    if setting.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):  # where the system does not support it
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    for _ in range(CALLS):
        run()
    if setting.device == "cuda":
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() / 2**20
    return resident("VmHWM") - before


def resident(field: str) -> float:
    """Memory of this process in MiB: now (`VmRSS`) or the peak (`VmHWM`). Without /proc both are the peak."""
    if STATUS.exists():
        line = next(line for line in STATUS.read_text(encoding="utf-8").splitlines() if line.startswith(field))
        return int(line.split()[1]) / 1024
    import resource  # does not exist on every system

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
