"""`res2net eval`: evaluate trained or published weights on data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Generic, TypeVar

import tyro

from res2net.commands.arguments import TrainedArguments, load_trained, parse_for_task, split_task
from res2net.console import Console
from res2net.engine.options import BadAnnotations, ClassOrder, Decode, eval_options_type, options_type

Options = TypeVar("Options")


@dataclass(frozen=True, kw_only=True)
class Arguments(TrainedArguments, Generic[Options]):
    """Weights and the data to evaluate them on."""

    source: tyro.conf.Positional[str]
    """The data set: a path, or the name of an embedded one."""
    split: str | None = None
    """Split to evaluate on, such as test; by default the validation split, or everything where the data have no split.
    For those, val is the part that the training held out, and train the rest."""
    class_order: ClassOrder = "alphabetical"
    """Order of classes that are folders, for weights that do not name theirs."""
    batch_size: int | None = None
    """Images per batch; by default as in the training."""
    val_fraction: float | None = None
    """Share of data without a split that --split val stands for; by default as in the training."""
    seed: int | None = None
    """Seed by which those are chosen; by default as in the training."""
    decode: Decode | None = None
    """Decode JPEG files in full, or scaled to the size that is needed; by default as in the training."""
    workers: int | None = None
    """Processes that load images; by default one for each processor but one, and none for images in memory."""
    bad_annotations: BadAnnotations = "stop"
    """At annotations that cannot be right, stop and count them, or skip them."""
    options: Annotated[Options, tyro.conf.arg(name="")] = field(default=None)  # type: ignore[assignment]


def run(arguments: Sequence[str]) -> None:
    """Evaluate weights and print the metrics."""
    name, words = split_task(arguments)
    about = f"Evaluate weights on {options_type(name).data_help}."
    chosen = parse_for_task(Arguments, "eval", name, words, eval_options_type, about)

    from res2net.engine.module import describe_skipped
    from res2net.engine.report import metrics_table

    model = load_trained(chosen, name)
    chosen.options.prepare(model.task)  # before the data are opened, so that wrong options are refused first
    source = model.open(
        chosen.source,
        split=chosen.split,
        class_order=chosen.class_order,
        val_fraction=chosen.val_fraction,
        seed=chosen.seed,
        decode=chosen.decode,
        bad_images=chosen.bad_images,
        bad_annotations=chosen.bad_annotations,
    )
    console = Console()
    for note in source.notes:
        console.out(note, highlight=False)
    evaluation = model.evaluate(
        source, batch_size=chosen.batch_size, workers=chosen.workers, console=console, **vars(chosen.options)
    )
    count = len(evaluation.records["index"]) + len(evaluation.skipped)
    scoring = model.task.scoring
    title = f"{count:,} {scoring.samples} of {source.name} ({source.val_about}) {scoring.note}".rstrip()
    console.print(metrics_table(title, evaluation).to_rich())
    console.print(f"{len(evaluation.records['index']) / evaluation.seconds:,.0f} images/s", highlight=False)
    if evaluation.skipped:
        console.out(describe_skipped(evaluation.skipped), highlight=False)
