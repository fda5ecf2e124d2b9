"""`res2net export`: a network as a file that another program runs, compared with the network it was made of."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from rich.console import Console

from res2net.commands.arguments import parse, split_task
from res2net.errors import InputError, check_choice, check_range

if TYPE_CHECKING:
    from torch import Tensor, nn

    from res2net.export import Agreement, Artefact, DetectionAgreement
    from res2net.task.base import Task

__all__ = ["run"]

ABOUT = "Write a network to a file that torch, ONNX Runtime or OpenVINO runs, and compare the two."
CHECKED = 32
"""Images that are compared where no folder is given."""
CHECKED_VOLUMES = CHECKED_DETECTORS = 8
"""The same for detectors and for volumes."""
LIMIT = 1e-4
"""Largest relative difference in fp32."""
INT8_LIMIT = 90.0
"""Least share of images with the same likeliest class in int8, in percent."""
INT8_FEATURES_LIMIT = 0.5
"""Largest relative difference of features, and of heat maps, in int8."""
EQUAL = 99.0
"""Least share of equal detections, in percent: rounding may drop one that is as good as another."""
DETECTOR_FORMATS = ("pt2", "onnx", "openvino")
FRESH = "fresh weights"
"""What is said of weights that nobody trained."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What is exported how."""

    source: tyro.conf.Positional[str]
    """A checkpoint of `res2net train`, or the name of a model."""
    to: str
    """pt2 (torch), onnx, openvino, or aoti (compiled by torch for this machine)."""
    weights: str | None = None
    """With the name of a model: a checkpoint file, or a tag such as "in1k"."""
    out: str | None = None
    """The file to write; by default the model's name with the format's ending, in this folder."""
    batch_size: int = 1
    """Images at a time."""
    dynamic_batch: bool = False
    """Take any number of images at a time."""
    size: int | tuple[int, int] | None = None
    """Side of the images, pixels, or height and width; by default that of the weights."""
    features: bool = False
    """Export the pyramid of features instead of the logits."""
    int8: bool = False
    """Compute in whole numbers of 8 bits, for pt2, onnx and openvino; it needs --calibrate."""
    calibrate: str | None = None
    """Folder of images on which the ranges of values are measured, a few hundred."""
    images: str | None = None
    """Folder of images on which the file is compared with the network; by default those of --calibrate, or drawn
    ones."""
    bad_images: str = "stop"
    """An image that cannot be read: "stop" there, or "skip" it."""
    overwrite: bool = False
    """Replace the file to write, if there is one."""


def run(arguments: Sequence[str]) -> None:
    """Export, compare, and print."""
    name, words = split_task(arguments)
    chosen = parse(Arguments, "export", words, ABOUT)

    from res2net.export import FORMATS, Artefact, export_network, load_runtime
    from res2net.export.int8 import INT8_FORMATS
    from res2net.images.samples import BAD_IMAGES

    check_task(name)
    check_choice("Format", chosen.to, FORMATS)
    check_choice("Treatment of bad images", chosen.bad_images, BAD_IMAGES)
    check_range("batch size", chosen.batch_size, 1)
    size = (chosen.size, chosen.size) if isinstance(chosen.size, int) else chosen.size
    for side in size or ():
        check_range("size", side, 1)
    if chosen.int8 != (chosen.calibrate is not None):
        raise InputError("--int8 and --calibrate FOLDER belong together: give both, or none of them.")
    if chosen.int8:
        check_choice("Format with int8", chosen.to, INT8_FORMATS)
    task, said = opened(chosen, name, size)
    check_detector(task, chosen)
    network, names = exported_part(task, chosen.features)
    target = Path(chosen.out or f"{said['model']}{FORMATS[chosen.to]}")
    check_target(target, chosen)
    if said["source"] == FRESH:
        Console(stderr=True).print("The weights are fresh: name trained ones by --weights.", highlight=False)

    shape = (chosen.batch_size, task.in_channels, *said["input_size"])
    calibration = image_batches(task, chosen.calibrate, shape[0], chosen.bad_images) if chosen.calibrate else None
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, target.name)
        with console.status(f"Writing {target.name}"):
            first = next(image_batches(task, None, shape[0], chosen.bad_images))
            export_network(
                network,
                first,
                made,
                chosen.to,
                names=names,
                dynamic_batch=chosen.dynamic_batch,
                calibration=calibration,
            )
        artefact = Artefact(
            format=chosen.to,
            task=task.name,
            model=said["model"],
            options=said["options"],
            input_shape=shape,
            dynamic_batch=chosen.dynamic_batch,
            outputs=names,
            class_names=() if chosen.features else task.class_names,
            preprocessing=task.preprocessing,
            int8=chosen.int8,
            task_metadata=task.metadata(),
            training=said["training"],
            source=said["source"],
            licence=said["licence"],
            version=said["version"],
        )
        artefact.write(made)
        with console.status("Comparing it with the network"):
            images = image_batches(task, chosen.images or chosen.calibrate, shape[0], chosen.bad_images)
            agreement = compared(artefact, load_runtime(made), network, images)
        describe(console, agreement, drawn=not (chosen.images or chosen.calibrate))
        check_agreement(agreement, artefact)
        Artefact(**{**vars(artefact), "agreement": agreement.to_dict()}).write(made)
        move(Path(folder), target.parent)
    console.print(f"{target} and {target.name}.json", highlight=False, markup=False, soft_wrap=True)


