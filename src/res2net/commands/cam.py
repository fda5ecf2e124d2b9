"""`res2net cam`: activation maps of several models side by side, their scores, and label maps mined from them."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from res2net.commands.arguments import PAGES, check_output
from res2net.commands.compare import separated, titles_of
from res2net.commands.parser import parse
from res2net.console import Console
from res2net.engine.options import Accelerator, BadImages
from res2net.errors import InputError, check_range
from res2net.explain.options import Method, View

if TYPE_CHECKING:
    from res2net.api import Model
    from res2net.engine.predict import InputSamples
    from res2net.explain import ActivationMap

ABOUT = """Draw where classifiers see the classes of images: a row an image, a column a model. `res2net cam score
SOURCE` scores the maps against the masks of objects, and `res2net cam mine SOURCE` writes regions of the maps as label
maps to train segmentation on; both have their own --help."""
ACTIONS = {"score": "res2net.commands.cam_score", "mine": "res2net.commands.cam_mine"}
TAG = "in1k"
"""The weights of a model that is named without any."""
SIDE = 240
"""Side of an image in a sheet, points; a sheet has two pixels per point."""


@dataclass(frozen=True, kw_only=True)
class MapArguments:
    """Models, and how their maps are computed."""

    models: Annotated[tuple[str, ...], "NAME|FILE ..."]
    """Checkpoints, folders of runs, weights that ship such as cifar100, models with published weights such as
    res2net50_26w_4s or res2net50_26w_4s:in1k, or models with a file such as resnet50:FILE.pth; separated by spaces or
    commas."""
    names: Annotated[tuple[str, ...], "NAME ..."] = ()
    """Titles of the models; by default the names of the backbones, runs or files."""
    method: Method = "gradcam"
    """Grad-CAM, Grad-CAM++ (better for several objects of a class), or Eigen-CAM (of no class)."""
    layer: str | None = None
    """Layer of the networks whose output is mapped, such as layer3; by default the last stage."""
    bad_images: BadImages = "stop"
    """At an image that cannot be read, stop, or skip and report it."""
    accelerator: Accelerator = "auto"
    """The device to run on."""


@dataclass(frozen=True, kw_only=True)
class Arguments(MapArguments):
    """Models, and the images to explain."""

    sources: Annotated[tyro.conf.Positional[tuple[str, ...]], "PATH ..."]
    """Images, folders of images (searched recursively), patterns, lists of paths (.txt), addresses (https), videos."""
    target: Annotated[str, "CLASS"] = "predicted"
    """The class of the maps, by its name or number; predicted takes what each model predicts."""
    view: View = "crop"
    """What the networks see: crop is the central square, as in predict; whole is the whole image at the same scale."""
    splits: Annotated[str | None, "BLOCK"] = None
    """Draw in further sheets what each split of this Res2 block does, such as layer4.1, next to the first sheet."""
    out: Annotated[str, "FILE"] = "cam.png"
    """The sheet to write: an image (.png) or a page (.html)."""
    overwrite: bool = False
    """Replace existing files."""
    save: Annotated[str | None, "FOLDER"] = None
    """Write each map into this folder, in a folder for each model."""
    save_as: tuple[Literal["npy", "png", "csv"], ...] = ()
    """Files of --save: maps as arrays of numbers, maps drawn over the image, a table; by default npy and png."""
    json: bool = False
    """Print JSON instead of a table."""
    count: int = 12
    """Number of images at most."""


def run(arguments: Sequence[str]) -> None:
    """Draw the maps, or score or mine them."""
    words = list(arguments)
    if words and words[0] in ACTIONS:
        importlib.import_module(ACTIONS[words[0]]).run(words[1:])
        return
    chosen = parse(Arguments, "cam", words, ABOUT)
    check_range("count", chosen.count, 1, 100)
    out = Path(chosen.out)
    check_output(out, PAGES, overwrite=chosen.overwrite)
    if not chosen.sources:
        raise InputError("There is nothing to explain: give an image or a folder of images.")
    if chosen.method == "eigen" and chosen.target != "predicted":
        raise InputError("Eigen-CAM depends on no class: leave out --target, or choose --method gradcam.")
    if chosen.save_as and chosen.save is None:
        raise InputError("--save-as needs --save FOLDER, the folder to write into.")

    from res2net.engine.inputs import list_inputs
    from res2net.engine.predict import InputSamples

    console = Console(stderr=chosen.json)
    models = load_models(chosen)
    sheets = split_sheets(models, chosen.splits, out, overwrite=chosen.overwrite) if chosen.splits else {}
    first = next(iter(models.values())).task
    inputs = list_inputs(first, list(chosen.sources))
    if len(inputs) > chosen.count:
        console.out(f"The first {chosen.count} of {len(inputs)} images: --count takes more.", highlight=False)
    samples = InputSamples(first, inputs[: chosen.count])
    maps = {title: maps_of(model, samples, chosen) for title, model in models.items()}
    skipped = sorted({index for found in maps.values() for index, one in enumerate(found) if one is None})
    shown = [index for index in range(len(samples)) if index not in skipped]
    if not shown:
        raise InputError(f"No image could be read: fix {samples.paths[0]} and the others.")
    for index in skipped:
        console.out(f"Not read: {samples.paths[index]}", highlight=False)
    write_sheet(
        samples, {title: [found[index] for index in shown] for title, found in maps.items()}, shown, out, chosen
    )
    if chosen.save is not None:
        save(samples, maps, Path(chosen.save), chosen.save_as)
    for title, path in sheets.items():
        draw_splits(models[title], samples, shown, path, chosen)
    if chosen.json:
        rows = [
            {"file": samples.paths[index], "model": title, **one.to_dict()}
            for index in shown
            for title, found in maps.items()
            if (one := found[index]) is not None
        ]
        print(json.dumps(rows, indent=2))
    else:
        console.print(table(samples, maps, shown).to_rich())
    for path in (out, *sheets.values()):
        console.out(f"Sheet: {path}", highlight=False)


def load_models(chosen: MapArguments) -> dict[str, Model]:
    """Load the models of the command line, by their titles.

    Raises:
        InputError: there is no model, or one of them is no classifier that can be looked into.
    """
    from res2net.explain.explained import classifier_of

    words = separated(chosen.models)
    if not words:
        raise InputError("There is no model: give --models with a checkpoint or the name of a model.")
    models = [load_model(word, chosen.accelerator) for word in words]
    for model in models:
        classifier_of(model)
    titles = titles_of([model.name for model in models], words, separated(chosen.names))
    return dict(zip(unique(titles), models, strict=True))


def load_model(word: str, accelerator: str) -> Model:
    """Load a checkpoint, a run, weights that ship, or a model with other weights: NAME, NAME:TAG or NAME:FILE."""
    from res2net.api import load
    from res2net.backbones.registry import ALIASES, variant_names
    from res2net.weights import checkpoint_path, records

    name, _, tag = word.partition(":")
    exists = checkpoint_path(word).exists()
    if exists or not (name in variant_names() or name.lower() in ALIASES):
        if not exists:
            raise InputError(
                f"There is no file, run or model {word!r}: give a checkpoint, a name of `res2net weights list`, or one "
                "of `res2net models` with published weights."
            )
        return load(word, accelerator=accelerator)
    tags = [record.tag for record in records(name)]
    if not tags and not tag:
        raise InputError(f"{name} has no published weights: give a checkpoint of `res2net train --model {name}`.")
    return load(tag or (TAG if TAG in tags else tags[0]), model=name, accelerator=accelerator)


def unique(titles: Sequence[str]) -> list[str]:
    """The titles, of which repeated ones get a number."""
    return [title if titles.count(title) == 1 else f"{title} ({index})" for index, title in enumerate(titles, start=1)]


def maps_of(model: Model, samples: InputSamples, chosen: Arguments) -> list[ActivationMap | None]:
    """The maps of a model for the images; None for what could not be read."""
    from res2net.explain import activation_maps
    from res2net.report.progress import track

    found = activation_maps(
        model,
        samples,
        method=chosen.method,
        layer=chosen.layer,
        target=chosen.target,
        view=chosen.view,
        bad_images=chosen.bad_images,
        accelerator=model.accelerator,
    )
    names = track(model.name, samples.paths, Console(stderr=True))
    maps = []
    for index, ((one, reason), _) in enumerate(zip(found, names, strict=True)):
        samples.prediction(index, one, reason)  # which lets the map know its image
        maps.append(one)
    return maps


def table(samples: InputSamples, maps: dict[str, list[ActivationMap | None]], shown: Sequence[int]) -> Any:
    """The classes of the maps, with their probabilities."""
    from res2net.report import Column, Table

    rows = [
        (samples.paths[index], *(one.caption if (one := found[index]) is not None else None for found in maps.values()))
        for index in shown
    ]
    return Table("", (Column("image"), *(Column(title) for title in maps)), rows)


def write_sheet(
    samples: InputSamples,
    maps: dict[str, list[ActivationMap | None]],
    shown: Sequence[int],
    out: Path,
    chosen: Arguments,
) -> None:
    """Write the images with the maps of all models beside them."""
    rows, captions = [], []
    for row, index in enumerate(shown):
        found = [one for each in maps.values() if (one := each[row]) is not None]
        rows.append([found[0].sharp_view(), *(one.draw() for one in found)])
        below = [
            one.caption if chosen.target == "predicted" else f"{one.caption}\npredicted: {one.predicted}"
            for one in found
        ]
        captions.append([Path(samples.paths[index]).name, *below])
    legend = "strength of the map" if chosen.method == "eigen" else "weight for the class below"
    title = f"{chosen.method}: {', '.join(maps)}"
    write_rows(rows, ["image", *maps], captions, title, legend, out)


def write_rows(
    rows: Sequence[Sequence[Any]],
    heads: Sequence[str],
    captions: Sequence[Sequence[str]],
    title: str,
    legend: str,
    out: Path,
) -> None:
    """Write rows of images under heads, as an image or as a page."""
    from res2net.report import Report, image_rows, save_figure

    if out.suffix.lower() == ".png":
        save_figure(image_rows(rows, heads, captions, side=SIDE, heat_legend=legend), out)
        return
    report = Report(title)
    for row, below in zip(rows, captions, strict=True):
        each = [f"{head}\n{text}" if text else head for head, text in zip(heads, below, strict=True)]
        report.add_images(row, each, below[0], len(row))
    report.write(out)


def save(
    samples: InputSamples, maps: dict[str, list[ActivationMap | None]], folder: Path, formats: Sequence[str]
) -> None:
    """Write the maps of each model into a folder of its own."""
    from res2net.engine.inputs import file_stem
    from res2net.engine.predict import ResultWriter

    for title, found in maps.items():
        writer = ResultWriter(folder / file_stem(title), formats)
        for number, (index, one) in enumerate(enumerate(found), start=1):
            writer.add(number, samples.prediction(index, one, "" if one else "it could not be read"))
        writer.finish()


def split_sheets(models: dict[str, Model], block: str, out: Path, *, overwrite: bool) -> dict[str, Path]:
    """The file of the sheet of splits of each model that has Res2 blocks.

    Raises:
        InputError: no model has any, one of them has no such block, or a file exists.
    """
    from res2net.engine.inputs import file_stem
    from res2net.errors import check_choice
    from res2net.explain.splits import res2_blocks

    found = {title: res2_blocks(model.task.model) for title, model in models.items()}
    # A ResNet is built of the same blocks, with a single split in each.
    blocks = {title: each for title, each in found.items() if any(one.scale > 1 for one in each.values())}
    if not blocks:
        raise InputError(f"{', '.join(models)} have no Res2 blocks, and so no splits: leave out --splits.")
    sheets = {}
    for title, each in blocks.items():
        check_choice(f"block of {title}", block, each)
        end = "" if len(blocks) == 1 else f"-{file_stem(title)}"
        sheets[title] = out.with_name(f"{out.stem}-splits{end}{out.suffix}")
        check_output(sheets[title], PAGES, overwrite=overwrite)
    return sheets


def draw_splits(model: Model, samples: InputSamples, shown: Sequence[int], path: Path, chosen: Arguments) -> None:
    """Write a sheet with the activation of each split of a block, each divided by its own maximum."""
    from res2net.explain import split_maps
    from res2net.explain.splits import res2_blocks
    from res2net.measure import split_fields
    from res2net.report import overlay

    assert chosen.splits is not None
    fields = split_fields(res2_blocks(model.task.model)[chosen.splits])
    heads = ["image", *(f"split {index} ({field} x {field})" for index, field in enumerate(fields, start=1))]
    kept = type(samples)(model.task, [samples.inputs[index] for index in shown])
    rows, captions = [], []
    found = split_maps(model, kept, chosen.splits, view=chosen.view, accelerator=model.accelerator)
    for name, (view, maps) in zip(kept.paths, found, strict=True):
        rows.append([view, *(overlay(view, one / one.max().clamp(min=1e-12)) for one in maps)])
        captions.append([Path(name).name, *(f"maximum {float(one.max()):.2f}" for one in maps)])
    title = f"Splits of {chosen.splits} of {model.name}"
    write_rows(rows, heads, captions, title, "mean activation of the split, as a share of its maximum", path)
