"""`res2net predict`: predict images, or all images in folders."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import tyro

from res2net.commands.arguments import TrainedArguments, load_trained, parse_for_task, split_task
from res2net.console import Console
from res2net.engine.options import predict_options_type
from res2net.errors import InputError
from res2net.task import task_names

ABOUT = f"""Predict images, or all images in folders. The first word names the task ({", ".join(task_names())}); without
it, the task is classify."""

IMAGENET = (
    " The 1,000 classes of ImageNet: --model res2net50_26w_4s --weights in1k (a download of 103 MB, not for commercial "
    "use)."
)
"""How a user gets better weights for classification."""

Options = TypeVar("Options")


@dataclass(frozen=True, kw_only=True)
class Arguments(TrainedArguments, Generic[Options]):
    """Weights and the images to predict with them."""

    weights: Annotated[str, "FILE"] = ""
    """A checkpoint, the folder of a run, an exported file or the name of weights that ship (`res2net weights list`),
    which are the default where there are some for the task; or with --model another checkpoint or a tag such as
    "in1k"."""
    sources: Annotated[tyro.conf.Positional[tuple[str, ...]], "PATH ..."]
    """Images, folders of images (searched recursively), patterns, lists of paths (.txt), addresses (https), videos;
    - reads an image or a list of paths from the standard input, webcam takes a photo, example is one that ships."""
    json: bool = False
    """Print JSON instead of a table."""
    draw: Annotated[str | None, "FOLDER"] = None
    """Write each image with its result drawn on it into this folder."""
    save: Annotated[str | None, "FOLDER"] = None
    """Write each result into this folder as files, such as masks or depth maps, in the size of the image."""
    save_as: tuple[Literal["csv", "coco", "yolo", "crops"], ...] = ()
    """Write into the folder of --save instead: csv is the table; and for objects coco results, yolo labels, and crops
    of the boxes."""
    batch_size: int | None = None
    """Images per batch; by default what suits the task."""
    options: Annotated[Options, tyro.conf.arg(name="")] = field(default=None)  # type: ignore[assignment]


def run(arguments: Sequence[str]) -> None:
    """Predict inputs, print the results and write them to files."""
    name, words = split_task(arguments)
    chosen = parse_for_task(Arguments, "predict", name, words, predict_options_type, ABOUT)

    from res2net.engine.inputs import file_stem, input_name, list_inputs
    from res2net.engine.predict import ResultWriter, results_table
    from res2net.report.progress import progress_bar
    from res2net.task.result import write_png

    if not chosen.sources:
        raise InputError("Nothing to predict: give an image or a folder of images.")
    if chosen.save_as and chosen.save is None:
        raise InputError("--save-as needs --save FOLDER, the folder to write into.")
    options = vars(chosen.options)
    if "coco" in chosen.save_as:
        if "coco" not in options:
            raise InputError(f"--save-as coco does not apply to {name}: use --save-as csv or --json.")
        options = options | {"coco": options["coco"] or str(Path(chosen.save, "results.json"))}
    model = load_trained(with_weights(chosen, name), name)
    inputs = list_inputs(model.task, list(chosen.sources))
    inputs = list({input_name(one, index): one for index, one in enumerate(inputs)}.values())  # each file once
    predictions = model.stream(inputs, batch_size=chosen.batch_size, bad_images=chosen.bad_images, **options)
    writer = ResultWriter(chosen.save, chosen.save_as) if chosen.save is not None else None
    with progress_bar(Console(stderr=True)) as bar:
        progress = bar.add_task(model.task.inputs.name, total=len(inputs), note="")

        def written() -> Iterator[Any]:
            # No result is kept once it is printed and written: maps of many photos do not fit into memory.
            for number, one in enumerate(predictions, start=1):
                if chosen.draw is not None and one.result is not None:
                    write_png(Path(chosen.draw, f"{number:05d}-{file_stem(one.name)}.png"), one.result.draw())
                if writer is not None:
                    writer.add(number, one)
                bar.advance(progress)
                yield one

        if chosen.json:
            printed: Any = [
                {"file": one.name} | (one.result.to_dict() if one.result else {"error": one.reason})
                for one in written()
            ]
        else:
            printed = results_table(written())
    if writer is not None:
        writer.finish()
    if chosen.json:
        print(json.dumps(printed, indent=2))
    else:
        Console().print(printed.to_rich())
        for note in printed.notes:
            Console().out(note, highlight=False)


def with_weights(chosen: Arguments[Any], task: str) -> Arguments[Any]:
    """The arguments with the weights that ship for the task where none are given, which is printed.

    Raises:
        InputError: none ship for the task, or a model is named without weights.
    """
    if chosen.weights:
        return chosen
    if chosen.model is not None:
        raise InputError(f"--model {chosen.model} needs --weights with a checkpoint or a tag: add --weights in1k.")

    from res2net.weights import shipped_for

    card = shipped_for(task)
    better = IMAGENET if task == "classify" else ""
    Console(stderr=True).out(
        f"With the weights that ship, {card.name}, which know {card.knows}. {card.limits} More: "
        f"`res2net weights {card.name}`.{better}",
        highlight=False,
    )
    return replace(chosen, weights=card.name)
