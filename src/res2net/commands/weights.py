"""`res2net weights`: list weights that ship and published ones, print a card, and convert between formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from res2net.commands.parser import parse
from res2net.console import Console
from res2net.errors import InputError, nearest

if TYPE_CHECKING:
    from res2net.weights import Checkpoint

ABOUT = """List the weights that ship with the package and published ones with `res2net weights list`, print the card of
those that ship with `res2net weights NAME`, or convert weights with `res2net weights convert IN OUT --to FORMAT`."""
# Written here as well as in `res2net.weights`, which imports torch.
Program = Literal[
    "res2net",
    "timm",
    "torchvision",
    "jittor",
    "official",
    "mmpretrain",
    "mmdet",
    "detectron2",
    "maskrcnn",
    "paddle",
]
MORE = "see `res2net weights --help`."


@dataclass(frozen=True)
class Arguments:
    """Options of `res2net weights`."""

    action: Annotated[tyro.conf.Positional[str], "{list,convert,NAME}"] = "list"
    """List weights, convert a checkpoint, or print the card of weights that ship, such as cifar100."""
    source: tyro.conf.Positional[str] = ""
    """For convert, a checkpoint file, weights that ship or, with --model, a tag such as "in1k"; for list, a pattern of
    model names."""
    target: tyro.conf.Positional[str] = ""
    """For convert, the .safetensors file to write."""
    to: Program | None = None
    """Format, or program, whose tensor names are written."""
    model: Annotated[str | None, "MODEL"] = None
    """Name of the architecture, if the checkpoint does not contain it."""
    options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Options of the architecture that the checkpoint does not contain: `--options scale 8 base_width 14`."""
    overwrite: bool = False
    """Overwrite an existing file."""


def run(arguments: Sequence[str]) -> None:
    """List weights, print a card, or convert a checkpoint."""
    chosen = parse(Arguments, "weights", arguments, ABOUT)
    if chosen.action == "list":
        if chosen != Arguments("list", chosen.source):
            raise InputError(f"`res2net weights list` takes only a pattern of model names: {MORE}")
        return list_weights(chosen.source)
    if chosen.action != "convert":
        return print_card(chosen.action, alone=chosen == Arguments(chosen.action))
    if not chosen.source or not chosen.target or not chosen.to:
        needed = "a file to read" if not chosen.source else "a file to write" if not chosen.target else "--to FORMAT"
        raise InputError(f"`res2net weights convert` needs {needed}: {MORE}")
    return convert(chosen, chosen.to)


def convert(chosen: Arguments, program: Program) -> None:
    """Write the weights of a file or tag to another file under the names of a program, and print a summary."""
    import torch

    from res2net.weights import FORMATS, Preprocessing, from_native, save, to_native
    from res2net.weights.formats import format_named
    from res2net.weights.formats.rename import is_res2net
    from res2net.zoo import check_model_options, create_model, preprocessing_of

    source, target = chosen.source, Path(chosen.target)
    options: Mapping[str, Any] = chosen.options
    format_name = format_named(program)
    check_target(target, chosen.overwrite)
    name, checkpoint = open_checkpoint(source, chosen.model)
    check_model_options(name, options)
    with torch.device("meta"):
        # Loading raises an error unless all tensors belong to this model.
        model = create_model(name, checkpoint, **options)
    native = to_native(checkpoint.tensors, model.state_dict())
    tensors = from_native(native.tensors, program)
    graph = str(model.variant_options.get("graph", "official"))
    preprocessing = preprocessing_of(checkpoint)
    metadata = checkpoint.metadata
    save(
        target,
        tensors,
        {
            **(metadata if metadata.get("model") == name else {}),
            "model": name,
            "options": dict(model.variant_options),
            "graph": graph,
            "format": format_name,
            "preprocessing": (preprocessing or Preprocessing()).to_dict(),
            "source": metadata.get("source") or Path(source).name,
            **({"licence": metadata["licence"]} if "licence" in metadata else {}),
        },
    )

    counters = "num_batches_tracked"
    left_out = [name for name in native.dropped if name not in tensors]
    if not any(name.endswith(counters) for name in tensors):
        left_out += [name for name in native.tensors if name.endswith(counters)]
    lines = [
        f"{source}: {len(checkpoint.tensors)} tensors of a {name} with {model.num_classes or 'no'} classes in the "
        f"format {native.format}; graph: {graph}",
        f"{target}: {len(tensors)} tensors in the format {program}"
        + (f"; left out because they are unused there: {shortened(left_out)}" if left_out else ""),
    ]
    if preprocessing is None:
        lines.append("The checkpoint has no preprocessing: that of most ImageNet weights is written to the file.")
    if licence := metadata.get("licence"):
        lines.append(f"Licence: {licence}.")
    if program != "res2net" and is_res2net(native.tensors) and FORMATS[format_name].graph != graph:
        lines.append(
            f"{program} computes the graph {FORMATS[format_name].graph}, in which these weights give different logits; "
            f"`res2net` reads from the file that they need {graph}."
        )
    for line in lines:
        Console().out(line, highlight=False)


