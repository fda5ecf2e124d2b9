"""The Python interface: `load` a trained or exported model to predict, evaluate or export it; or `train` a new one.

The command line calls these functions, so both give the same numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from res2net.engine.inputs import list_inputs
from res2net.engine.options import ClassOrder, EvalOptions, PredictOptions, eval_options_type, predict_options_type
from res2net.engine.restore import adjust, read_alpha, restore_task, training_overlap, with_classes_of
from res2net.errors import InputError, check_options, check_range
from res2net.explain.options import Method, View
from res2net.options import from_dict
from res2net.task.base import Task, backbone_of
from res2net.task.result import Prediction, Result
from res2net.weights import checkpoint_path

if TYPE_CHECKING:
    from res2net.console import Console
    from res2net.engine.train import Trained
    from res2net.explain import ActivationMap
    from res2net.export.make import Exported
    from res2net.export.settings import Format
    from res2net.images.sources import DataSource
    from res2net.task.base import Evaluation

BEST = "best.safetensors"
"""The file of a run with its best weights."""


@dataclass(eq=False, repr=False)
class Model:
    """A trained task that predicts, evaluates and exports; `res2net.load` makes one."""

    task: Task
    """The task with its weights."""
    metadata: Mapping[str, Any]
    """The metadata of its file, such as the class names and the training settings."""
    path: Path
    """The file that it was loaded from."""
    accelerator: str = "auto"
    """"cpu", "gpu", "mps" or "auto"."""
    precision: str = "fp32"
    """"fp32", "bf16" or "fp16"."""
    exported: bool = False
    """Whether the network was exported; its runtime then runs it on the CPU and in its own precision."""

    def __repr__(self) -> str:
        return f"<res2net.Model {self.task.name}: {self.path}>"

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes that it was trained on."""
        return self.task.class_names

    def predict(
        self, what: Any, *, batch_size: int | None = None, bad_images: str = "stop", **options: Any
    ) -> list[Result]:
        """Predict inputs and return their results in order.

        Args:
            what: the path of a file or of a folder, which is searched at any depth; a glob pattern; a list of paths in
                a file that ends in .txt; an address of http or https; a video; "webcam"; "example", a photograph that
                ships; a Pillow image; a NumPy array `(H, W)` or `(H, W, 3)`; a tensor `(H, W)` or `(C, H, W)` with 1 or
                3 channels; or a list or an iterator of these. Arrays and tensors hold RGB or grey values, as uint8 from
                0 to 255 or as floating-point numbers from 0 to 1. Arrays and tensors of volumes are `(D, H, W)` with
                voxels 1 mm apart; `Volume.from_array(array, spacing=...)` states another spacing.
            batch_size: number of inputs in a batch; by default what suits the task.
            bad_images: "stop" raises `BadImage` for a file that cannot be read; "skip" leaves it out, so that there
                are fewer results than inputs; use `stream` to see which are missing.
            options: options specific to this task, as listed by `res2net predict TASK --help`, such as
                `clicks=["120,80,+"]`.

        Returns:
            One result for each input. It knows its input: `result.path`, `result.image`, `result.draw()`.

        Raises:
            InputError: an input does not exist, cannot be read or is not an image, or an option is wrong.
        """
        return [
            one.result
            for one in self.stream(what, batch_size=batch_size, bad_images=bad_images, **options)
            if one.result is not None
        ]

    def stream(
        self, what: Any, *, batch_size: int | None = None, bad_images: str = "stop", **options: Any
    ) -> Iterator[Prediction]:
        """Predict as `predict` does, but yield the predictions one by one, so that they need not all fit into memory.

        The arguments and errors are those of `predict`. A skipped file yields a prediction with a `reason` instead of a
        `result`.
        """
        chosen: PredictOptions = from_dict(
            predict_options_type(self.task.name), _plain(options), f"Predict with {self.task.name}"
        )
        if batch_size is not None:
            check_range("batch size", batch_size, 1)
        return chosen.predict(
            self.task,
            list_inputs(self.task, what),
            batch_size=batch_size,
            bad_images=bad_images,
            accelerator=self.accelerator,
            precision=self.precision,
        )

    def explain(
        self,
        what: Any,
        *,
        method: Method = "gradcam",
        layer: str | None = None,
        target: str | int = "predicted",
        view: View = "crop",
        bad_images: str = "stop",
    ) -> list[ActivationMap]:
        """Compute where a classifier sees a class in images, as `res2net cam` draws it.

        Args:
            what: images, as for `predict`.
            method: "gradcam", "gradcam++" or "eigen"; this and the other arguments are explained in
                `res2net.explain.activation_maps`.
            layer: name of a layer of the network; by default its last stage.
            target: the class: "predicted", or its name or index.
            view: "crop" shows the network what `predict` does, "whole" the whole image at the same scale.
            bad_images: "stop" raises `BadImage` for a file that cannot be read; "skip" leaves it out.

        Returns:
            One map for each input: `result.heat` `(H, W)` from 0 to 1, `result.draw()`, `result.save(stem)`.

        Raises:
            InputError: the network is no classifier, or there is no such class, layer or input.
        """
        from res2net.explain.explained import explain_inputs

        options: dict[str, Any] = {"method": method, "layer": layer, "target": target, "view": view}
        return explain_inputs(self, what, self.accelerator, bad_images=bad_images, **options)

    def open(
        self,
        source: str | Path,
        *,
        split: str | None = None,
        val_fraction: float | None = None,
        seed: int | None = None,
        decode: str | None = None,
        bad_images: str = "stop",
        bad_annotations: str = "stop",
        class_order: ClassOrder = "alphabetical",
    ) -> DataSource:
        """Open data to evaluate on, which are the samples `val` of the source.

        Args:
            source: a path, or a name such as "shapes".
            split: name of the split; by default the validation split, or all samples of data that are not split. For
                those, "val" is the part that a training with this fraction and seed holds out, and "train" the rest.
            val_fraction: share kept for validation if the data have no split; by default as in training.
            seed: seed of that split; by default as in training.
            decode: "full" or "scaled", as in `DataSettings`; by default as in training.
            bad_images: "stop" or "skip".
            bad_annotations: "stop" or "skip".
            class_order: order of classes that are folders, for weights that do not name theirs.

        Raises:
            InputError: there is no such source or split, or its classes are not among those of the training.
        """
        from res2net.images.splits import DataSettings

        metadata = self.metadata
        settings = DataSettings(
            val_fraction=float(metadata.get("val_fraction", 0.2)) if val_fraction is None else val_fraction,
            seed=int(metadata.get("seed", 0)) if seed is None else seed,
            bad_images=bad_images,
            bad_annotations=bad_annotations,
            decode=decode or str(metadata.get("decode", "full")),
            evaluate=True,
            split=split,
            class_order=class_order,
        )
        opened = self.task.open(source, settings, self.task.options)
        read_alpha(self.task, opened)
        warning = training_overlap(self.path, metadata, opened.val)
        return with_classes_of(self.task, replace(opened, notes=[*opened.notes, *warning]))

    def evaluate(
        self,
        source: str | Path | DataSource,
        *,
        batch_size: int | None = None,
        workers: int | None = None,
        console: Console | None = None,
        **options: Any,
    ) -> Evaluation:
        """Evaluate on the samples of a source, exactly as the evaluations during training do.

        Args:
            source: a path or a name such as "shapes", for what `open` chooses of it by default; or what `open`
                returned.
            batch_size: number of samples in a batch; by default as in training.
            workers: number of processes that prepare samples; by default what suits the source.
            console: where progress is shown; None shows nothing.
            options: options specific to this task, as listed by `res2net eval TASK --help`.

        Returns:
            The metrics by name in `metrics`, and per-sample values in `records`.

        Raises:
            InputError: the source does not exist or does not fit, an image cannot be read, or an option is wrong.
        """
        from res2net.engine.evaluate import evaluate, workers_for
        from res2net.images.loader import eval_loader
        from res2net.images.sources import DataSource

        chosen: EvalOptions = from_dict(
            eval_options_type(self.task.name), _plain(options), f"Evaluate with {self.task.name}"
        )
        for name, value, least in (("batch size", batch_size, 1), ("workers", workers, 0)):
            if value is not None:
                check_range(name, value, least)
        task = copy.copy(self.task)  # the next evaluation may have other options
        chosen.prepare(task)
        opened = source if isinstance(source, DataSource) else self.open(source)
        metric = task.metric()
        loader = eval_loader(
            chosen.samples(task, opened),
            batch_size or int(self.metadata.get("batch_size", 64)),
            workers=workers_for(opened) if workers is None else workers,
        )
        evaluation = evaluate(
            task,
            loader,
            precision=self.precision,
            accelerator=self.accelerator,
            channels_last=bool(self.metadata.get("channels_last", True)),
            metric=metric,
            console=console,
        )
        chosen.finish(task, opened, metric)
        return evaluation

    def export(
        self, to: Format, out: str | Path | None = None, *, console: Console | None = None, **settings: Any
    ) -> Exported:
        """Export the network to a file for torch, ONNX Runtime or OpenVINO, and verify the file against the network.

        Args:
            to: "pt2", "onnx", "openvino" or "aoti".
            out: the file to write; by default the name of the model in the current folder.
            console: where progress is shown; None shows nothing.
            settings: the other fields of `res2net.export.ExportSettings`, such as `int8=True, calibrate="FOLDER"`.

        Returns:
            The path of the file, and how well it agrees with the network.

        Raises:
            InputError: the network cannot be exported in this way, or the file differs from it.
        """
        from res2net.export.settings import ExportSettings

        check_options("Export", settings, ExportSettings.__dataclass_fields__)
        if self.exported:
            raise InputError(f"{self.path} is an exported network already: export the checkpoint it was made from.")
        chosen = ExportSettings(to=to, out=None if out is None else str(out), **_plain(settings))
        from res2net.export.make import export_task

        return export_task(self.task, {"source": self.path.name, **self.metadata}, chosen, console)

    @property
    def name(self) -> str:
        """Its name in comparisons: that of its backbone, or of its file if the network was exported."""
        return self.path.stem if self.exported else backbone_of(self.task).variant_name


