"""`create_model` and `list_models`: backbones and weights joined."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from res2net.backbones.base import Backbone
from res2net.backbones.graphs import GRAPHS
from res2net.backbones.registry import build, variant, variant_names
from res2net.errors import InputError, check_options
from res2net.options import type_advice
from res2net.weights import (
    Checkpoint,
    Preprocessing,
    check_usable,
    describe,
    fetch,
    find_record,
    load,
    read_checkpoint,
    records,
)
from res2net.weights.formats import FORMATS, to_native

__all__ = [
    "check_model_options",
    "create_model",
    "find_checkpoint",
    "list_models",
    "load_model",
    "open_checkpoint",
    "preprocessing_of",
]


def list_models(pattern: str = "*") -> list[str]:
    """Names of the models that `create_model` knows, those that match a shell-style pattern such as `"res2net50*"`."""
    return variant_names(pattern)


def create_model(
    name: str,
    weights: str | Path | Checkpoint | None = None,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    output_stride: int | None = None,
    adapt_classifier: bool = False,
    adapt_input: bool | Literal["zeros"] = False,
    **options: Any,
) -> Backbone:
    """Build a model, with published weights or those of a file if asked for.

    Args:
        name: one of `list_models()`.
        weights: a tag such as "in1k" (the authors' ImageNet weights, downloaded once, their licence is printed); or a
            checkpoint file of a known format (`res2net.weights.FORMATS`), safetensors, `.pth` or `.pdparams`; or what
            `find_checkpoint` gave. The model is built with the graph that the weights need.
        num_classes: classes of the classifier, 0 for none. By default what the weights have, or the model's own.
        in_channels: channels of the image. By default what the weights have, or the model's own.
        output_stride: 32, 16 or 8 (what the model allows); by default the model's own.
        adapt_classifier: where the weights have another number of classes, keep the model's fresh classifier.
        adapt_input: where the weights are for another number of channels, change the first convolution: the response
            to an image whose channels are alike stays the same. With "zeros", channels that are new start at zero.
        options: of the model's class, such as `drop_path_rate=0.1`. A `graph` must be the one that the weights say they
            need; weights that only have the names of another program are built with any.

    Returns:
        The model in training mode, as every new `torch.nn.Module`.

    Raises:
        InputError: an unknown name, option or weight (the nearest is named), or weights that do not fit.
    """
    asked = {"num_classes": num_classes, "in_channels": in_channels, "output_stride": output_stride}
    options |= {option: value for option, value in asked.items() if value is not None}
    check_model_options(name, options)
    if weights is None:
        return build(name, **options)
    checkpoint = weights if isinstance(weights, Checkpoint) else find_checkpoint(name, weights)
    # Files of other programs can have entries of these names that mean something else.
    held, own_options = (checkpoint.metadata.get(entry) for entry in ("model", "options"))
    if held != name and held in variant_names():
        raise InputError(f"{checkpoint.path} holds a {held!r}, not a {name!r}: create {held!r}, or load another file.")
    told = _told_graph(checkpoint)
    if told is not None and options.get("graph", told) != told:
        raise InputError(
            f"{checkpoint.path} needs the graph {told!r} and not {options['graph']!r}, in which its logits would be "
            "wrong: leave out the graph, or choose other weights."
        )
    asked_graph = "graph" in options
    if isinstance(own_options, dict):
        check_model_options(name, own_options, f"Model {name!r} in {checkpoint.path}")
        options = own_options | options
    with torch.device("meta"):
        template = build(name, **options)
    native = to_native(checkpoint.tensors, template.state_dict())
    needed = told or FORMATS[native.format].graph
    if needed != "official" and not asked_graph and "graph" in variant(name).option_names:
        options |= {"graph": needed}
    found_classes, found_channels = describe(native.tensors, template)
    options = {"num_classes": found_classes, "in_channels": found_channels} | options
    model = build(name, **options)
    load(model, checkpoint, adapt_classifier=adapt_classifier, adapt_input=adapt_input)
    return model


def check_model_options(name: str, options: Mapping[str, Any], owner: str = "") -> None:
    """Raise `InputError` unless a model takes these options, with values of these types.

    `create_model` does this itself; it does not know its own arguments among the words that a user gave as options.

    Args:
        name: of the model.
        options: that it would be built with.
        owner: who has the options, for the message; by default the model.
    """
    chosen = variant(name)
    owner = owner or f"Model {name!r}"
    check_options(owner, options, chosen.option_names)
    function = chosen.build.__init__ if inspect.isclass(chosen.build) else chosen.build
    hints = typing.get_type_hints(function)
    for option, value in options.items():
        if advice := type_advice(value, hints[option]):
            raise InputError(f"Option {option} {value!r} of {owner[0].lower() + owner[1:]} does not fit: {advice}.")


def load_model(weights: str | Path, name: str | None = None) -> tuple[Backbone, Checkpoint]:
    """Build the model that a checkpoint is of, with its weights; and the checkpoint's content.

    Args:
        weights: a file, or with `name` also a tag, as in `create_model`.
        name: of the model; by default what the file says, as those of this library do.

    Raises:
        InputError: there is no such checkpoint, or it does not say which model it holds.
    """
    held, checkpoint = open_checkpoint(weights, name)
    return create_model(held, checkpoint), checkpoint


def open_checkpoint(weights: str | Path, name: str | None = None) -> tuple[str, Checkpoint]:
    """The name of the model that a checkpoint is of, and its content; arguments and errors as of `load_model`."""
    if name is not None:
        return name, find_checkpoint(name, weights)
    if not _is_file(weights):
        raise InputError(f"{weights} is no file: to use published weights of that name, name the model as well.")
    checkpoint = read_checkpoint(weights)
    held = checkpoint.metadata.get("model")
    if not isinstance(held, str):
        raise InputError(f"{weights} does not say which model it holds: name the model as well.")
    return held, checkpoint


def find_checkpoint(name: str, weights: str | Path) -> Checkpoint:
    """The tensors behind `weights`: a file if it looks like one, else the published weights of that tag."""
    variant(name)
    if _is_file(weights) or (str(weights) not in {known.tag for known in records(name)} and Path(weights).exists()):
        return read_checkpoint(weights)
    record = find_record(name, str(weights))
    check_usable(record)
    checkpoint = read_checkpoint(fetch(record))
    return Checkpoint(checkpoint.tensors, record.to_metadata(), checkpoint.path)


def _told_graph(checkpoint: Checkpoint) -> str | None:
    """The graph that a checkpoint says it needs; None where it says nothing."""
    graph, options = checkpoint.metadata.get("graph"), checkpoint.metadata.get("options")
    if graph is None and isinstance(options, dict):
        graph = options.get("graph", "official")
    return graph if isinstance(graph, str) and graph in GRAPHS else None


def _is_file(weights: str | Path) -> bool:
    """Whether this means a file, there or not, and no tag. A folder may have the name of a tag: data often do."""
    path = Path(weights)
    return path.is_file() or bool(path.suffix) or len(path.parts) > 1


def preprocessing_of(checkpoint: Checkpoint) -> Preprocessing | None:
    """How images are prepared for the model of a checkpoint; None when the file does not say."""
    values = checkpoint.metadata.get("preprocessing")
    return Preprocessing.from_dict(values) if isinstance(values, dict) else None
