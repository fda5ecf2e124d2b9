"""Check and time the Triton chain on a GPU, beside torch and `torch.compile`, at the shapes of Res2Net-50.

    python benchmarks/gpu_kernels.py --out gpu_kernels.json

First every shape is compared with the reference in float64, in each precision; the script stops when one is off. Then
the median time of each is printed, measured on replays of CUDA graphs, with the rates reached: operations of the
convolutions, and the fewest bytes (input read once, output written once), beside those of a large matrix product and a
large copy. `--tune` also tries other blocks. Without a GPU the script itself can be tried, small and interpreted:

    TRITON_INTERPRET=1 python benchmarks/gpu_kernels.py --dry --device cpu
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

import res2net
from gpu_timing import device_name, median_seconds, peaks, text_table
from res2net.kernels import ChainOptions, Layout, folded_chain, tap_major


class Precision(NamedTuple):
    """What is computed in, and how far off it may be."""

    dtype: torch.dtype
    limit: float
    """Of max |a - b| / max |b|, b in float64."""
    tf32: bool = False


PRECISIONS = {
    "fp32": Precision(torch.float32, 1e-5),
    "tf32": Precision(torch.float32, 5e-3, tf32=True),
    "bf16": Precision(torch.bfloat16, 3e-2),
    "fp16": Precision(torch.float16, 5e-3),
}
NETWORKS = {"26w_4s": (26, 4), "14w_8s": (14, 8)}
"""Width of a split in the first stage, and number of splits."""
WAYS = ("triton", "torch", "compile")


@dataclass(frozen=True)
class Arguments:
    """What is timed, and how often."""

    device: str = "cuda"
    batch: int = 256
    image: int = 224
    networks: tuple[str, ...] = tuple(NETWORKS)
    precisions: tuple[str, ...] = tuple(PRECISIONS)
    repetitions: int = 50
    tune: bool = False
    dry: bool = False
    out: str | None = None


def arguments() -> Arguments:
    """Those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--image", type=int, default=224, help="side of the images: the first stage has a quarter")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=tuple(NETWORKS))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=tuple(PRECISIONS))
    parser.add_argument("--repetitions", type=int, default=50)
    parser.add_argument("--tune", action="store_true", help="also time other blocks, and tell the fastest")
    parser.add_argument("--dry", action="store_true", help="tiny shapes, for trying the script itself")
    parser.add_argument("--out", help="write the results to this JSON file")
    chosen = vars(parser.parse_args())
    return Arguments(**chosen | ({"batch": 2, "repetitions": 2} if chosen["dry"] else {}))


