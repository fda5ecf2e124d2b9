"""`res2net eval`: evaluate trained or published weights on data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar

import tyro
from rich.console import Console

from res2net.commands.arguments import TrainedArguments, load_trained, split_task
from res2net.commands.parser import parse
from res2net.engine.choices import BadAnnotations, Decode
from res2net.engine.task_options import eval_options_type, options_type
from res2net.errors import check_range

__all__ = ["run"]

Options = TypeVar("Options")


@dataclass(frozen=True, kw_only=True)
class Arguments(TrainedArguments, Generic[Options]):
    """Weights and the data to evaluate them on."""

    source: tyro.conf.Positional[str]
    """The data set, whose validation part is used: a path, or the name of an embedded one."""
    batch_size: int | None = None
    """Images per batch; by default as in the training."""
    val_fraction: float | None = None
    """Share of the data kept for validation where the data set has no split; by default as in the training."""
    seed: int | None = None
    """Seed of that split; by default as in the training."""
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
    options = eval_options_type(name)
    default = Arguments[options](  # type: ignore[valid-type]
        source=tyro.MISSING_NONPROP, weights=tyro.MISSING_NONPROP, options=options()
    )
    chosen: Any = parse(
        Arguments[options],  # type: ignore[valid-type]
        "eval" if name == "classify" else f"eval {name}",
        words,
        f"Evaluate weights on the validation part of {options_type(name).data_help}.",
        default,
    )

    from res2net.engine.module import describe_skipped
    from res2net.engine.report import metrics_table

    for option, value, least in (("batch size", chosen.batch_size, 1), ("workers", chosen.workers, 0)):
        if value is not None:
            check_range(option, value, least)
    model = load_trained(chosen, name)
    chosen.options.prepare(model.task)
    source = model.open(
        chosen.source,
        val_fraction=chosen.val_fraction,
        seed=chosen.seed,
        decode=chosen.decode,
        bad_images=chosen.bad_images,
        bad_annotations=chosen.bad_annotations,
    )
    console = Console()
    evaluation = model.run_evaluation(
        source, chosen.options, batch_size=chosen.batch_size, workers=chosen.workers, console=console
    )
    count = len(evaluation.records["index"]) + len(evaluation.skipped)
    scoring = model.task.scoring
    title = f"{count:,} {scoring.samples} of {source.name} {scoring.note}".rstrip()
    console.print(metrics_table(title, evaluation).to_rich())
    console.print(f"{len(evaluation.records['index']) / evaluation.seconds:,.0f} images/s", highlight=False)
    if evaluation.skipped:
        console.print(describe_skipped(evaluation.skipped), highlight=False, markup=False, soft_wrap=True)
