"""Profiles of networks in OpenVINO, by layer and by type of layer."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from res2net.bench.cases import Case, Setting, Subject, random_images
from res2net.bench.runtimes import runtime_precision
from res2net.export.runtimes import openvino_core, openvino_hints
from res2net.report import Column, Table

CALLS = 20
SHOWN = 30
"""Number of layers in the table, the slowest ones."""


@dataclass(frozen=True)
class Layer:
    """A layer of a network as OpenVINO executes it."""

    name: str
    """Name of the original layer; an executed layer may fuse several."""
    kind: str
    """Type of the layer, such as Convolution, Reorder or Concatenation."""
    kernel: str
    """Name of the implementation."""
    seconds: float
    """Median time of several calls."""
    operations: float
    """Multiplications and additions, for convolutions and matrix products; 0 for others."""


def profile_layers(case: Case, subject: Subject, setting: Setting, file: Path) -> list[Layer]:
    """Measure the layers of a case of OpenVINO, whose `file` is from `export_case`, in the order of execution.

    Layers that take no time are left out. Raises `InputError` if OpenVINO is not installed.
    """
    core = openvino_core()
    import openvino

    model = core.read_model(str(file))
    hints = openvino_hints(runtime_precision(case), setting.threads) | {"PERF_COUNT": True}
    compiled = core.compile_model(model, "CPU", hints)
    request = compiled.create_infer_request()
    images = random_images(case.batch, subject.channels, case.size).numpy()
    times: dict[str, list[float]] = defaultdict(list)
    steps: dict[str, Any] = {}
    for turn in range(CALLS + 1):
        request.infer([images], share_inputs=True, share_outputs=True)
        for step in request.get_profiling_info() if turn else ():
            if step.status != openvino.ProfilingInfo.Status.EXECUTED:
                continue  # it was fused into another layer
            steps[step.node_name] = step
            times[step.node_name].append(step.real_time.total_seconds())
    costs = operations_by_name(model)
    originals = original_names(compiled.get_runtime_model())
    layers = []
    for name, step in steps.items():
        seconds = statistics.median_high(times[name])
        cost = sum(costs.get(original, 0.0) for original in set(map(short, originals.get(name, (name,)))))
        if seconds > 0 or cost > 0:
            layers.append(Layer(name, step.node_type, step.exec_type, seconds, cost))
    return layers


def operations_by_name(model: Any) -> dict[str, float]:
    """Multiplications and additions of each convolution and matrix product of an OpenVINO model, by name."""
    costs = {}
    for node in model.get_ops():
        kind = node.get_type_name()
        if kind not in ("Convolution", "GroupConvolution", "MatMul") or node.output(0).get_partial_shape().is_dynamic:
            continue
        outputs = math.prod(node.output(0).get_shape())
        weight = list(node.input_value(1).get_shape())
        if kind == "MatMul":
            each = weight[-1 if node.get_attributes()["transpose_b"] else -2]
        else:
            each = math.prod(weight[2 if kind == "GroupConvolution" else 1 :])
        costs[short(node.get_friendly_name())] = 2.0 * outputs * each
    return costs


def original_names(model: Any) -> dict[str, tuple[str, ...]]:
    """The original layers of each layer of an executed OpenVINO model."""
    return {
        node.get_friendly_name(): tuple(str(info["originalLayersNames"].value).split(","))
        for node in model.get_ops()
        if "originalLayersNames" in (info := node.get_rt_info())
    }


def kind_table(layers: Sequence[Layer], title: str, peak: float | None = None) -> Table:
    """Time and operations by type of layer, the slowest first, with the percentage of the peak performance."""
    kinds: dict[str, list[Layer]] = defaultdict(list)
    for layer in layers:
        kinds[layer.kind].append(layer)
    total = sum(layer.seconds for layer in layers)

    def row(kind: str, members: Sequence[Layer]) -> tuple[Any, ...]:
        seconds, operations = (sum(getattr(layer, what) for layer in members) for what in ("seconds", "operations"))
        return kind, len(members), *costs(seconds, total, operations, peak)

    slowest_first = sorted(kinds.items(), key=lambda entry: -sum(layer.seconds for layer in entry[1]))
    rows = [row(kind, members) for kind, members in (*slowest_first, ("all", layers))]
    return Table(title, (Column("kind"), Column("layers"), *COSTS), rows)


def layer_table(layers: Sequence[Layer], title: str, peak: float | None = None) -> Table:
    """The slowest layers, in the order of execution."""
    total = sum(layer.seconds for layer in layers)
    slowest = set(sorted(range(len(layers)), key=lambda index: -layers[index].seconds)[:SHOWN])
    rows = [
        (short(layer.name), layer.kind, layer.kernel, *costs(layer.seconds, total, layer.operations, peak))
        for index, layer in enumerate(layers)
        if index in slowest
    ]
    return Table(title, (Column("layer"), Column("kind"), Column("kernel"), *COSTS), rows)


COSTS = (
    Column("time", "ms", digits=3),
    Column("share", "%", digits=1),
    Column("operations", "MFLOP", digits=1),
    Column("rate", "GFLOP/s", digits=0),
    Column("of the peak", "%", digits=0),
)


def costs(seconds: float, total: float, operations: float, peak: float | None) -> tuple[float | None, ...]:
    """The cells of the columns `COSTS`."""
    rate = operations / seconds if operations and seconds else None
    return (
        1e3 * seconds,
        100 * seconds / total if total else None,
        operations / 1e6 if operations else None,
        rate / 1e9 if rate else None,
        100 * rate / peak if rate and peak else None,
    )


def short(name: str) -> str:
    """The name of the operation in torch: the first part of the name in OpenVINO."""
    return name.partition("/")[0]
