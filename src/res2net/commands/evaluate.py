"""`res2net eval`: evaluate trained or published weights on a source of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tyro
from rich.console import Console

from res2net.commands.arguments import TrainedArguments, parse, split_task
from res2net.commands.task_data import about_data
from res2net.errors import InputError, check_range

__all__ = ["run"]


@dataclass(frozen=True, kw_only=True)
class Arguments(TrainedArguments):
    """What is evaluated on what."""

    source: tyro.conf.Positional[str]
    """The data set, of which the validation part is taken: a path, or a name such as "shapes"."""
    batch_size: int | None = None
    """By default that of the training."""
    precision: str | None = None
    """fp32, bf16 or fp16; by default that of the training, and fp32 with --runtime."""
    val_fraction: float | None = None
    """Share kept for validation, where the data are not split; by default as in the training."""
    seed: int | None = None
    """Of that split; by default that of the training."""
    decode: str | None = None
    """JPEG files: "full", or "scaled" to what is needed; by default as in the training."""
    workers: int | None = None
    """Processes that prepare images."""
    bad_annotations: str = "stop"
    """Annotations of objects that cannot be right: "stop" and count them, or "skip" those."""
    metric: str | None = None
    """Of detect: coco, voc07 or voc; by default that of the training."""
    boxes: str | None = None
    """Of keypoints with simple_baseline: look into the boxes of this file, COCO's results of a detector (such as
    `predict detect --coco` writes), in place of those of the data."""
    box_score: float = 0.0
    """Least score of those boxes."""
    results: str | None = None
    """Also write what was found into this file, in COCO's format of results (tasks that find objects)."""


def run(arguments: Sequence[str]) -> None:
    """Evaluate and print the metrics."""
    name, words = split_task(arguments)
    verb = "eval" if name == "classify" else f"eval {name}"
    chosen = parse(Arguments, verb, words, f"Evaluate weights on the validation part of {about_data(name)}.")

    from res2net.commands.trained import check_boxes, restore_trained
    from res2net.engine.checkpoints import check_classes
    from res2net.engine.evaluate import evaluate, workers_for
    from res2net.engine.module import describe_skipped
    from res2net.engine.report import metrics_table
    from res2net.images.loader import eval_loader
    from res2net.images.sources import open_source
    from res2net.tasks.objects.coco_results import category_numbers, of_categories, write_results
    from res2net.tasks.objects.data.boxes import image_numbers, read_detections

    for option, value, least in (("batch size", chosen.batch_size, 1), ("workers", chosen.workers, 0)):
        if value is not None:
            check_range(option, value, least)
    trained = restore_trained(chosen, name, chosen.precision)
    task, said = trained.task, trained.said
    if chosen.metric is not None:
        task.measure_by(chosen.metric)
    if chosen.boxes is not None:
        check_boxes(task)
    if chosen.results is not None and not hasattr(task.metric(), "detections"):
        by = getattr(task.options, "metric", "")
        told = f"The task {task.name} has no results in COCO's format{by and f' with the metric {by}'}"
        raise InputError(f"{told}: leave out --results{by and ', or add --metric coco'}.")
    source = open_source(
        chosen.source,
        val_fraction=float(said.get("val_fraction", 0.2)) if chosen.val_fraction is None else chosen.val_fraction,
        seed=int(said.get("seed", 0)) if chosen.seed is None else chosen.seed,
        bad_images=chosen.bad_images,
        bad_annotations=chosen.bad_annotations,
        decode=chosen.decode or str(said.get("decode", "full")),
        labels=task.labels,
    )
    check_classes(said.get("class_names"), task, source)
    categories = category_numbers(len(task.class_names), source.category_ids)
    if chosen.boxes is None:
        _, val_set = task.datasets(source)
    else:
        found = read_detections(chosen.boxes, image_numbers(source.val), categories, chosen.box_score)
        val_set = task.look_into(source, found)
    metric = task.metric()
    detections = getattr(metric, "detections", None)
    workers = workers_for(source) if chosen.workers is None else chosen.workers
    loader = eval_loader(val_set, chosen.batch_size or int(said.get("batch_size", 64)), workers=workers)
    console = Console()
    evaluation = evaluate(
        task,
        loader,
        precision=trained.precision,
        accelerator=trained.accelerator,
        channels_last=bool(said.get("channels_last", True)),
        metric=metric,
        console=console,
    )
    rate = len(evaluation.records["index"]) / evaluation.seconds
    title = f"{len(val_set):,} {task.sample_name} of {source.name} {task.scored}".rstrip()
    console.print(metrics_table(title, evaluation).to_rich())
    console.print(f"{rate:,.0f} images/s", highlight=False)
    if chosen.results is not None and detections is not None:
        write_results(chosen.results, of_categories(detections(), categories))
    if evaluation.skipped:
        console.print(describe_skipped(evaluation.skipped), highlight=False, markup=False, soft_wrap=True)