class Case(NamedTuple):
    """The chain of one block."""

    name: str
    layout: Layout
    size: int
    """Side of its input, pixels."""
    stride: int

    def flop(self, batch: int) -> float:
        """Two for each multiplication of the convolutions."""
        pixels = batch * (-(-self.size // self.stride)) ** 2
        return 2.0 * pixels * 9 * self.layout.width**2 * len(self.layout.convolved)

    def bytes(self, batch: int, element_size: int) -> float:
        """Input read once and output written once."""
        pixels = batch * (self.size**2 + (-(-self.size // self.stride)) ** 2)
        return float(pixels * self.layout.width * self.layout.scale * element_size)


def cases(chosen: Arguments) -> list[Case]:
    """The first block and the others of the four stages of each network."""
    found = []
    for network in chosen.networks:
        width, scale = NETWORKS[network]
        for stage in range(1 if chosen.dry else 4):
            size = 6 if chosen.dry else chosen.image // 4 >> stage
            stride = 1 if stage == 0 and not chosen.dry else 2
            first = Layout(width << stage, scale, hierarchical=False)
            found.append(Case(f"{network} stage {stage + 1}, first block", first, size * stride, stride))
            found.append(Case(f"{network} stage {stage + 1}, others", Layout(width << stage, scale), size, 1))
    return found


def tensors(case: Case, precision: Precision, chosen: Arguments) -> tuple[Tensor, Tensor, Tensor]:
    """Input, weights and biases, in the memory that the kernel reads."""
    torch.manual_seed(0)
    width, branches = case.layout.width, len(case.layout.convolved)
    x = torch.randn(chosen.batch, case.layout.scale * width, case.size, case.size, device=chosen.device)
    weights = torch.randn(branches, width, width, 3, 3, device=chosen.device) / (3 * width**0.5)
    biases = torch.randn(branches, width, device=chosen.device)
    x = x.to(precision.dtype, memory_format=torch.channels_last)
    return x, tap_major(weights.to(precision.dtype)), biases.to(precision.dtype)


def distance(case: Case, precision: Precision, chosen: Arguments) -> float:
    """The largest |a - b| over the largest |b|, of the kernel's output and the reference in float64."""
    from res2net.kernels.triton_chain import folded_chain_triton

    given = tensors(case, precision, chosen)
    expected = folded_chain(*(tensor.double() for tensor in given), case.layout, ChainOptions(case.stride))
    # What the kernel would leave unwritten is then likely no number.
    poison = torch.full_like(expected, float("nan"), dtype=precision.dtype)
    del poison
    y = folded_chain_triton(*given, case.layout, ChainOptions(case.stride), tf32=precision.tf32)
    return ((y.double() - expected).abs().max() / expected.abs().max()).item()


def contenders(case: Case, precision: Precision, chosen: Arguments) -> dict[str, Callable[[], object]]:
    """The ways to compute a chain; the last is compiled at its first call."""
    from res2net.kernels.triton_chain import folded_chain_triton

    given = tensors(case, precision, chosen)
    x, weights, biases = given
    plain = (x, weights.contiguous(), biases)
    compiled = torch.compile(folded_chain, fullgraph=True, dynamic=False, backend="eager" if chosen.dry else "inductor")
    layout, options = case.layout, ChainOptions(case.stride)
    return {
        "triton": lambda: folded_chain_triton(*given, layout, options, tf32=precision.tf32),
        "torch": lambda: folded_chain(*plain, layout, options),
        "compile": lambda: compiled(*plain, layout, options),
    }


def fastest_blocks(case: Case, precision: Precision, chosen: Arguments) -> tuple[str, float]:
    """The blocks that are fastest, and the seconds they take."""
    import triton

    from res2net.kernels.triton_chain import Blocks, folded_chain_triton

    given = tensors(case, precision, chosen)
    padded = max(16, triton.next_power_of_2(case.layout.width))
    pixels, outputs, inputs = (
        (64, 128, 256),
        {min(padded, 64), min(padded, 128)},
        {min(padded, n) for n in (16, 32, 64)},
    )
    tried = {}
    for blocks in itertools.starmap(Blocks, itertools.product(pixels, outputs, inputs, (4, 8), (2, 3, 4))):
        if chosen.dry and tried:
            break
        options = {"options": ChainOptions(case.stride), "tf32": precision.tf32, "blocks": blocks}
        try:
            tried[blocks] = median_seconds(
                lambda given=given, o=options: folded_chain_triton(*given, case.layout, **o),
                chosen.device,
                chosen.repetitions,
            )
        except triton.runtime.errors.OutOfResources:
            continue
    best = min(tried, key=tried.__getitem__)
    return str(tuple(best)), tried[best]


def check(precision: str, chosen: Arguments) -> list[dict]:
    """How far off each chain is, and whether that is within the limit."""
    use(PRECISIONS[precision])
    checked = []
    for case in cases(chosen):
        off = distance(case, PRECISIONS[precision], chosen)
        right = off <= PRECISIONS[precision].limit
        checked.append({"case": case.name, "precision": precision, "distance": off, "right": right})
        print(f"{precision} {case.name}: max |a - b| / max |b| = {off:.1e}{'' if right else ' WRONG'}", flush=True)
    return checked


def timing(case: Case, precision: str, chosen: Arguments, ways: tuple[str, ...] = WAYS) -> dict:
    """Seconds of a chain by each way, and the rates that the kernel reaches."""
    torch.compiler.reset()
    functions = contenders(case, PRECISIONS[precision], chosen)
    seconds = {way: median_seconds(functions[way], chosen.device, chosen.repetitions) for way in ways}
    moved = case.bytes(chosen.batch, PRECISIONS[precision].dtype.itemsize)
    rates = {
        "flop_per_s": case.flop(chosen.batch) / seconds["triton"],
        "bytes_per_s": moved / seconds["triton"],
    }
    return {"case": case.name, "precision": precision, "seconds": seconds, **rates}


def main() -> None:
    chosen = arguments()
    torch.backends.cudnn.benchmark = True
    checked, timed, measured_peaks = [], [], {}
    with torch.inference_mode():
        for name in chosen.precisions:
            checked += check(name, chosen)
            if not all(each["right"] for each in checked):
                sys.exit(f"More than {PRECISIONS[name].limit}: the kernel is wrong.")
        for name in chosen.precisions:
            use(PRECISIONS[name])
            measured_peaks[name] = peaks(PRECISIONS[name].dtype, chosen.device, chosen.repetitions, dry=chosen.dry)
            for case in cases(chosen):
                result = timing(case, name, chosen)
                if chosen.tune:
                    result["blocks"], result["tuned"] = fastest_blocks(case, PRECISIONS[name], chosen)
                timed.append(result)
    print(table(timed, measured_peaks, chosen))
    if chosen.out:
        content = {
            "device": device_name(chosen.device),
            "versions": {"torch": torch.__version__, "res2net": res2net.__version__},
            "arguments": vars(chosen),
            "peaks": {
                name: dict(zip(("flop_per_s", "bytes_per_s"), peak, strict=True))
                for name, peak in measured_peaks.items()
            },
            "checked": checked,
            "timed": timed,
        }
        Path(chosen.out).write_text(json.dumps(content, indent=2) + "\n")


def use(precision: Precision) -> None:
    """Torch rounds to tf32 where the kernel does, and nowhere else."""
    torch.backends.cudnn.allow_tf32 = precision.tf32
    torch.backends.cuda.matmul.allow_tf32 = precision.tf32


def table(timed: list[dict], measured: dict[str, tuple[float, float]], chosen: Arguments) -> str:
    """Microseconds of each chain, and the rates beside those of a large product and a large copy."""
    headings = ["precision", "chain", *(f"{way} (us)" for way in WAYS), "torch / triton"]
    headings += ["TFLOP/s", "of peak", "GB/s", "of copy", "tuned (us)", "blocks"]
    rows = [
        (
            r["precision"],
            r["case"],
            *(1e6 * r["seconds"][way] if way in r["seconds"] else None for way in WAYS),
            r["seconds"]["torch"] / r["seconds"]["triton"],
            r["flop_per_s"] / 1e12,
            r["flop_per_s"] / measured[r["precision"]][0],
            r["bytes_per_s"] / 1e9,
            r["bytes_per_s"] / measured[r["precision"]][1],
            1e6 * r["tuned"] if "tuned" in r else None,
            r.get("blocks"),
        )
        for r in timed
    ]
    title = f"Chains of Res2Net-50, batch {chosen.batch}, {chosen.image} px, channels last; medians"
    return text_table(title, headings, rows)


if __name__ == "__main__":
    main()
