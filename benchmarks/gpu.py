"""What a GPU makes of Res2Net-50: kernels checked, inference, latency and training beside timm, distance to the limits.

    python benchmarks/gpu.py --out gpu.json

It needs torch, torchvision, timm and triton. Everything is timed in one process, cases in turn, by medians of CUDA
events, in bf16 and channels-last memory; "graph" and "compiled" inference is replayed as CUDA graphs in both libraries.
When `--minutes` are over, the other cases are skipped and reported. Results are written after every case; one that
fails does not end the others. Without a GPU the script itself can be tried, with tiny networks:

    TRITON_INTERPRET=1 python benchmarks/gpu.py --dry --device cpu
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import signal
import statistics
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import timm
import torch
from torch import Tensor, nn

import gpu_kernels
import res2net
from gpu_targets import limit_rows, target_rows
from gpu_timing import device_name, graphed, interleaved, peaks, seconds_of, text_table

START = time.monotonic()
TINY = {"timm": {"layers": (1, 1, 1, 1)}, "ours": {"layers": (1, 1), "channels": (64, 128)}}
"""Options of the networks of a dry run."""
CHECKED = {torch.float32: 1e-4, torch.bfloat16: 5e-2}
"""Of max |a - b| / max |b|, the logits of whole networks, b in float64."""


class Case(NamedTuple):
    """One network, and how it is run."""

    library: str
    model: str
    how: str
    """"eager", "graph" (eager, replayed as a CUDA graph), "compiled" or "autotuned" (both also replayed)."""
    kernels: str = ""
    """Of `res2net.optimize`; "" for the network as it was made."""

    @property
    def name(self) -> str:
        """In words."""
        return " ".join(part for part in self if part)


PLAIN, RES2NET, DEEPER = "resnet50", "res2net50_26w_4s", "res2net50_14w_8s"
KERNELS = ("torch", "triton")
INFERENCE = [
    *(Case("timm", model, how) for model in (PLAIN, RES2NET) for how in ("eager", "graph")),
    *(Case("ours", model, "graph", kernels) for model in (RES2NET, DEEPER) for kernels in KERNELS),
    *(Case("timm", model, "compiled") for model in (PLAIN, RES2NET)),
    *(Case("ours", RES2NET, "compiled", kernels) for kernels in KERNELS),
]
LATENCY = [case for case in INFERENCE if case.how == "graph" and case.model != DEEPER]
TRAINED = (("timm", PLAIN), ("ours", RES2NET), ("timm", RES2NET))
GROUPS = {
    "inference": INFERENCE,
    "latency": LATENCY,
    "training": [Case(*network, how) for how in ("eager", "compiled") for network in TRAINED],
    "more inference": [
        *(Case("ours", DEEPER, "compiled", kernels) for kernels in KERNELS),
        *(Case("ours", RES2NET, "autotuned", kernels) for kernels in KERNELS),
    ],
}
EXPECTED = {"eager": 5.0, "graph": 5.0, "compiled": 25.0, "autotuned": 120.0}
"""Seconds that must be left for a case to start."""


class OutOfTimeError(Exception):
    """The minutes are over."""


class Run:
    """The time that is left, and results, which are written whenever there are new ones."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self.chosen = chosen
        versions = {"torch": torch.__version__, "timm": timm.__version__, "res2net": res2net.__version__}
        self.content: dict = {"device": device_name(chosen.device), "versions": versions, "arguments": vars(chosen)}
        self.content |= {"limits": {}, "checks": [], "cases": [], "chains": [], "problems": []}

    def left(self) -> float:
        """Seconds."""
        return 60 * self.chosen.minutes - (time.monotonic() - START)

    def flush(self) -> None:
        """Write the results so far."""
        Path(self.chosen.out).write_text(json.dumps(self.content, indent=2) + "\n")

    def attempt(self, what: str, work: Callable[[], str | None], needs: float = 1.0) -> dict:
        """How `work` went, which may say something: it starts if `needs` seconds are left, and ends with the time."""
        outcome: dict = {"status": "done"}
        start = time.monotonic()
        try:
            if self.left() < (0.01 if self.chosen.dry else needs):
                raise OutOfTimeError
            signal.signal(signal.SIGALRM, out_of_time)
            signal.setitimer(signal.ITIMER_REAL, self.left())
            message = work() or ""
        except OutOfTimeError:
            outcome["status"], message = "skipped", "no time is left"
        except Exception as error:
            message = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"[:300]
            outcome |= {"status": "failed", "trace": traceback.format_exc()[-3000:]}
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        outcome |= {"said": message, "took_s": round(time.monotonic() - start, 1)}
        if outcome["status"] != "done":
            self.content["problems"].append(f"{what}: {outcome['status']}: {message}")
        print(f"[{self.left():.0f} s left] {what}: {outcome['status']} {message}", flush=True)
        self.flush()
        return outcome


def out_of_time(_signal: int, _frame: object) -> None:
    raise OutOfTimeError