def check_task(name: str) -> None:
    """Raise `InputError` where there is no such task, or where its networks are not exported."""
    from res2net.task import task_names
    from res2net.task.base import task_type

    if not task_type(name).outputs:
        there_are = ", ".join(other for other in task_names() if task_type(other).outputs)
        raise InputError(f"What was trained to {name} cannot be exported: choose one of {there_are}.")


def opened(chosen: Arguments, name: str, size: tuple[int, int] | None) -> tuple[Task, dict[str, Any]]:
    """The task with its network, ready for images of that size, and what is known about the weights."""
    from res2net import __version__
    from res2net.commands.costs import default_image_size
    from res2net.engine.checkpoints import restore_new, restore_task
    from res2net.export.artefact import TRAINING
    from res2net.weights import read_checkpoint

    if Path(chosen.source).suffix or Path(chosen.source).exists():
        if chosen.weights:
            raise InputError(f"{chosen.source} is a checkpoint itself: leave out --weights.")
        if Path(chosen.source).is_file() and "model" not in read_checkpoint(chosen.source).metadata:
            raise InputError(
                f"{chosen.source} does not say which model it holds: `res2net export MODEL --weights {chosen.source}`."
            )
        task, checkpoint = restore_task(chosen.source, None, name)
        said = dict(checkpoint.metadata) | {"source": Path(chosen.source).name}
    elif chosen.weights:
        task, checkpoint = restore_task(chosen.weights, chosen.source, name)
        said = dict(checkpoint.metadata)
    else:
        task = restore_new(chosen.source, name)
        size = size or (default_image_size(task.backbone),) * 2
        said = {"source": FRESH}
    model: Any = task.backbone
    if chosen.features and 3 in task.dims:
        raise InputError("The features of volumes are not exported: leave out --features.")
    if model.dims not in task.dims:
        raise InputError(f"{model.variant_name} is not for images: choose a network of two dimensions.")
    return task, {
        "input_size": task.fit(size),
        "model": model.variant_name,
        "options": dict(model.variant_options),
        "training": {name: said[name] for name in TRAINING if name in said},
        "licence": str(said.get("licence", "")),
        "source": str(said.get("source", "")),
        "version": __version__,
    }


def exported_part(task: Task, features: bool) -> tuple[nn.Module, tuple[str, ...]]:
    """The network to export, and the names of what comes out."""
    from res2net.export.parts import Pyramid

    task.eval()
    if features:
        return Pyramid(task.backbone), tuple(task.backbone.stage_names)
    return task.model, tuple(task.outputs)


def image_batches(task: Task, folder: str | None, batch: int, bad_images: str) -> Iterator[Tensor]:
    """Prepared images of a folder, or drawn ones, in whole batches; the last may have images of the first."""
    from res2net.export.parts import file_batches, synthetic_batches, whole_batches

    prepare = task.fitted()
    if folder is None and (samples := task.drawn(CHECKED_VOLUMES)) is not None:
        return whole_batches(samples, prepare, batch)
    if folder is None:
        detects = "boxes" in task.outputs
        return synthetic_batches(prepare, CHECKED_DETECTORS if detects else CHECKED, batch, objects=detects)
    return file_batches(prepare, task.list_files(folder), batch, bad_images, read=task.read_file)


def check_detector(task: Task, chosen: Arguments) -> None:
    """Raise `InputError` where a detector is to be exported in a way that there is not."""
    if "boxes" not in task.outputs or chosen.features:
        return
    check_choice("Format of a detector", chosen.to, DETECTOR_FORMATS)
    if chosen.int8:
        raise InputError("Detectors are exported in fp32 alone: leave out --int8 and --calibrate.")
    if chosen.dynamic_batch:
        raise InputError("A detector takes a fixed number of images: leave out --dynamic-batch, or give --batch-size.")


