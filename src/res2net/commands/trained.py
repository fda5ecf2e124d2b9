"""The tables of `res2net info` of a run, a checkpoint or an exported network: what it is, and how it was trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from res2net.errors import InputError, listed
from res2net.report import Column, Table
from res2net.task import task_names

FILES = (".safetensors", ".pth", ".pt", ".ckpt", ".pdparams", ".pkl", ".onnx", ".xml", ".pt2")
"""Endings of files that are described; other files have to exist to be taken for one."""
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""Endings of the names of tensors that are not learnt by gradients."""

Rows = Iterator[tuple[str, Any]]


def is_trained(name: str) -> bool:
    """Whether a word on the command line is a run or a file, and not the name of a model."""
    from res2net.backbones.registry import ALIASES, variant_names
    from res2net.weights import checkpoint_path

    if name in variant_names() or name.lower() in ALIASES:
        return False
    path = checkpoint_path(name)
    return path.exists() or len(path.parts) > 1 or path.suffix.lower() in FILES


def trained_tables(name: str) -> list[Table]:
    """Describe the folder of a run, or a file of weights, of the state of a run or of an exported network.

    Raises:
        InputError: there is no such file, it is damaged, or it is none of these.
    """
    from res2net.engine.folder import RunFolder
    from res2net.weights import checkpoint_path, read_checkpoint
    from res2net.weights.files import EXPORTED

    path = checkpoint_path(name)
    run = RunFolder(path if path.is_dir() else path.parent)
    is_run = run.config.is_file()
    if path.is_dir() and not is_run and not run.weights.exists():
        raise InputError(f"{path} is no run (it has no config.yaml): give a folder of `res2net train` or a checkpoint.")
    if path.name.endswith(EXPORTED):
        return [_table(f"Exported network {path}", _exported(Path(name.removesuffix(".json"))))]
    if path == run.state:
        return [_table(f"State of a run {path}", _state(path))]
    tables = [_table(f"Run {path}", _run(run))] if path.is_dir() and is_run else []
    weights = run.weights if path.is_dir() else path
    if path.is_dir() and not weights.exists():
        return tables
    checkpoint = read_checkpoint(weights)
    metadata = checkpoint.metadata
    parameters = sum(t.numel() for name, t in checkpoint.tensors.items() if not name.endswith(STATISTICS))
    size = weights.stat().st_size
    tables.append(_table(f"Checkpoint {weights}", _checkpoint(metadata, parameters, len(checkpoint.tensors), size)))
    if isinstance(metadata.get("metrics"), dict) and metadata["metrics"]:
        tables.append(_scores(metadata))
    return tables


def _table(title: str, rows: Rows) -> Table:
    shown = [(name, value) for name, value in rows if value not in (None, "")]
    return Table(title, (Column("property"), Column("value")), shown)


def _run(folder: Any) -> Rows:
    """The facts of a run that its folder holds beside the weights."""
    from res2net.commands.runs import read_run
    from res2net.engine.config import read_config

    config, run = read_config(folder.config), read_run(folder)
    yield "state", run.state
    yield "epochs", f"{run.epochs} of {run.planned}" + (f", the best is {run.best_epoch}" if run.best_epoch else "")
    yield from _config(dataclasses.asdict(config))
    yield "files", listed(sorted(f"{file.name} ({_bytes(file.stat().st_size)})" for file in _files(folder.path)))


def _config(config: Mapping[str, Any]) -> Rows:
    """How a run is trained, from its configuration as plain values."""
    model, data, optim = config["model"], config["data"], config["optim"]
    yield "began with", model["weights"] or "random weights"
    yield "data", config["source"]
    splits = [f"{what} {data[f'{what}_split']}" for what in ("train", "val") if data.get(f"{what}_split")]
    yield "split", ", ".join(splits) or _split(data["val_fraction"], config["seed"])
    yield "training", f"{optim['optimizer']}, learning rate {optim['lr']:g}, {optim['schedule']}"


def _split(fraction: float, seed: int) -> str:
    return f"that of the data; where they have none, {fraction:g} to validate, by seed {seed}"


