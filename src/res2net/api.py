"""Python in three lines: load what was trained or exported, predict, evaluate, export; and train.

The command line stands on these functions, so both do exactly the same.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from res2net.engine.restore import adjust, check_classes, restore_task
from res2net.engine.task_options import predict_options_type
from res2net.errors import InputError, check_options, check_range
from res2net.task.base import Task, backbone_of
from res2net.task.result import Prediction, Result

if TYPE_CHECKING:
    from rich.console import Console

    from res2net.engine.train import Trained
    from res2net.engine.verb_options import EvalOptions, PredictOptions
    from res2net.export.make import Exported
    from res2net.images.sources import DataSource
    from res2net.task.base import Evaluation

__all__ = ["BEST", "Model", "list_inputs", "load", "train"]

BEST = "best.safetensors"
"""The weights in the folder of a run."""


class Model:
    """A trained task, ready to predict: from a checkpoint, or on an exported network.

    Args:
        task: with its weights.
        metadata: what its file states, such as the classes and how it was trained.
        path: of the file.
        accelerator: "cpu", "gpu", "mps" or "auto".
        precision: "fp32", "bf16" or "fp16".
        exported: whether the network is an exported one, which its runtime keeps on the CPU and in its own precision.
    """

    def __init__(
        self,
        task: Task,
        metadata: Mapping[str, Any],
        path: Path,
        *,
        accelerator: str = "auto",
        precision: str = "fp32",
        exported: bool = False,
    ) -> None:
        self.task = task
        self.metadata = metadata
        self.path = path
        self.accelerator = "cpu" if exported else accelerator
        self.precision = "fp32" if exported else precision
        self.exported = exported

    def __repr__(self) -> str:
        return f"<res2net.Model {self.task.name}: {self.path}>"

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that it tells apart."""
        return self.task.class_names

    def predict(
        self, what: Any, *, batch_size: int | None = None, bad_images: str = "stop", **options: Any
    ) -> list[Result]:
        """Predict inputs and return their results in order.

        Args:
            what: the path of a file, a folder (at any depth), a glob pattern, a Pillow image, a NumPy array
                `(H, W)` or `(H, W, 3)` of uint8, a uint8 or float tensor `(C, H, W)`, or a list of these.
            batch_size: inputs at a time; by default what suits the task.
            bad_images: "stop" raises `BadImage` at a file that cannot be read, "skip" leaves it out.
            options: of the task alone, as `res2net predict TASK --help` lists them, such as `clicks`.

        Raises:
            InputError: there is no such file, it cannot be read, or an option does not exist or fit.
        """
        return [
            one.result
            for one in self.stream(what, batch_size=batch_size, bad_images=bad_images, **options)
            if one.result is not None
        ]

    def stream(
        self, what: Any, *, batch_size: int | None = None, bad_images: str = "stop", **options: Any
    ) -> Iterator[Prediction]:
        """Predict as `predict` does, one result after the other, so that many need no memory; skipped inputs too."""
        kind = predict_options_type(self.task.name)
        check_options(f"predict with {self.task.name}", options, kind.__dataclass_fields__)
        return self.run(list_inputs(self.task, what), kind(**options), batch_size=batch_size, bad_images=bad_images)

    def run(
        self,
        inputs: Sequence[Any],
        options: PredictOptions,
        *,
        batch_size: int | None = None,
        bad_images: str = "stop",
    ) -> Iterator[Prediction]:
        """Predict inputs that are listed already, with the task's own options."""
        if batch_size is not None:
            check_range("batch size", batch_size, 1)
        return options.predict(
            self.task,
            inputs,
            batch_size=batch_size,
            bad_images=bad_images,
            accelerator=self.accelerator,
            precision=self.precision,
        )

    def open(
        self,
        source: str | Path,
        *,
        val_fraction: float | None = None,
        seed: int | None = None,
        decode: str | None = None,
        bad_images: str = "stop",
        bad_annotations: str = "stop",
    ) -> DataSource:
        """Open data to evaluate on; what is not given is as in the training.

        Raises:
            InputError: there is no such source, or its classes are not those of the training.
        """
        from res2net.images.sources import DataSettings

        stated = self.metadata
        settings = DataSettings(
            val_fraction=float(stated.get("val_fraction", 0.2)) if val_fraction is None else val_fraction,
            seed=int(stated.get("seed", 0)) if seed is None else seed,
            bad_images=bad_images,
            bad_annotations=bad_annotations,
            decode=decode or str(stated.get("decode", "full")),
        )
        opened = self.task.open(source, settings, self.task.options)
        check_classes(self.task, opened)
        return opened

    def evaluate(
        self,
        source: str | Path | DataSource,
        *,
        batch_size: int | None = None,
        workers: int | None = None,
        options: EvalOptions | None = None,
        console: Console | None = None,
    ) -> Evaluation:
        """Evaluate on the validation samples of a source, exactly as the evaluations within a run.

        Args:
            source: a path, a name such as "shapes", or what `open` returned.
            batch_size: by default that of the training.
            workers: processes that prepare images; by default what suits the source.
            options: of the task alone.
            console: where progress is shown; None shows nothing.

        Raises:
            InputError: the source does not fit, or an image cannot be read.
        """
        from res2net.engine.evaluate import evaluate, workers_for
        from res2net.engine.verb_options import EvalOptions
        from res2net.images.loader import eval_loader
        from res2net.images.sources import DataSource

        chosen = options or EvalOptions()
        opened = source if isinstance(source, DataSource) else self.open(source)
        metric = self.task.metric()
        loader = eval_loader(
            chosen.samples(self.task, opened),
            batch_size or int(self.metadata.get("batch_size", 64)),
            workers=workers_for(opened) if workers is None else workers,
        )
        evaluation = evaluate(
            self.task,
            loader,
            precision=self.precision,
            accelerator=self.accelerator,
            channels_last=bool(self.metadata.get("channels_last", True)),
            metric=metric,
            console=console,
        )
        chosen.finish(self.task, opened, metric)
        return evaluation

    def export(
        self, to: str, out: str | Path | None = None, *, console: Console | None = None, **settings: Any
    ) -> Exported:
        """Export the network to a file that torch, ONNX Runtime or OpenVINO runs, and compare the two.

        Args:
            to: "pt2", "onnx", "openvino" or "aoti".
            out: the file; by default the model's name in the current folder.
            console: where progress is shown; None shows nothing.
            settings: of `res2net.export.ExportSettings`, such as `int8=True, calibrate="FOLDER"`.

        Raises:
            InputError: the network cannot be exported so, or the file differs from it.
        """
        from res2net.export.make import export_task
        from res2net.export.settings import ExportSettings

        check_options("export", settings, ExportSettings.__dataclass_fields__)
        chosen = ExportSettings(to=to, out=None if out is None else str(out), **settings)
        if self.exported:
            raise InputError(f"{self.path} is an exported network already: export the checkpoint it was made from.")
        return export_task(self.task, {"source": self.path.name, **self.metadata}, chosen, console)

    @property
    def name(self) -> str:
        """What it is called beside others: its backbone, or the file of an exported network."""
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
) -> Model:
    """Load a trained task: a checkpoint, the folder of a run, an exported file, or published weights.

    Args:
        file: `runs/NAME/best.safetensors`, `runs/NAME`, `model.onnx`, `model.xml`, `model.pt2`; or with `model` another
            checkpoint file or a tag such as "in1k".
        model: name of the architecture, where the file does not state it.
        task: the task that is expected; by default that of the file.
        runtime: of an exported file: "openvino", "onnx" or "pt2"; by default the one that the file is for.
        accelerator: "cpu", "gpu", "mps" or "auto"; exported networks run on the CPU.
        precision: "fp32", "bf16" or "fp16"; by default that of the training, and fp32 for exported networks.
        task_options: options of the task's evaluation and prediction that differ from those of the training.

    Raises:
        InputError: the file is missing or damaged, or does not fit what else was given.
    """
    from res2net.export.artefact import sidecar

    path = Path(file)
    if model is None and path.is_dir():
        if not (path / BEST).is_file():
            raise InputError(f"{path} is not the folder of a finished run (it has no {BEST}): give a file.")
        path = path / BEST
    if runtime is None and not sidecar(path).is_file():
        restored, checkpoint = restore_task(path if model is None else file, model, task)
        adjust(restored, task_options or {})
        chosen = precision or str(checkpoint.metadata.get("precision", "fp32"))
        return Model(restored, checkpoint.metadata, path, accelerator=accelerator, precision=chosen)
    if model is not None:
        raise InputError(f"{path} holds its model itself: leave out --model.")
    if accelerator not in ("auto", "cpu"):
        raise InputError(f"{path} is an exported network, which runs on the CPU: leave out --accelerator.")
    from res2net.export.task import restore_exported

    restored, artefact = restore_exported(path, runtime, precision or "fp32", task)
    adjust(restored, task_options or {})
    return Model(restored, artefact.training, path, exported=True)


