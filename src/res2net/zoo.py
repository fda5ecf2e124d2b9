"""`create_model`, `list_models` and `load_model`: backbones with their weights."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from res2net.backbones.base import Backbone
from res2net.backbones.graphs import GRAPHS
from res2net.backbones.registry import ALIASES, build, model_name, variant, variant_names
from res2net.errors import InputError, check_options, nearest
from res2net.options import type_advice
from res2net.weights import (
    BEST,
    Checkpoint,
    Preprocessing,
    WeightRecord,
    check_usable,
    checkpoint_from,
    checkpoint_path,
    describe,
    fetch,
    find_record,
    load,
    read_checkpoint,
    records,
    shipped,
)
from res2net.weights.formats import FORMATS, to_native

TIMM_OPTIONS = {
    "pretrained": 'give weights="in1k" for those of the authors (`res2net models` lists all tags), or leave it out',
    "pretrained_cfg": "give weights= with a tag or a file",
    "pretrained_cfg_overlay": "give weights= with a file",
    "in_chans": "it is in_channels here",
    "drop_rate": "it is dropout here",
    "features_only": "call `model.features(images)`, which returns the maps of all stages",
    "out_indices": "call `model.features(images)` and choose among its maps",
    "global_pool": "give num_classes=0 for the last maps, or use `res2net.adapters.timm`",
    "scriptable": "leave it out: all models can be scripted",
    "exportable": "leave it out: all models can be exported",
}
"""What to give in place of options of `timm.create_model`."""
LARGE_CLASSIFIER = 10_000_000
"""Weights that a network may have beyond its checkpoint's, such as those of a new classifier."""


def list_models(pattern: str = "*") -> list[str]:
    """Names of the models that `create_model` can build and that match a shell-style pattern such as `"res2net50*"`."""
    return variant_names(pattern)


def create_model(
    name: str,
    weights: str | Path | Checkpoint | Mapping[str, Any] | None = None,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    output_stride: int | None = None,
    adapt_classifier: bool = False,
    adapt_input: bool | Literal["zeros"] = False,
    **options: Any,
) -> Backbone:
    """Build a model, optionally with published weights or those of a file.

    Args:
        name: one of `list_models()`, or the name that the authors, MMPretrain or PaddleClas give to one of these, such
            as "res2net50_v1b_26w_4s".
        weights: a tag such as "in1k" (the authors' ImageNet weights, which are downloaded once and whose licence is
            printed); the name of weights that ship, such as "cifar100"; a checkpoint file of a known format
            (`res2net.weights.FORMATS`), safetensors, `.pth` or `.pdparams`; the folder of a run; a state dict; or the
            result of `find_checkpoint`. Of a detector or another network around a backbone, the backbone is taken. The
            model is built with the graph that the weights need.
        num_classes: number of classes of the classifier, 0 for no classifier; by default that of the weights, or the
            model's own.
        in_channels: number of channels of the image; by default that of the weights, or the model's own.
        output_stride: stride of the last stage: 32, 16 or 8, as far as the model allows; by default the model's own.
        adapt_classifier: keep the model's new classifier where the weights have another number of classes.
        adapt_input: change the first convolution where the weights have another number of channels, so that the
            response to an image with equal channels stays the same. With "zeros", added channels start at zero.
        options: options of the model, such as `drop_path_rate=0.1`. A `graph` must be the one that the weights declare;
            weights that only have the names of another program are built with any.

    Returns:
        The model in training mode, like every new `torch.nn.Module`.

    Raises:
        InputError: a name, option or weight is unknown (the message names the nearest), or the weights do not fit.
    """
    name = model_name(name)
    if "checkpoint_path" in options:  # as in timm
        given, weights = weights, options.pop("checkpoint_path") or weights
        if given is not None and given != weights:
            raise InputError(f"checkpoint_path and weights are both given ({weights}, {given}): leave one out.")
    asked = {"num_classes": num_classes, "in_channels": in_channels, "output_stride": output_stride}
    options |= {option: value for option, value in asked.items() if value is not None}
    check_model_options(name, options)
    if weights is None:
        return build(name, **options)
    if isinstance(weights, Mapping):
        weights = checkpoint_from(weights)
    if not isinstance(weights, str | Path | Checkpoint):
        raise InputError(
            f"Weights {str(weights)[:60]!r} do not fit: give a tag such as 'in1k', a file or a state dict."
        )
    checkpoint = weights if isinstance(weights, Checkpoint) else find_checkpoint(name, weights)
    saved_name, own_options = saved_model(checkpoint), checkpoint.metadata.get("options")
    if saved_name not in (None, name):
        raise InputError(
            f"{checkpoint.path} holds a {saved_name!r}, not a {name!r}: create {saved_name!r}, or load another file."
        )
    declared = _declared_graph(checkpoint)
    if declared is not None and options.get("graph", declared) != declared:
        raise InputError(
            f"{checkpoint.path} needs the graph {declared!r} and not {options['graph']!r}, in which its logits would "
            "be wrong: leave out the graph, or choose other weights."
        )
    asked_graph = "graph" in options
    if isinstance(own_options, dict):
        check_model_options(name, own_options, f"Model {name!r} in {checkpoint.path}")
        options = own_options | options
    with torch.device("meta"):
        template = build(name, **options)
    native = to_native(checkpoint.tensors, template.state_dict())
    needed = declared or FORMATS[native.format].graph
    if needed != "official" and not asked_graph and "graph" in variant(name).option_names:
        options |= {"graph": needed}
    found_classes, found_channels = describe(native.tensors, template)
    options = {"num_classes": found_classes, "in_channels": found_channels} | options
    if _weights(template.state_dict()) > 2 * _weights(native.tensors) + LARGE_CLASSIFIER:
        load(
            template, checkpoint, adapt_classifier=True, adapt_input=True
        )  # says what differs, before anything is made
    model = build(name, **options)
    load(model, checkpoint, adapt_classifier=adapt_classifier, adapt_input=adapt_input)
    return model