def check_target(path: Path, overwrite: bool) -> None:
    """Raise `InputError` unless a safetensors file can be written there."""
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the name of a file.")
    if path.suffix != ".safetensors":
        raise InputError(f"{path} does not end in .safetensors, the only format that is written: rename it.")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists: choose another name, or add --overwrite.")


def open_checkpoint(source: str, name: str | None) -> tuple[str, Checkpoint]:
    """Find the name of the model, and the checkpoint with all known metadata."""
    from res2net.weights import Checkpoint, read_checkpoint
    from res2net.weights.download import recognise
    from res2net.zoo import find_checkpoint, is_file, saved_model

    if name is not None:
        checkpoint = find_checkpoint(name, source)
    elif is_file(source) or Path(source).exists():
        checkpoint = read_checkpoint(source)
    else:
        raise InputError(f"{source} is not a file: to convert published weights with that tag, add --model NAME.")
    declared = saved_model(checkpoint)
    if declared is not None:
        return name or declared, checkpoint
    record = recognise(source)
    if record is not None and name in (None, record.model):
        return record.model, Checkpoint(checkpoint.tensors, record.to_metadata(), checkpoint.path)
    if name is None:
        raise InputError(f"{source} does not name its model: add --model NAME (`res2net models` lists them).")
    return name, checkpoint


def print_card(name: str, *, alone: bool = True) -> None:
    """Print the card of weights that ship; `alone` says whether the command has nothing behind their name."""
    from res2net.weights import find_shipped, shipped

    card = find_shipped(name)
    if card is None:
        names = [one.name for one in shipped()]
        hint = nearest(name, ["list", "convert", *names]) or f"choose list, convert or a card ({', '.join(names)})."
        raise InputError(f"Unknown action {name!r}: {hint}")
    if not alone:
        raise InputError(f"`res2net weights {name}` takes nothing else: {MORE}")
    Console().out(card.card(), highlight=False)


def list_weights(pattern: str) -> None:
    """Print the weights that ship, and the published ones, of the models that match a pattern; by default of all."""
    from fnmatch import fnmatch

    from res2net.backbones.registry import similar_model
    from res2net.report import Column, Table
    from res2net.weights import records, shipped

    ours = [card for card in shipped() if fnmatch(card.model, pattern or "*")]
    found = [record for record in records() if fnmatch(record.model, pattern or "*")]
    if not found and not ours:
        hint = similar_model(pattern.strip("*")) or "see `res2net weights list`."
        raise InputError(f"No model with published weights matches {pattern!r}: {hint}")
    console = Console()
    if ours:
        columns = [Column(heading) for heading in ("name", "task", "model", "score", "licence")]
        scores = [f"{card.score} {card.metrics[card.score]:g}" for card in ours]
        table = [
            (card.name, card.task, card.model, score, card.licence) for card, score in zip(ours, scores, strict=True)
        ]
        console.print(Table("Weights that ship", columns, table).to_rich())
    if found:
        headings = ("model", "tag", "from", "format", "graph")
        columns = [*(Column(heading) for heading in headings), Column("top-1", "%")]
        rows = [(record.model, record.tag, record.source, record.format, record.graph, record.top1) for record in found]
        console.print(Table("Published weights", columns, rows).to_rich())
        for tag, licence in {record.tag: record.licence for record in found}.items():
            console.out(f"Licence of {tag}: {licence}", highlight=False)


def shortened(names: Sequence[str]) -> str:
    """The first two names, and the number of others."""
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
