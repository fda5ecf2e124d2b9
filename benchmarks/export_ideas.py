"""Time Res2Net-50 in OpenVINO with one idea at a time for laying out its splits, interleaved in one process.

    uv run --group test python benchmarks/export_ideas.py

Every idea is the same function, which is checked; prints the least and the median of the passes. See `--help` for
the options.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import openvino
import torch
import torch.nn.functional as F
import tyro
from rich.console import Console
from torch import Tensor, nn

import res2net
from res2net.bench.timing import interleaved
from res2net.export.int8 import quantize
from res2net.export.runtimes import openvino_core, openvino_hints
from res2net.export.split_ranges import join_ranges
from res2net.report import Column, Table
from res2net.surgery.fused import Chain, FusedBottleneck


@dataclass(frozen=True)
class Arguments:
    """What is timed, and how often."""

    model: str = "res2net50_26w_4s"
    passes: int = 60
    """Of each network, in turn."""
    size: int = 224
    """Side of the image, pixels."""
    out: str | None = None
    """Write the results to this JSON file."""


class Separate(nn.Module):
    """A 1x1 convolution for each split, with the addition behind it, so that nothing is split."""

    def __init__(self, block: Any, *, summed: bool = False) -> None:
        super().__init__()
        width, scale = block.inner.layout.width, block.inner.layout.scale
        parts = [slice(place * width, (place + 1) * width) for place in range(scale)]
        self.before = nn.ModuleList(part_of(block.conv1.conv, outputs=part) for part in parts)
        self.convs, self.downsample = block.inner.convs, block.downsample
        self.last = block.conv3.conv
        self.after = nn.ModuleList(part_of(self.last, inputs=part) for part in parts) if summed else None

    def forward(self, x: Tensor) -> Tensor:
        """As the bottleneck."""
        splits: list[Tensor] = []
        for place, conv in enumerate(self.before):
            split = F.relu(conv(x))
            if place < len(self.convs):
                split = self.convs[place](split + splits[-1] if splits else split)
            splits.append(split)
        y = self.downsample(x)
        if self.after is None:
            return F.relu(self.last(torch.cat(splits, 1)) + y)
        for conv, split in zip(self.after, splits, strict=True):
            y = conv(split) + y
        return F.relu(y + self.last.bias.view(-1, 1, 1))


class Padded(nn.Module):
    """Splits as wide as the next multiple of a number, with weights of zero."""

    def __init__(self, block: Any, multiple: int) -> None:
        super().__init__()
        width, scale = block.inner.layout.width, block.inner.layout.scale
        self.width, self.scale = -(-width // multiple) * multiple, scale
        here = torch.cat([place * self.width + torch.arange(width) for place in range(scale)])
        first, last, total = block.conv1.conv, block.conv3.conv, scale * self.width
        self.first = widened(first, here, torch.arange(first.in_channels), total, first.in_channels)
        self.last = widened(last, torch.arange(last.out_channels), here, last.out_channels, total)
        own = torch.arange(width)
        self.convs = nn.ModuleList(widened(step.conv, own, own, self.width, self.width) for step in block.inner.convs)
        self.downsample = block.downsample

    def forward(self, x: Tensor) -> Tensor:
        """As the bottleneck."""
        splits = list(F.relu(self.first(x)).split(self.width, 1))
        for place, conv in enumerate(self.convs):
            splits[place] = F.relu(conv(splits[place] + splits[place - 1] if place else splits[place]))
        return F.relu(self.last(torch.cat(splits, 1)) + self.downsample(x))


def part_of(conv: Any, *, outputs: slice = slice(None), inputs: slice = slice(None)) -> nn.Conv2d:
    """Some of the channels of a 1x1 convolution; the bias goes with all inputs only."""
    weight = conv.weight[outputs, inputs]
    made = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=inputs == slice(None))
    made.weight = nn.Parameter(weight.clone(), requires_grad=False)
    if made.bias is not None:
        made.bias = nn.Parameter(conv.bias[outputs].clone(), requires_grad=False)
    return made


def widened(conv: Any, outputs: Tensor, inputs: Tensor, out_channels: int, in_channels: int) -> nn.Conv2d:
    """A convolution whose channels stand among others of zero."""
    made = nn.Conv2d(in_channels, out_channels, conv.kernel_size, conv.stride, conv.padding).requires_grad_(False)
    made.weight.zero_()
    made.bias.zero_()
    made.weight[outputs[:, None], inputs] = conv.weight
    made.bias[outputs] = conv.bias
    return made


IDEAS: dict[str, Callable[[Any], nn.Module]] = {
    "a 1x1 convolution for each split": Separate,
    "that, and the last one as a sum": lambda block: Separate(block, summed=True),
    "widths of multiples of 8": lambda block: Padded(block, 8),
    "widths of multiples of 16": lambda block: Padded(block, 16),
    "widths of multiples of 32": lambda block: Padded(block, 32),
}


def with_idea(network: nn.Module, idea: Callable[[Any], nn.Module]) -> nn.Module:
    """The network with its hierarchical blocks changed."""
    made = copy.deepcopy(network)
    for name, module in list(made.named_modules()):
        if isinstance(module, FusedBottleneck) and isinstance(module.inner, Chain):
            made.set_submodule(name, idea(module))
    return made


def main() -> None:
    chosen = tyro.cli(Arguments, description=__doc__)
    torch.manual_seed(0)
    image = torch.randn(1, 3, chosen.size, chosen.size)
    network = res2net.optimize(res2net.create_model(chosen.model).eval(), "export")
    networks = {"as it is exported": network} | {name: with_idea(network, idea) for name, idea in IDEAS.items()}
    networks["resnet50"] = res2net.optimize(res2net.create_model("resnet50").eval(), "export")
    requests: dict[tuple[str, str], Any] = {}
    with torch.no_grad():
        expected = network(image)
        for name, made in networks.items():
            difference = float((made(image) - expected).abs().max() / expected.abs().max())
            assert name == "resnet50" or difference < 1e-5, f"{name} is another function: {difference}"
            model = openvino.convert_model(torch.export.export(made, (image,)))
            model.reshape(list(image.shape))
            int8 = quantize(model, [torch.randn(image.shape) for _ in range(4)])
            join_ranges(int8)
            for precision, which, hint in (("fp32", model, "fp32"), ("bf16", model, "bf16"), ("int8", int8, "fp32")):
                hints = openvino_hints(hint, None)
                requests[precision, name] = openvino_core().compile_model(which, "CPU", hints).create_infer_request()
    pixels = image.numpy()
    cases = {case: partial(request.infer, [pixels]) for case, request in requests.items()}
    samples, _ = interleaved(cases, chosen.passes, shortest=0)
    results = [
        {
            "precision": precision,
            "idea": name,
            "least_ms": 1e3 * took.spread.least,
            "median_ms": 1e3 * took.spread.median,
        }
        for (precision, name), took in sorted(samples.items(), key=lambda entry: entry[0][0])
    ]
    columns = (Column("precision"), Column("idea"), Column("least", "ms"), Column("median", "ms"))
    Console(width=100).print(Table(chosen.model, columns, [tuple(result.values()) for result in results]).to_rich())
    if chosen.out:
        Path(chosen.out).write_text(json.dumps({"openvino": openvino.__version__, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