def compared(
    artefact: Artefact, made: nn.Module, network: nn.Module, images: Iterator[Tensor]
) -> Agreement | DetectionAgreement:
    """How what was made agrees with the network."""
    from res2net.export import compare_detections, compare_outputs

    if "boxes" in artefact.outputs:
        return compare_detections(made, network, images, artefact.outputs)
    return compare_outputs(made, network, images, logits=list(artefact.outputs) == ["logits"])


def check_target(target: Path, chosen: Arguments) -> None:
    """Raise `InputError` unless the files may be written there."""
    from res2net.export import FORMATS
    from res2net.export.artefact import sidecar

    ending = FORMATS[chosen.to]
    if target.is_dir():
        raise InputError(f"{target} is a folder: name a file in it to write.")
    if not target.name.endswith(ending):
        raise InputError(f"{target} does not end in {ending}, as files of {chosen.to} do: name it so.")
    for path in (target, target.with_suffix(".bin"), sidecar(target)):
        if path.exists() and not chosen.overwrite and (path.suffix != ".bin" or chosen.to == "openvino"):
            raise InputError(f"{path} exists: choose another name (--out), or add --overwrite.")
    # To know it before the work, and not after.
    there = next(folder for folder in target.absolute().parents if folder.exists())
    if not there.is_dir():
        raise InputError(f"{there} is a file: choose a folder to write into (--out).")
    if not os.access(there, os.W_OK):
        raise InputError(
            f"No permission to write into {there}: change the permissions, or choose another place (--out)."
        )


def describe(console: Console, agreement: Agreement | DetectionAgreement, *, drawn: bool) -> None:
    """Print how the file agrees with the network."""
    from res2net.export import DetectionAgreement

    what = "drawn images" if drawn else "images"
    if isinstance(agreement, DetectionAgreement):
        apart = ", ".join(f"{name} {difference:.1e}" for name, difference in agreement.largest.items())
        line = f"{agreement.images} {what}, {agreement.detections} detections: {agreement.equal:.1f} % equal"
        console.print(f"{line}, largest differences {apart}", highlight=False, soft_wrap=True)
        return
    line = f"{agreement.images} {what}: largest difference {agreement.largest:.2e}, relative {agreement.relative:.2e}"
    if agreement.top1 is not None:
        line += f", same likeliest class {agreement.top1:.1f} %"
    console.print(line, highlight=False, soft_wrap=True)


def check_agreement(agreement: Agreement | DetectionAgreement, artefact: Artefact) -> None:
    """Raise `InputError` where a file says something else than the network."""
    from res2net.export import DetectionAgreement

    if isinstance(agreement, DetectionAgreement):
        check_detections(agreement)
        return
    if not artefact.int8 and agreement.relative > LIMIT:
        raise InputError(
            f"The file differs from the network by {agreement.relative:.1e} of the largest output, and {LIMIT:.0e} "
            "is allowed: nothing was written; try another format."
        )
    if artefact.int8 and agreement.top1 is None and agreement.relative > INT8_FEATURES_LIMIT:
        what = "heat maps" if artefact.class_names else "features"
        raise InputError(
            f"In int8 the {what} differ from those of the network by {agreement.relative:.1e} of the largest, and "
            f"{INT8_FEATURES_LIMIT} is allowed: nothing was written; calibrate on more images that are like those to "
            "come."
        )
    if artefact.int8 and agreement.top1 is not None and agreement.top1 < INT8_LIMIT:
        raise InputError(
            f"In int8 only {agreement.top1:.1f} % of the images have the same likeliest class, and {INT8_LIMIT:.0f} "
            "% are needed: nothing was written; calibrate on more images that are like those to come."
        )


def check_detections(agreement: DetectionAgreement) -> None:
    """Raise `InputError` where a file finds something else than the detector."""
    if not agreement.detections:
        raise InputError(
            "The detector finds nothing in these images, so that nothing can be compared: give a folder of images "
            "in which it finds something (--images)."
        )
    if agreement.equal < EQUAL:
        raise InputError(
            f"Only {agreement.equal:.1f} % of the detections of the file and the detector are equal, and {EQUAL:.0f} "
            "% are needed: nothing was written; try another format."
        )
    apart = agreement.largest.get("semantic", 0.0)
    if apart > LIMIT:
        raise InputError(
            f"The file's logits of pixels differ from those of the network by {apart:.1e} of the largest, and "
            f"{LIMIT:.0e} is allowed: nothing was written; try another format."
        )


def move(source: Path, target: Path) -> None:
    """Bring all files of a folder to another, each whole or not at all."""
    from res2net.weights import atomic_write

    for file in sorted(source.iterdir()):
        with file.open("rb") as content:
            atomic_write(target / file.name, partial(shutil.copyfileobj, content))