def list_inputs(task: Task, what: Any) -> list[Any]:
    """The files and images that `what` stands for, each file once; see `Model.predict`.

    Raises:
        InputError: there is nothing.
    """
    if isinstance(what, list | tuple):
        found = [one for each in what for one in list_inputs(task, each)]
        paths = [one for one in found if isinstance(one, Path)]
        if not found:
            raise InputError("Nothing to predict: give an image, or a folder of images.")
        return list(dict.fromkeys(found)) if len(paths) == len(found) else found
    if isinstance(what, str | Path):
        if glob.has_magic(str(what)) and not Path(what).exists():
            matches = sorted(glob.glob(str(what), recursive=True))  # noqa: PTH207 - patterns may be absolute
            if not matches:
                raise InputError(f"No file matches {str(what)!r}: check the pattern.")
            return list_inputs(task, matches)
        return list(task.inputs.list_files(what))
    return [task.inputs.from_memory(what)]


def train(task: str, source: str | Path, *, console: Console | None = None, **options: Any) -> Trained:
    """Train a task: the same run as `res2net train TASK SOURCE`, bit for bit.

    Args:
        task: such as "classify" or "detect".
        source: a path, or a name such as "shapes".
        console: where progress is shown; by default the terminal.
        options: those of the command by their names, such as `model="resnet50", epochs=10, batch_size=32, size=224`;
            `res2net train TASK --help` lists them.

    Returns:
        The folder of the run, the table of its epochs, the evaluation of its best weights, and the trained task.

    Raises:
        InputError: an option does not exist or fit, or the data cannot be read.
    """
    from res2net.engine.config import run_config
    from res2net.engine.report import write_run_report
    from res2net.engine.train import open_data
    from res2net.engine.train import train as run

    config = run_config(task, str(source), options)
    trained = run(config, console=console)
    write_run_report(trained, open_data(config), config)
    return trained
