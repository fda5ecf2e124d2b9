"""Export the network of a task to a file, and verify the file against the network before it is kept."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from res2net._version import __version__
from res2net.console import Console
from res2net.engine.restore import adjust, task_metadata
from res2net.errors import InputError, check_choice
from res2net.export.artefact import TRAINING, Artefact, sidecar
from res2net.export.exporter import EXPORTERS, Agreement, Exporter, Pyramid, file_batches, whole_batches
from res2net.export.runtimes import load_runtime
from res2net.export.settings import FORMATS, ExportSettings
from res2net.export.verify import compare_outputs
from res2net.export.write import export_network
from res2net.task.base import Task, backbone_of
from res2net.weights import atomic_write


@dataclass(frozen=True)
class Exported:
    """An exported network: its file, and how closely its outputs match those of the original."""

    path: Path
    agreement: Agreement


def export_task(
    task: Task, metadata: Mapping[str, Any], settings: ExportSettings, console: Console | None = None
) -> Exported:
    """Export the network of a task, and verify the file against the network before it is kept.

    Args:
        task: the task with the weights to export.
        metadata: the metadata of the weights, as in a checkpoint: `source`, `licence`, and the settings of `TRAINING`.
        settings: how to export the network.
        console: where progress is shown.

    Raises:
        InputError: the task does not support these settings, a file cannot be written, or the outputs of the file
            differ from those of the network.
    """
    task = copy.copy(task)  # with options of its own
    adjust(task, settings.limits)
    exporter = EXPORTERS[task.name](task)
    backbone = backbone_of(task)
    check_supported(exporter, settings)
    if backbone.dims not in task.inputs.dims:
        raise InputError(f"{backbone.variant_name} does not take {task.inputs.name}: choose another network.")
    input_size = exporter.set_size(settings.sides)
    target = Path(settings.out or f"{backbone.variant_name}{FORMATS[settings.to]}")
    check_target(target, settings)
    task.eval()
    network: nn.Module = Pyramid(backbone) if settings.features else task.model
    names = tuple(backbone.stage_names if settings.features else exporter.outputs)
    shape = (settings.batch_size, exporter.in_channels, *input_size)
    artefact = Artefact(
        format=settings.to,
        task=task.name,
        model=backbone.variant_name,
        options=dict(backbone.variant_options),
        input_shape=shape,
        dynamic_batch=settings.dynamic_batch,
        outputs=names,
        class_names=() if settings.features else task.class_names,
        preprocessing=task.preprocessing,
        int8=settings.int8,
        task_metadata=task_metadata(task),
        training={name: metadata[name] for name in (*TRAINING, "data") if name in metadata},
        source=str(metadata.get("source", "")),
        licence=str(metadata.get("licence", "")),
        version=__version__,
    )
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, target.name)
        with console.status(f"Writing {target.name}") if console else nullcontext():
            export_network(
                network,
                next(image_batches(exporter, None, settings)),
                made,
                settings.to,
                names=names,
                dynamic_batch=settings.dynamic_batch,
                calibration=image_batches(exporter, settings.calibrate, settings) if settings.calibrate else None,
            )
        artefact.write(made)
        with console.status("Comparing it with the network") if console else nullcontext():
            exported, images = load_runtime(made, settings.to, trust=True), settings.images or settings.calibrate
            batches = image_batches(exporter, images, settings)
            if settings.features:
                agreement: Agreement = compare_outputs(exported, network, batches, logits=False)
            else:
                agreement = exporter.compare(exported, network, batches)
        if console:
            what = task.inputs.name if images else f"synthetic {task.inputs.name}"
            console.print(agreement.summary(what), highlight=False, soft_wrap=True)
        agreement.check(int8=settings.int8)
        replace(artefact, agreement=agreement.to_dict()).write(made)
        move(Path(folder), target.parent)
    return Exported(target, agreement)


def image_batches(exporter: Exporter, folder: str | None, settings: ExportSettings) -> Iterator[Tensor]:
    """Transformed images of a folder, or synthetic ones, in full batches; the last repeats images to fill up."""
    transform, inputs = exporter.transform(), exporter.task.inputs
    if folder is None:
        return whole_batches(exporter.examples(exporter.compared), transform, settings.batch_size)
    paths = inputs.list_files(folder)
    return file_batches(transform, paths, settings.batch_size, settings.bad_images, read=inputs.read)


def check_supported(exporter: Exporter, settings: ExportSettings) -> None:
    """Raise `InputError` if a task's network cannot be exported with these settings."""
    name = exporter.task.name
    if settings.features:
        if exporter.task.inputs.dims != (2,):
            raise InputError(f"The features of {exporter.task.inputs.name} cannot be exported: leave out --features.")
        return
    check_choice(f"Format of {name}", settings.to, exporter.formats)
    if settings.int8 and not exporter.int8:
        raise InputError(f"{name} can be exported in fp32 only: leave out --int8 and --calibrate.")
    if settings.dynamic_batch and not exporter.dynamic_batch:
        raise InputError(
            f"{name} takes a fixed number of images once exported: leave out --dynamic-batch, or give --batch-size."
        )


def check_target(target: Path, settings: ExportSettings) -> None:
    """Raise `InputError` early, before the network is exported, if the files cannot be written to the target."""
    ending = FORMATS[settings.to]
    if target.is_dir():
        raise InputError(f"{target} is a folder: name a file in it to write.")
    if not target.name.endswith(ending):
        raise InputError(f"{target} does not end in {ending}, as files of {settings.to} do: name it so.")
    for path in (target, target.with_suffix(".bin"), sidecar(target)):
        if path.exists() and not settings.overwrite and (path.suffix != ".bin" or settings.to == "openvino"):
            raise InputError(f"{path} exists: choose another name (--out), or add --overwrite.")
    there = next(folder for folder in target.absolute().parents if folder.exists())
    if not there.is_dir():
        raise InputError(f"{there} is a file: choose a folder to write into (--out).")
    if not os.access(there, os.W_OK):
        raise InputError(
            f"No permission to write into {there}: change the permissions, or choose another place (--out)."
        )


def move(source: Path, target: Path) -> None:
    """Copy all files of a folder to another, each of them atomically."""
    for file in sorted(source.iterdir()):
        with file.open("rb") as content:
            atomic_write(target / file.name, partial(shutil.copyfileobj, content))
