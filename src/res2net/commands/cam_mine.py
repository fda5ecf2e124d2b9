"""`res2net cam mine`: regions of activation maps as label maps to train segmentation on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from res2net.commands.cam import MapArguments, load_models
from res2net.commands.parser import parse
from res2net.console import Console
from res2net.engine.options import BadAnnotations
from res2net.errors import InputError, check_range
from res2net.explain.options import THRESHOLD, Keep, Target, Truth

ABOUT = """Mine label maps from the activation maps of a classifier, which needs no labels of pixels: a folder of images
and masks that `res2net train segment` reads. Where the data have masks, the mined ones are scored against them."""


@dataclass(frozen=True, kw_only=True)
class Arguments(MapArguments):
    """A model, and images with classes."""

    source: tyro.conf.Positional[str]
    """Images with classes, as for `res2net train`, or with masks: shapes, objects, or images with label maps."""
    out: Annotated[str, "FOLDER"]
    """The folder to write, which must not exist."""
    thresholds: Annotated[tuple[float, ...], "X [X]"] = (THRESHOLD,)
    """Share of the maximum of a map from which on a pixel belongs to the object. With two, pixels below the first are
    background, and those between are unlabelled."""
    keep: Keep = "all"
    """Connected parts of a region that are kept: all, the largest, or the one with the maximum of the map."""
    min_area: float = 0.0
    """Smallest connected part that is kept, as a share of the image."""
    target: Target = "true"
    """Mine the classes that the data state for each image, or the class that the model predicts."""
    validate_on: Truth = "true"
    """Label maps of the images to validate on: the true ones, where the data have any, or mined ones."""
    class_map: Annotated[str | None, "FILE"] = None
    """JSON with the names that classes of the data have in the network, such as `{"person": ["man", "woman"]}`."""
    val_fraction: float = 0.2
    """Share of the images to validate on, if the data have no splits."""
    seed: int = 0
    """Seed of that split."""
    bad_annotations: BadAnnotations = "stop"
    """At faulty annotations, stop, or leave them out."""


def run(arguments: Sequence[str]) -> None:
    """Mine the label maps, and print how well they fit the true ones."""
    chosen = parse(Arguments, "cam mine", arguments, ABOUT)
    check_range("min_area", chosen.min_area, 0, 1)

    from res2net.explain import mine_regions, open_masked
    from res2net.explain.masked import has_masks, read_class_map
    from res2net.images.splits import DataSettings
    from res2net.report.progress import progress_bar

    class_map = read_class_map(chosen.class_map) if chosen.class_map else None
    models = load_models(chosen)
    if len(models) != 1:
        raise InputError(f"Label maps are mined with one model, and there are {len(models)}: give one in --models.")
    (model,) = models.values()
    settings = DataSettings(
        chosen.val_fraction, chosen.seed, bad_images=chosen.bad_images, bad_annotations=chosen.bad_annotations
    )
    if has_masks(chosen.source):
        source = open_masked(chosen.source, settings)
    else:
        source = model.task.open(chosen.source, settings, model.task.options)
    console = Console()
    for note in source.notes:
        console.out(note, highlight=False)
    with progress_bar(Console(stderr=True)) as bar:
        watched = bar.add_task("images", total=len(source.train) + len(source.val), note="")
        mined = mine_regions(
            model,
            source,
            chosen.out,
            method=chosen.method,
            layer=chosen.layer,
            target=chosen.target,
            thresholds=chosen.thresholds,
            keep=chosen.keep,
            min_area=chosen.min_area,
            validate_on=chosen.validate_on,
            class_map=class_map,
            accelerator=chosen.accelerator,
            progress=lambda: bar.advance(watched),
        )
    if mined.confusion:
        console.print(mined.table().to_rich())
    lines = [
        f"{chosen.out}: {mined.counts['train']} images to train on with mined labels of "
        f"{mined.labelled['train']:.0%} of the pixels, {mined.counts['val']} to validate on with {mined.validates_on} "
        f"labels, {len(mined.class_names)} classes of pixels."
    ]
    if mined.left_out:
        lines.append(f"Left out: {len(mined.left_out)} images, such as {mined.left_out[0]}.")
    lines.append(f"Train on them: res2net train segment {chosen.out}")
    for line in lines:
        console.out(line, highlight=False)
