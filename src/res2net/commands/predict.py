"""`res2net predict`: predict images, or all images in folders."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from res2net.commands.arguments import TrainedArguments, load_trained, parse_for_task, split_task
from res2net.console import Console
from res2net.engine.options import predict_options_type
from res2net.errors import InputError
from res2net.task import task_names

ABOUT = f"""Predict images, or all images in folders. The first word names the task ({", ".join(task_names())}); without
it, the task is classify."""

Options = TypeVar("Options")


@dataclass(frozen=True, kw_only=True)
class Arguments(TrainedArguments, Generic[Options]):
    """Weights and the images to predict with them."""

    sources: Annotated[tyro.conf.Positional[tuple[str, ...]], "PATH ..."]
    """Images, or folders of images (searched recursively)."""
    json: bool = False
    """Print JSON instead of a table."""
    draw: Annotated[str | None, "FOLDER"] = None
    """Write each image with its result drawn on it into this folder."""
    save: Annotated[str | None, "FOLDER"] = None
    """Write each result into this folder as files, such as masks or depth maps, in the size of the image."""
    batch_size: int | None = None
    """Images per batch; by default what suits the task."""
    options: Annotated[Options, tyro.conf.arg(name="")] = field(default=None)  # type: ignore[assignment]


def run(arguments: Sequence[str]) -> None:
    """Predict inputs, print the results and write them to files."""
    name, words = split_task(arguments)
    chosen = parse_for_task(Arguments, "predict", name, words, predict_options_type(name), ABOUT)

    from res2net.api import list_inputs
    from res2net.engine.predict import results_table
    from res2net.report.progress import progress_bar
    from res2net.task.result import write_png

    if not chosen.sources:
        raise InputError("Nothing to predict: give an image or a folder of images.")
    model = load_trained(chosen, name)
    paths = list(dict.fromkeys(list_inputs(model.task, list(chosen.sources))))  # each file once
    predictions = model.stream(
        paths, batch_size=chosen.batch_size, bad_images=chosen.bad_images, **vars(chosen.options)
    )
    with progress_bar(Console(stderr=True)) as bar:
        progress = bar.add_task(model.task.inputs.name, total=len(paths), note="")

        def written() -> Iterator[Any]:
            # No result is kept once it is printed and written: maps of many photos do not fit into memory.
            for number, one in enumerate(predictions, start=1):
                if one.result is not None:
                    # The ending may be double, as .nii.gz.
                    stem = f"{number:05d}-{Path(one.name.removesuffix('.gz')).stem}"
                    if chosen.draw is not None:
                        write_png(Path(chosen.draw, f"{stem}.png"), one.result.draw())
                    if chosen.save is not None:
                        if not one.result.files:
                            raise InputError(f"--save does not apply to {name}: use --draw or --json.")
                        one.result.save(Path(chosen.save, stem))
                bar.advance(progress)
                yield one

        if chosen.json:
            printed: Any = [
                {"file": one.name} | (one.result.to_dict() if one.result else {"error": one.reason})
                for one in written()
            ]
        else:
            printed = results_table(written())
    if chosen.json:
        print(json.dumps(printed, indent=2))
    else:
        Console().print(printed.to_rich())