def load(
    file: str | Path,
    *,
    model: str | None = None,
    task: str | None = None,
    runtime: str | None = None,
    accelerator: str = "auto",
    precision: str | None = None,
    task_options: Mapping[str, Any] | None = None,
    trust: bool = False,
) -> Model:
    """Load a trained task: a checkpoint, the folder of a run, an exported file, or weights that ship or are published.

    Args:
        file: `runs/NAME/best.safetensors`, `runs/NAME`, `model.onnx`, `model.xml`; the name of weights that ship with
            the package, such as "cifar100" (`res2net weights list`); or with `model` another checkpoint file or a tag
            such as "in1k".
        model: name of the architecture, if the file has no metadata about it.
        task: the task that is expected; by default that of the file.
        runtime: runtime of an exported file: "openvino", "onnx", "pt2" or "aoti"; by default the one that matches the
            file.
        accelerator: "cpu", "gpu", "mps" or "auto"; exported networks run on the CPU.
        precision: "fp32", "bf16" or "fp16"; by default as in training, and fp32 for exported networks and in place of
            fp16 on a CPU.
        task_options: new values of those options of the task that may be changed after training.
        trust: open a file even if that can run code that is in it, as with "pt2" and "aoti": only for files that you
            made yourself or whose author you trust.

    Returns:
        The model, whose network is in evaluation mode.

    Raises:
        InputError: the file is missing or damaged, does not fit the other arguments, or needs `trust`.
    """
    from res2net.engine.predict import accelerator_device
    from res2net.export.artefact import sidecar
    from res2net.export.settings import FORMATS

    path = Path(file) if model is not None else checkpoint_path(file)
    if model is None and path.is_dir():
        if not (path / BEST).is_file():
            raise InputError(f"{path} is not the folder of a finished run (it has no {BEST}): give a file.")
        path = path / BEST
    if runtime is None and not (sidecar(path).is_file() or path.name.endswith(tuple(FORMATS.values()))):
        restored, checkpoint = restore_task(path if model is None else file, model, task)
        adjust(restored, task_options or {})
        trained = str(checkpoint.metadata.get("precision", "fp32"))
        if trained == "fp16" and accelerator_device(accelerator).type == "cpu":
            trained = "fp32"
        return Model(restored, checkpoint.metadata, path, accelerator, precision or trained)
    if model is not None:
        raise InputError(f"{path} holds its model itself: leave out --model.")
    if accelerator not in ("auto", "cpu"):
        raise InputError(f"{path} is an exported network, which runs on the CPU: leave out --accelerator.")
    from res2net.export.exporter import restore_exported

    restored, artefact = restore_exported(path, runtime, precision or "fp32", task, trust=trust)
    adjust(restored, task_options or {})
    return Model(restored, artefact.training, path, "cpu", exported=True)