def build(library: str, model: str, chosen: argparse.Namespace) -> nn.Module:
    """A network of one of the two libraries, in fp32."""
    torch.manual_seed(0)
    make = timm.create_model if library == "timm" else res2net.create_model
    return make(model, **(TINY[library] if chosen.dry else {})).to(chosen.device)


def random_images(batch: int, chosen: argparse.Namespace, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    torch.manual_seed(1)
    images = torch.randn(batch, 3, chosen.image, chosen.image, device=chosen.device)
    return images.to(dtype, memory_format=torch.channels_last)


def compiled(network: nn.Module, how: str, chosen: argparse.Namespace) -> nn.Module:
    """The network as `how` says."""
    if how not in ("compiled", "autotuned"):
        return network
    if chosen.dry:
        return torch.compile(network, dynamic=False, backend="eager")
    mode = "max-autotune-no-cudagraphs" if how == "autotuned" else chosen.mode
    return torch.compile(network, dynamic=False, mode=mode)


def inference(case: Case, images: Tensor, chosen: argparse.Namespace) -> Callable[[], object]:
    network = build(case.library, case.model, chosen).eval()
    if case.kernels:
        network = res2net.optimize(network, kernels=case.kernels)
    network = network.to(images.dtype, memory_format=torch.channels_last)
    network = compiled(network, case.how, chosen)

    def run() -> None:
        with torch.inference_mode():
            network(images)

    return run if case.how == "eager" else graphed(run, chosen.device)


def training(case: Case, images: Tensor, chosen: argparse.Namespace) -> Callable[[], object]:
    """A step: forward in bf16 where autocast says so, loss, backward, SGD with momentum."""
    network = build(case.library, case.model, chosen).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.9)
    forward = compiled(network, case.how, chosen)
    labels = torch.randint(0, 1000, (len(images),), device=chosen.device)

    def step() -> None:
        with torch.autocast(chosen.device, torch.bfloat16):
            loss = nn.functional.cross_entropy(forward(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def time_group(group: str, run: Run) -> None:
    """Prepare the cases of a group one by one, then time those that work in turn."""
    chosen = run.chosen
    trains = group == "training"
    batch = {"latency": 1, "training": chosen.train_batch}.get(group, chosen.batch)
    images = random_images(batch, chosen, torch.float32 if trains else torch.bfloat16)
    ready: dict[str, Callable[[], object]] = {}
    results: dict[str, dict] = {}

    def prepare(case: Case, result: dict) -> None:
        function = (training if trains else inference)(case, images, chosen)
        seconds_of(function, chosen.device, 1 if chosen.dry else 3)
        if trains and chosen.device != "cpu":
            result["memory_mib"] = peak_mib(function)
        set_time(result, [seconds_of(function, chosen.device)])
        ready[case.name] = function

    for case in GROUPS[group]:
        result = {"group": group, "case": case.name, **case._asdict(), "batch": batch}
        run.content["cases"].append(result)
        needs = EXPECTED[case.how] * (2 if trains else 1)
        result |= run.attempt(f"{group}: {case.name}", partial(prepare, case, result), needs)
        results[case.name] = result
        run.flush()
    # At the end of the minutes, when all is prepared, this takes some seconds more.
    rounds, calls = (-(-chosen.repetitions // 2), 1) if trains else (chosen.repetitions, 1 if chosen.dry else 2)
    try:
        for name, seconds in interleaved(ready, chosen.device, rounds, calls).items():
            set_time(results[name], seconds)
    except RuntimeError as error:
        run.content["problems"].append(f"{group}, in turn: {error}; each was timed alone")
    run.flush()
    ready.clear()
    torch.compiler.reset()
    if chosen.device != "cpu":
        torch.cuda.empty_cache()


def peak_mib(function: Callable[[], object]) -> float:
    """Memory that a call takes at most, on top of what is there before."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    function()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def set_time(result: dict, seconds: list[float]) -> None:
    median = statistics.median(seconds)
    result |= {"ms": 1e3 * median, "images_per_s": result["batch"] / median, "rounds": len(seconds)}
    if len(seconds) > 1:
        result["quartiles_ms"] = [1e3 * quartile for quartile in statistics.quantiles(seconds, n=4)[::2]]


def lively(network: nn.Module) -> nn.Module:
    """With statistics and scales that no fresh network has: a fresh one ends its blocks by zero."""
    torch.manual_seed(2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.2, 0.6)
            module.bias.data.normal_(0, 0.2)
    return network.eval()


@torch.inference_mode()
def check_network(model: str, kernels: str, dtype: torch.dtype, run: Run) -> str:
    """Logits of an optimised network against the network as it was made, in float64."""
    gpu_kernels.use(gpu_kernels.PRECISIONS["fp32"])
    network, images = lively(build("ours", model, run.chosen)), random_images(4, run.chosen, dtype)
    expected = copy.deepcopy(network).double()(images.double())
    y = res2net.optimize(network, kernels=kernels).to(dtype)(images).double()
    off = ((y - expected).abs().max() / expected.abs().max()).item()
    right = off <= CHECKED[dtype]
    found = {"case": f"{model}, {kernels}", "precision": str(dtype), "distance": off, "right": right}
    run.content["checks"].append(found)
    return f"max |a - b| / max |b| = {off:.1e}{'' if right else ' WRONG'}"


@torch.inference_mode()
def check_chains(precision: str, run: Run) -> None:
    """Every shape of chain against the reference."""
    run.content["checks"] += gpu_kernels.check(precision, chains(run.chosen, batch=16))


@torch.inference_mode()
def time_chain(case: gpu_kernels.Case, run: Run) -> None:
    """The kernel beside plain layers, a chain alone."""
    settings = chains(run.chosen, run.chosen.batch)
    run.content["chains"].append(gpu_kernels.timing(case, "bf16", settings, ("triton", "torch")))


@torch.inference_mode()
def measure_limits(run: Run) -> None:
    """What the machine can do at most."""
    rates = peaks(torch.bfloat16, run.chosen.device, run.chosen.repetitions, dry=run.chosen.dry)
    run.content["limits"] = dict(zip(("flop_per_s", "bytes_per_s"), rates, strict=True))


def check(precision: str, dtype: torch.dtype, run: Run) -> None:
    """Chains alone, and whole networks."""
    run.attempt(f"checks of chains in {precision}", partial(check_chains, precision, run), 20)
    for model in (RES2NET, DEEPER):
        for kernels in KERNELS:
            what = f"check of {model} with kernels={kernels!r} in {precision}"
            run.attempt(what, partial(check_network, model, kernels, dtype, run), 10)


def chains(chosen: argparse.Namespace, batch: int) -> gpu_kernels.Arguments:
    """The options of `gpu_kernels`."""
    return gpu_kernels.Arguments(
        device=chosen.device,
        batch=1 if chosen.dry else batch,
        image=chosen.image,
        repetitions=chosen.repetitions,
        dry=chosen.dry,
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--minutes", type=float, default=8.5, help="after which remaining cases are skipped")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--train-batch", type=int, default=128)
    parser.add_argument("--image", type=int, default=224, help="side of the images, pixels")
    parser.add_argument("--repetitions", type=int, default=20, help="rounds of everything, in turn")
    parser.add_argument("--mode", default="default", help="of torch.compile, for both libraries")
    parser.add_argument("--out", default=str(Path(os.environ.get("OUT", "."), "gpu.json")), help="JSON of the results")
    parser.add_argument("--dry", action="store_true", help="tiny networks, for trying the script itself")
    chosen = parser.parse_args()
    if chosen.dry:
        chosen.batch, chosen.train_batch, chosen.image, chosen.repetitions = 2, 2, 32, 1
    return chosen


def main() -> None:
    chosen = arguments()
    torch.backends.cudnn.benchmark = True
    run = Run(chosen)
    run.attempt("limits of the machine", partial(measure_limits, run))
    check("bf16", torch.bfloat16, run)
    for group in ("inference", "latency", "training"):
        time_group(group, run)
    for case in gpu_kernels.cases(chains(chosen, chosen.batch)):
        run.attempt(f"chain: {case.name}", partial(time_chain, case, run), 3)
    check("fp32", torch.float32, run)
    time_group("more inference", run)
    print(report(run))
    run.content["targets"] = [dict(zip(("what", "goal", "reached", "met"), row, strict=True)) for row in targets(run)]
    run.flush()


def targets(run: Run) -> list[tuple]:
    return target_rows(run.content["cases"])


def report(run: Run) -> str:
    content, chosen = run.content, run.chosen
    rows = [
        (case["group"], case["case"], *(case.get(key) for key in ("ms", "images_per_s", "memory_mib")), case["status"])
        for case in content["cases"]
    ]
    batches = f"batch {chosen.batch}, 1, {chosen.train_batch}"
    title = f"{content['device']}, {chosen.image} px, bf16, channels last; {batches}"
    parts = [text_table(title, ("group", "case", "ms", "images/s", "MiB", "status"), rows)]
    headings = ("case", "TFLOP/s", "of a large product", "least GB/s", "of a large copy")
    parts.append(text_table("Distance to the limits", headings, limit_rows(content["cases"], content["limits"])))
    if content["chains"] and content["limits"]:
        limits = {"bf16": tuple(content["limits"].values())}
        parts.append(gpu_kernels.table(content["chains"], limits, chains(chosen, chosen.batch)))
    wrong = [check["case"] for check in content["checks"] if not check["right"]]
    parts.append(f"\n{len(content['checks'])} checks, wrong: {', '.join(wrong) or 'none'}")
    parts += [f"- {problem}" for problem in content["problems"]]
    title = "Targets (not meaningful in a dry run, whose networks differ)" if chosen.dry else "Targets"
    parts.append(text_table(title, ("ratio of images/s", "at least", "reached", ""), targets(run)))
    return "\n".join(parts)


if __name__ == "__main__":
    main()