def _checkpoint(metadata: Mapping[str, Any], parameters: int, tensors: int, size: int) -> Rows:
    """What the metadata of a checkpoint says, and what its tensors show."""
    yield "size", f"{parameters:,} parameters in {tensors} tensors, {_bytes(size)}"
    yield "task", metadata.get("task") or ("none: weights of a backbone" if metadata.get("model") else None)
    yield "model", metadata.get("model") or metadata.get("arch")
    if not metadata.get("model"):
        yield "", "It does not name a model of this library: give its name with --model wherever it is used."
    yield from _network(metadata, metadata.get("options"), metadata.get("task_options"))
    yield "data", metadata.get("source")
    counts = metadata.get("data")
    if isinstance(counts, dict):
        yield "samples", ", ".join(f"{counts[split]['count']:,} {split}" for split in ("train", "val"))
    if "val_fraction" in metadata and "seed" in metadata:
        yield "split", _split(metadata["val_fraction"], metadata["seed"])
    run_settings = [("precision", ""), ("batch_size", "batch of "), ("decode", "decode ")]
    yield "trained in", ", ".join(f"{text}{metadata[name]}" for name, text in run_settings if name in metadata)
    yield "licence", metadata.get("licence")
    version = metadata.get("version")
    yield "written by", version and f"res2net {version}"


def _network(metadata: Mapping[str, Any], options: Any, task_options: Any) -> Rows:
    """Options, inputs and classes of a network."""
    if isinstance(options, dict):
        own = {name: value for name, value in options.items() if name not in ("num_classes", "in_channels")}
        yield "model options", _pairs(own)
        yield "channels", options.get("in_channels")
    if isinstance(prepared := metadata.get("preprocessing"), dict):
        yield "image", _pairs(prepared)
    names = metadata.get("class_names")
    if isinstance(names, Sequence):
        yield "classes", f"{len(names)}: {listed(names)}"
    yield "stuff classes", listed(metadata.get("stuff_names") or ())
    if isinstance(task_options, dict):
        yield "task options", _pairs(_changed(metadata.get("task"), task_options)) or "the defaults"


def _changed(task: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a task that are not its defaults, those of groups by their own names."""
    from res2net.task.base import TASKS

    usual = _flat(dataclasses.asdict(TASKS[task].Options())) if task in task_names() else {}
    return {name: value for name, value in _flat(options).items() if usual.get(name) != value}


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in options.items():
        flat |= _flat(value) if isinstance(value, dict) else {name: list(value) if isinstance(value, tuple) else value}
    return flat


def _state(path: Path) -> Rows:
    """What the state of an interrupted run says."""
    from res2net.engine.state import RunRecord, part, read_state

    state = read_state(path)
    record: RunRecord = part(state, "run")
    place, epochs = part(state, "place"), record.config["optim"]["epochs"]
    within = f" and {place.batch} batches" if place.batch else ""
    more = f" --epochs {2 * epochs}" if place.epoch == epochs else ""
    yield "trained", f"{place.epoch} of {epochs} epochs{within}: go on with --resume {path.parent}{more}"
    yield "task", record.config["task_name"]
    yield "model", record.model["model"]
    metadata = {"task": record.config["task_name"], "preprocessing": record.preprocessing, **record.facts}
    yield from _network(metadata, record.model["options"], record.config["task"])
    yield "samples", f"{record.train['count']:,} train, {record.val['count']:,} val"
    yield from _config(record.config)


def _exported(path: Path) -> Rows:
    """What the description of an exported network says."""
    from res2net.export.artefact import read_artefact

    found = read_artefact(path)
    batch = "any batch" if found.dynamic_batch else f"a batch of {found.input_shape[0]}"
    yield "format", found.format + (", 8-bit integers" if found.int8 else "")
    yield "size", _bytes(path.stat().st_size)
    yield "task", found.task
    yield "model", found.model
    yield "input", f"{batch} of {' x '.join(map(str, found.input_shape[1:]))}"
    yield "outputs", ", ".join(found.outputs)
    own = {"task": found.task, "class_names": found.class_names, "preprocessing": found.preprocessing.to_dict()}
    yield from _network(dict(found.task_metadata) | own, found.options, found.task_metadata.get("task_options"))
    yield "agreement", _pairs(found.agreement)
    yield "data", found.source
    yield "licence", found.licence
    yield "written by", found.version and f"res2net {found.version}"


def _scores(metadata: Mapping[str, Any]) -> Table:
    """The scores of a checkpoint on the validation samples, with their units; the one that chose it comes first."""
    from res2net.task.base import TASKS, Scoring

    scoring = TASKS[metadata["task"]].scoring if metadata.get("task") in task_names() else Scoring("")
    score = metadata.get("score") or scoring.monitor
    numbers = {name: value for name, value in metadata["metrics"].items() if isinstance(value, int | float)}
    first = {name: numbers[name] for name in (score,) if name in numbers}
    rows = [(name, value, "" if name == "loss" else scoring.unit(name)) for name, value in (first | numbers).items()]
    title = "Validation scores" if metadata.get("task") else "Stated scores"
    return Table(title, (Column("metric"), Column("value", digits=3), Column("unit")), rows)


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")]


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in values.items())


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_plain, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _bytes(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB" if count >= 2**20 else f"{count / 2**10:,.1f} KiB"
