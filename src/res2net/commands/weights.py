"""`res2net weights`: convert checkpoints between the formats of programs; list published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from rich.console import Console

from res2net.commands.arguments import parse
from res2net.errors import InputError, check_choice, nearest

if TYPE_CHECKING:
    from res2net.weights import Checkpoint

__all__ = ["run"]

ABOUT = "Convert weights, `res2net weights convert IN OUT --to FORMAT`, or list published ones, `res2net weights list`."
ACTIONS = ("convert", "list")
MORE = "see `res2net weights --help`."


@dataclass(frozen=True)
class Arguments:
    """What is done with which weights."""

    action: tyro.conf.Positional[str]
    """convert, or list."""
    source: tyro.conf.Positional[str] = ""
    """convert: a checkpoint file; or, with --model, a tag such as "in1k". list: a pattern of names of models."""
    target: tyro.conf.Positional[str] = ""
    """convert: the file to write, .safetensors."""
    to: str = ""
    """Whose names the tensors get: res2net, timm, official, torchvision, jittor, mmpretrain, mmdet, detectron2,
    maskrcnn or paddle."""
    model: str | None = None
    """Name of the architecture, where the weights do not say it."""
    options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Options of the architecture that the weights do not say, as pairs: `--options scale 8 base_width 14`."""
    overwrite: bool = False
    """Replace the file to write, if there is one."""


def run(arguments: Sequence[str]) -> None:
    """Convert or list."""
    chosen = parse(Arguments, "weights", arguments, ABOUT)
    check_choice("Action", chosen.action, ACTIONS)
    if chosen.action == "list":
        if chosen.target or chosen.to or chosen.model or chosen.options or chosen.overwrite:
            raise InputError(f"`res2net weights list` takes a pattern of names and nothing else: {MORE}")
        return list_published(chosen.source or "*")
    for what, value in (("the file to read", chosen.source), ("the file to write", chosen.target), ("--to", chosen.to)):
        if not value:
            raise InputError(f"`res2net weights convert` lacks {what}: {MORE}")
    target = Path(chosen.target)
    return convert(chosen.source, target, chosen.to, chosen.model, chosen.options, overwrite=chosen.overwrite)


def convert(
    source: str, target: Path, program: str, name: str | None, options: Mapping[str, Any], *, overwrite: bool
) -> None:
    """Write the weights of `source` to `target` under the names of a program, and print what became of them."""
    import torch

    from res2net.weights import FORMATS, Preprocessing, from_native, save, to_native
    from res2net.weights.formats import format_named
    from res2net.weights.formats.rename import is_res2net
    from res2net.zoo import check_model_options, create_model, preprocessing_of

    format_name = format_named(program)
    check_target(target, overwrite)
    name, checkpoint = open_checkpoint(source, name)
    check_model_options(name, options)
    with torch.device("meta"):
        # All tensors have their place in it, or an error says what differs.
        model = create_model(name, checkpoint, **options)
    native = to_native(checkpoint.tensors, model.state_dict())
    tensors = from_native(native.tensors, program)
    graph = str(model.variant_options.get("graph", "official"))
    preprocessing = preprocessing_of(checkpoint)
    said = checkpoint.metadata
    save(
        target,
        tensors,
        {
            **(said if said.get("model") == name else {}),
            "model": name,
            "options": dict(model.variant_options),
            "graph": graph,
            "format": format_name,
            "preprocessing": (preprocessing or Preprocessing()).to_dict(),
            "source": said.get("source") or Path(source).name,
            **({"licence": said["licence"]} if "licence" in said else {}),
        },
    )

    counters = "num_batches_tracked"
    left_out = [name for name in native.dropped if name not in tensors]
    if not any(name.endswith(counters) for name in tensors):
        left_out += [name for name in native.tensors if name.endswith(counters)]
    lines = [
        f"{source}: {len(checkpoint.tensors)} tensors of a {name} of {model.num_classes or 'no'} classes under names "
        f"of {native.format}; it needs the graph {graph}",
        f"{target}: {len(tensors)} tensors under names of {program}"
        + (f"; left out, since nothing there uses them: {shortened(left_out)}" if left_out else ""),
    ]
    if preprocessing is None:
        lines.append("Nothing is said about preprocessing: that of most ImageNet weights is noted in the file.")
    if licence := said.get("licence"):
        lines.append(f"Licence: {licence}.")
    if program != "res2net" and is_res2net(native.tensors) and FORMATS[format_name].graph != graph:
        lines.append(
            f"{program} computes the graph {FORMATS[format_name].graph}, in which these weights give other logits; "
            f"`res2net` reads in the file that they need {graph}."
        )
    for line in lines:
        Console().print(line, markup=False, highlight=False, soft_wrap=True)


def check_target(path: Path, overwrite: bool) -> None:
    """Raise `InputError` unless a safetensors file may be written there."""
    if path.is_dir():
        raise InputError(f"{path} is a folder: name a file in it to write.")
    if path.suffix != ".safetensors":
        raise InputError(f"{path} does not end in .safetensors, which is what is written: name it so.")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists: choose another name, or add --overwrite.")


def open_checkpoint(source: str, name: str | None) -> tuple[str, Checkpoint]:
    """The name of the model, and the tensors with all that is known about them."""
    from res2net.backbones.registry import variant_names
    from res2net.weights import Checkpoint, read_checkpoint
    from res2net.weights.download import recognise
    from res2net.zoo import find_checkpoint

    if name is not None:
        checkpoint = find_checkpoint(name, source)
    elif Path(source).suffix or Path(source).exists():
        checkpoint = read_checkpoint(source)
    else:
        raise InputError(f"{source} is no file: to convert published weights of that name, add --model NAME.")
    held = checkpoint.metadata.get("model")
    if held in variant_names():
        return name or str(held), checkpoint
    record = recognise(source)
    if record is not None and name in (None, record.model):
        return record.model, Checkpoint(checkpoint.tensors, record.to_metadata(), checkpoint.path)
    if name is None:
        raise InputError(f"{source} does not say which model it holds: add --model NAME (`res2net models` lists them).")
    return name, checkpoint


def list_published(pattern: str) -> None:
    """Print the published weights of the models that match a shell-style pattern."""
    from fnmatch import fnmatch

    from res2net.report import Column, Table
    from res2net.weights import records

    found = [record for record in records() if fnmatch(record.model, pattern)]
    if not found:
        hint = nearest(pattern.strip("*"), {record.model for record in records()}) or "see `res2net weights list`."
        raise InputError(f"No model with published weights matches {pattern!r}: {hint}")
    columns = [*(Column(heading) for heading in ("model", "tag", "from", "format", "graph")), Column("top-1", "%")]
    rows = [
        (record.model, record.tag, record.source, record.format, record.graph, top1(record.metrics)) for record in found
    ]
    Console().print(Table("Published weights", columns, rows).to_rich())


def top1(metrics: Mapping[str, float]) -> float | None:
    """The accuracy that was measured or claimed."""
    return next((value for what, value in metrics.items() if what.startswith("top-1 accuracy")), None)


def shortened(names: Sequence[str]) -> str:
    """The first of many names, and how many there are."""
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
