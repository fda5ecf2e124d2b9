"""What full networks for every pixel cost: forward, backward, parameters, multiply-accumulates and memory.

    uv run --group test python benchmarks/dense_nets.py

Images of each network's usual size, in processes of their own. Networks, with the size of their images, are in
`NETWORKS`; see `--help` for the options.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch
import tyro
from rich.console import Console

import res2net
from res2net.bench.memory import resident
from res2net.errors import check_choice
from res2net.measure import count
from res2net.nn import freeze_norms
from res2net.report import Column, Table
from res2net.tasks.pixels.heads.network import DECODERS, PixelNetwork


@dataclass(frozen=True)
class Network:
    """A network and its images."""

    decoder: str
    backbone: str
    size: tuple[int, int]
    """Height and width."""
    num_classes: int = 1
    images: int = 1
    """In a batch."""
    output_stride: int = 32
    frozen_norms: bool = False
    """Batch normalisations of the backbone do not learn, as in the networks' recipes."""

    def build(self) -> PixelNetwork:
        """The network in training."""
        torch.manual_seed(0)
        backbone = res2net.create_model(self.backbone, num_classes=0, output_stride=self.output_stride)
        if self.frozen_norms:
            freeze_norms(backbone)
        return PixelNetwork(backbone, DECODERS[self.decoder](backbone.stages, self.num_classes, 256)).train()


SALIENT = {"size": (300, 400), "frozen_norms": True}
# DeepLabv3+ normalises over the batch what it pools from the whole of each image, so that one is too few.
CLASSES = {"size": (513, 513), "num_classes": 21, "output_stride": 16, "images": 2}
NETWORKS = {
    "DeepLabv3+, Res2Net-50": Network("deeplabv3plus", "res2net50_26w_4s", **CLASSES),
    "DeepLabv3+, Res2Net-101": Network("deeplabv3plus", "res2net101_26w_4s", **CLASSES),
    "DeepLabv3+, ResNet-50": Network("deeplabv3plus", "resnet50", **CLASSES),
    "DSS, Res2Net-50": Network("dss", "res2net50_26w_4s", **SALIENT),
    "DSS, ResNet-50": Network("dss", "resnet50", **SALIENT),
    "PoolNet, Res2Net-50": Network("poolnet", "res2net50_26w_4s", output_stride=16, **SALIENT),
    "PoolNet, ResNet-50": Network("poolnet", "resnet50", output_stride=16, **SALIENT),
    "PoolNet with edges, Res2Net-50": Network("poolnet_edges", "res2net50_26w_4s", output_stride=16, **SALIENT),
}


@dataclass(frozen=True)
class Arguments:
    """What is measured, and how often."""

    networks: tuple[str, ...] = tuple(NETWORKS)
    """Their names."""
    repetitions: int = 3
    device: str = "cpu"
    """cpu or cuda."""
    out: str | None = None
    """Write the results to this JSON file."""
    only: str | None = None
    """Used by the measurement itself: the name of a network."""


@dataclass(frozen=True)
class Costs:
    """What one network costs."""

    network: str
    images: str
    """How many, and their size."""
    parameters_m: float
    gmacs: float
    """Of one image."""
    forward_ms: float
    """Of a batch, in evaluation without gradients."""
    step_ms: float
    """Forward and backward, all maps that are learnt from."""
    peak_mib: float
    """What the steps take at most beside the libraries: weights, activations and gradients."""


def measure(name: str, chosen: Arguments) -> Costs:
    """Measure one network in this process."""
    network, before = NETWORKS[name], resident("VmRSS")
    height, width = network.size
    model = network.build().to(chosen.device)
    counts = count(model, (3, height, width))
    images = torch.rand(network.images, 3, height, width, device=chosen.device)

    def forward() -> None:
        model.eval()
        with torch.inference_mode():
            model(images)

    def step() -> None:
        model.train()
        torch.stack([one.float().mean() for one in model.all_outputs(images)]).sum().backward()

    forward_ms, step_ms = (timed(function, chosen) for function in (forward, step))
    peak = torch.cuda.max_memory_allocated() / 2**20 if chosen.device == "cuda" else resident("VmHWM") - before
    batch_shape = f"{network.images} of {width}x{height}"
    return Costs(name, batch_shape, counts.parameters / 1e6, counts.macs / 1e9, forward_ms, step_ms, peak)


def timed(function: object, chosen: Arguments) -> float:
    """The median of several calls after one to warm up, milliseconds."""
    assert callable(function)
    samples = []
    for _ in range(1 + chosen.repetitions):
        start = time.perf_counter()
        function()
        if chosen.device == "cuda":
            torch.cuda.synchronize()
        samples.append(1000 * (time.perf_counter() - start))
    return median(samples[1:])


def main() -> None:
    chosen = tyro.cli(Arguments, description=__doc__)
    for name in (chosen.only,) if chosen.only else chosen.networks:
        check_choice("Network", name, NETWORKS)
    if chosen.only:
        print(json.dumps(asdict(measure(chosen.only, chosen))))
        return
    results = []
    for name in chosen.networks:
        command = [sys.executable, __file__, "--only", name, "--device", chosen.device]
        command += ["--repetitions", str(chosen.repetitions)]
        results.append(json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout))
    columns = (
        Column("network"),
        Column("images"),
        Column("parameters", "M", digits=2),
        Column("MACs", "G", digits=1),
        Column("forward", "ms", digits=0),
        Column("forward and backward", "ms", digits=0),
        Column("peak memory", "MiB", digits=0),
    )
    threads = f", {torch.get_num_threads()} threads" if chosen.device == "cpu" else ""
    title = f"On {chosen.device}{threads}, medians of {chosen.repetitions}"
    Console(width=130).print(Table(title, columns, [tuple(result.values()) for result in results]).to_rich())
    if chosen.out:
        content = {"torch": torch.__version__, "threads": torch.get_num_threads(), "results": results}
        Path(chosen.out).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
