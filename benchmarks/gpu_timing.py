"""What the benchmarks for GPUs share: CUDA graphs, seconds by events, cases in turn, the machine's limits, tables.

On a CPU the same functions time plain calls, for trying the scripts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch

Function = Callable[[], object]


def graphed(function: Function, device: str) -> Function:
    """A function that replays the work of another as a CUDA graph; on a CPU the function itself."""
    if device == "cpu":
        function()
        return function
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph.replay


def seconds_of(function: Function, device: str, calls: int = 1) -> float:
    """Of one call, in `calls` that follow each other."""
    if device == "cpu":
        start = time.perf_counter()
        for _ in range(calls):
            function()
        return (time.perf_counter() - start) / calls
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(calls):
        function()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3 / calls


def interleaved(
    functions: Mapping[str, Function], device: str, repetitions: int, calls: int = 1
) -> dict[str, list[float]]:
    """Seconds of each function: all of them in turn, so that a machine that slows down slows all."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for repetition in range(repetitions + 1):
        # Every other round backwards: neighbours in the order may warm or cool each other.
        for name in list(functions)[:: 1 if repetition % 2 else -1]:
            took = seconds_of(functions[name], device, calls)
            if repetition:
                seconds[name].append(took)
    return seconds


def median_seconds(function: Function, device: str, repetitions: int) -> float:
    """Of one call, as replays of a CUDA graph."""
    return statistics.median(interleaved({"": graphed(function, device)}, device, repetitions)[""])


def peaks(dtype: torch.dtype, device: str, repetitions: int, *, dry: bool = False) -> tuple[float, float]:
    """FLOP/s of a large matrix product and bytes/s of a large copy."""
    side, length = (256, 2**20) if dry else (8192, 2**30)
    a = torch.randn(side, side, device=device).to(dtype)
    source = torch.zeros(length, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    product = median_seconds(lambda: a @ a, device, repetitions)
    copy = median_seconds(lambda: target.copy_(source), device, repetitions)
    return 2 * side**3 / product, 2 * length / copy


def device_name(device: str) -> str:
    """Of the GPU, or "cpu"."""
    return "cpu" if device == "cpu" else torch.cuda.get_device_name()


def text_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns side by side, numbers with three digits; nothing has to be installed for it."""
    cells = [list(headings), *([shown(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(["", title, "", lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def shown(value: object) -> str:
    """A cell: a number with three significant digits, but all digits before the point."""
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
