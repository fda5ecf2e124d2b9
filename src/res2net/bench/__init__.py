"""Benchmarks of networks in all runtimes, interleaved in one process, relative to the peak of the machine."""

from res2net.bench.cases import PRECISIONS, RUNTIMES, Case, Precision, Setting, Subject, open_subject, plan
from res2net.bench.results import Benchmark, Result
from res2net.bench.run import export_all, run_benchmark
from res2net.bench.timing import Samples, Spread, interleaved, ratio

__all__ = [
    "PRECISIONS",
    "RUNTIMES",
    "Benchmark",
    "Case",
    "Precision",
    "Result",
    "Samples",
    "Setting",
    "Spread",
    "Subject",
    "export_all",
    "interleaved",
    "open_subject",
    "plan",
    "ratio",
    "run_benchmark",
]
