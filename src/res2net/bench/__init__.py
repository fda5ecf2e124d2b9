"""How fast networks run: every way to run them, measured in turn in one process, beside what the machine can do."""

from res2net.bench.cases import PRECISIONS, RUNTIMES, Case, Setting, plan
from res2net.bench.results import Benchmark, Result
from res2net.bench.run import export_all, run_benchmark
from res2net.bench.subjects import Subject, open_subject
from res2net.bench.timing import Samples, Spread, interleaved, ratio

__all__ = [
    "PRECISIONS",
    "RUNTIMES",
    "Benchmark",
    "Case",
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