def train(
    task: str | None = None,
    source: str | Path | None = None,
    *,
    config: str | Path | None = None,
    recipe: str | None = None,
    resume: str | Path | None = None,
    accept_changed_data: bool = False,
    console: Console | None = None,
    **options: Any,
) -> Trained:
    """Train a task: the same run as `res2net train TASK SOURCE`, bit for bit.

    Args:
        task: the name of the task, such as "detect"; by default that of the recipe, the file or the resumed run, else
            "classify".
        source: a path, or a name such as "shapes"; by default that of the recipe, the file or the resumed run.
        config: a YAML file to take options from, which those that are given override.
        recipe: the name of a recipe to take options from, which those that are given override.
        resume: the folder of a stopped run to resume bit-exactly. `source` says where its data are now, and
            `epochs` trains for more epochs, also if it is finished; other options of the run cannot change.
        accept_changed_data: resume although samples were added, removed or changed; the classes must be the same.
        console: where progress is shown; by default the terminal.
        options: the options of the command by their names, such as `model="resnet50", epochs=10, batch_size=32,
            size=224`; `res2net train TASK --help-all` lists them.

    Returns:
        The folder of the run, the table of its epochs, the evaluation of its best weights, and the trained task. To
        predict with it: `res2net.load(trained.folder.best)`.

    Raises:
        InputError: an option does not exist or fit, or the data cannot be read.
        StoppedError: the run was stopped by Ctrl-C or SIGTERM, and its state has been saved.
    """
    from res2net.console import Console
    from res2net.engine.changes import scaled_to
    from res2net.engine.config import check_source, default_config, override
    from res2net.engine.recipes import starting_config
    from res2net.engine.report import train_with_report

    default, folder = starting_config(task, config=config, recipe=recipe, resume=resume)
    given = _plain(options if source is None else options | {"source": str(source)})
    default, scaled = (default, "") if folder is not None else scaled_to(given, default)
    chosen = override(default, given)
    check_source(chosen)
    if config is recipe is resume is None:
        # What suits the data and the options of the task is only known now.
        usual, scaled = scaled_to(given, default_config(chosen.task_name, chosen.source, chosen.task))
        chosen = override(usual, given)
    if scaled:
        (console or Console()).out(scaled)
    return train_with_report(chosen, resume=folder, accept_changed_data=accept_changed_data, console=console)


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Convert paths among the options to strings, as in configurations."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
