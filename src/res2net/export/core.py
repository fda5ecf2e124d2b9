"""OpenVINO on the processor: one core for the whole process, and what it is told."""

from __future__ import annotations

import functools
from typing import Any

from res2net.optional import needs

__all__ = ["openvino_core", "openvino_hints"]


@functools.cache
def openvino_core() -> Any:
    """The `openvino.Core` of this process, which has its plug-in for the processor and is never given up.

    The plug-in gives the thread a stack of its own for signals, and on its end puts back the one that it found. Where
    one of two that were made in turn ends before the other, the thread is left with a stack that is no more, and the
    next signal, such as the end of another process, ends the program.

    Raises:
        InputError: OpenVINO is not installed.
    """
    with needs("OpenVINO", extra="export"):
        import openvino
    core = openvino.Core()
    core.get_property("CPU", "FULL_DEVICE_NAME")  # the plug-in is made on first use
    return core


def openvino_hints(precision: str, threads: int | None) -> dict[str, Any]:
    """What OpenVINO is told, for answers one at a time: "fp32" or "bf16", and the number of threads, if not all.

    It would choose bf16 by itself if it were not told.
    """
    told: dict[str, Any] = {"INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision]}
    told["PERFORMANCE_HINT"] = "LATENCY"
    return told if threads is None else told | {"INFERENCE_NUM_THREADS": threads}