def saved_model(checkpoint: Checkpoint) -> str | None:
    """The name of the model that a checkpoint states, also under `arch` as many training programs do, if it is ours."""
    for entry in ("model", "arch"):
        stated = checkpoint.metadata.get(entry)
        if isinstance(stated, str) and (stated in variant_names() or stated.lower() in ALIASES):
            return model_name(stated)
    return None


def _weights(tensors: Mapping[str, torch.Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors.values())


def check_model_options(name: str, options: Mapping[str, Any], owner: str = "") -> None:
    """Raise `InputError` unless a model has these options, and their values have the right types.

    `create_model` checks this itself, but it cannot tell its own arguments from options that a user gave as words.
    `owner` is what has the options, for the message; by default the model.
    """
    chosen = variant(name)
    owner = owner or f"Model {name!r}"
    for option in options:
        if advice := TIMM_OPTIONS.get(option, "") if option not in chosen.option_names else "":
            raise InputError(f"{owner} has no option {option!r}, which is timm's: {advice}.")
    check_options(owner, options, chosen.option_names)
    function = chosen.build.__init__ if inspect.isclass(chosen.build) else chosen.build
    hints = typing.get_type_hints(function)
    for option, value in options.items():
        if advice := type_advice(value, hints[option]):
            raise InputError(f"Option {option} {value!r} of {owner[0].lower() + owner[1:]} does not fit: {advice}.")


def load_model(weights: str | Path, name: str | None = None) -> tuple[Backbone, Checkpoint]:
    """Build the model of a checkpoint with its weights.

    Args:
        weights: a file, or with `name` also a tag, as in `create_model`.
        name: name of the model; by default the one in the file, which files of this library have.

    Returns:
        The model, and the content of the checkpoint.

    Raises:
        InputError: there is no such checkpoint, or it does not say which model it holds.
    """
    saved_name, checkpoint = open_checkpoint(weights, name)
    return create_model(saved_name, checkpoint), checkpoint


def open_checkpoint(weights: str | Path, name: str | None = None) -> tuple[str, Checkpoint]:
    """The name of the model of a checkpoint, and its content, with arguments and errors as in `load_model`."""
    if name is not None:
        return model_name(name), find_checkpoint(name, weights)
    if not is_file(weights):
        hint = nearest(str(weights), [card.name for card in shipped()])
        raise InputError(
            f"{weights} is not a file{f' ({hint})' if hint else ''}: to use published weights, give the name of the "
            "model as well."
        )
    checkpoint = read_checkpoint(weights)
    saved_name = saved_model(checkpoint)
    if saved_name is None and checkpoint.metadata.get("options") is not None:
        saved_name = model_name(str(checkpoint.metadata.get("model")))
    if saved_name is None and Path(weights).suffix == ".ckpt" and (best := Path(weights).with_name(BEST)).is_file():
        raise InputError(f"{weights} is the state of a run, to resume it from (--resume): give its weights, {best}.")
    if saved_name is None:
        raise InputError(f"{weights} does not say which model it holds: give the name of the model as well.")
    return saved_name, checkpoint


def find_checkpoint(name: str, weights: str | Path, *, download: Callable[[WeightRecord], Path] = fetch) -> Checkpoint:
    """Read the checkpoint behind `weights`: a file if it looks like one, else the published weights of that tag.

    Args:
        name: of the model.
        weights: a file or a tag.
        download: returns the file of published weights.

    Raises:
        InputError: there is no such file or tag, or the file cannot be read.
    """
    name = model_name(name)
    if is_file(weights) or (str(weights) not in {record.tag for record in records(name)} and Path(weights).exists()):
        return read_checkpoint(weights)
    record = find_record(name, str(weights))
    check_usable(record)
    checkpoint = read_checkpoint(download(record))
    return Checkpoint(checkpoint.tensors, record.to_metadata(), checkpoint.path)


def _declared_graph(checkpoint: Checkpoint) -> str | None:
    """The graph that a checkpoint declares; None where it declares none."""
    graph, options = checkpoint.metadata.get("graph"), checkpoint.metadata.get("options")
    if graph is None and isinstance(options, dict):
        graph = options.get("graph", "official")
    return graph if isinstance(graph, str) and graph in GRAPHS else None


def is_file(weights: str | Path) -> bool:
    """Whether this is a file, the folder of a run or the name of weights that ship, and not a tag or a model.

    Files and folders that do not exist count, too; folders of data, which may be called as a tag is, do not.
    """
    path = checkpoint_path(weights)
    return path.is_file() or (path / BEST).is_file() or bool(path.suffix) or len(path.parts) > 1


def preprocessing_of(checkpoint: Checkpoint) -> Preprocessing | None:
    """The preprocessing of images for the model of a checkpoint; None when the file does not declare it."""
    values = checkpoint.metadata.get("preprocessing")
    return Preprocessing.from_dict(values) if isinstance(values, dict) else None
