"""`res2net predict`: what is in images, or in each image of folders."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from res2net.commands.arguments import TrainedArguments, parse, split_task
from res2net.errors import InputError, check_range
from res2net.task import task_names

__all__ = ["run"]

ABOUT = f"""Tell what is in images, or in each image of folders. The first word may name the task, which is
classify unless it does: {", ".join(task_names())}."""

Found = tuple[Path, Any, str]
"""A file, what was found in it, and why it was skipped."""


@dataclass(frozen=True, kw_only=True)
class Arguments(TrainedArguments):
    """What is predicted with what."""

    sources: tyro.conf.Positional[tuple[str, ...]]
    """Images, or folders of images (at any depth); for volumes NIfTI files."""
    json: bool = False
    """Print JSON instead of a table."""
    coco: str | None = None
    """Also write the objects into this file in COCO's format of results; a number at the end of an image's name is
    its image_id."""
    draw: str | None = None
    """Also write each image with its result drawn on it into this folder."""
    save: str | None = None
    """Also write what is found in each image into this folder as files of their own: masks, depth,
    roads, translated images or label maps of volumes, in the size of the image."""
    boxes: str | None = None
    """Of keypoints with simple_baseline: look into the boxes of this file, COCO's results of a detector (such as
    `predict detect --coco` writes) or COCO's annotations, in place of whole images."""
    box_score: float = 0.0
    """Least score of those boxes."""
    clicks: tuple[str, ...] = ()
    """For the task click: where, as column,row,+ on the object or column,row,- beside it, such as 120,80,+ 10,20,-."""
    batch_size: int | None = None
    """Images at a time, or boxes; by default 32, and 1 where images or volumes are seen in their own size."""
    precision: str = "fp32"
    """fp32, bf16 or fp16."""


def run(arguments: Sequence[str]) -> None:
    """Predict and print."""
    name, words = split_task(arguments)
    chosen = parse(Arguments, "predict" if name == "classify" else f"predict {name}", words, ABOUT)

    from res2net.commands.trained import check_boxes, restore_trained
    from res2net.engine.predict import predict, results_table
    from res2net.engine.progress import progress_bar
    from res2net.task.base import task_type
    from res2net.tasks.objects.coco_results import category_numbers, image_numbers
    from res2net.tasks.objects.data.boxes import read_boxes

    if chosen.batch_size is not None:
        check_range("batch size", chosen.batch_size, 1)
    if not chosen.sources:
        raise InputError("Nothing to look at: give an image, or a folder of images.")
    listed = [path for source in chosen.sources for path in task_type(name).list_files(source)]
    paths = list(dict.fromkeys(listed))  # each once, also one that is named beside its folder
    trained = restore_trained(chosen, name, chosen.precision)
    task = trained.task
    if chosen.clicks:
        _give_clicks(task, chosen.clicks)
    if chosen.coco is not None and task.result_name != "objects":
        raise InputError(f"The task {task.name} finds no objects: leave out --coco.")
    boxes = None
    if chosen.boxes is not None:
        check_boxes(task)
        numbers = image_numbers(paths)
        categories = category_numbers(len(task.class_names), getattr(task, "category_ids", ()))
        boxes = read_boxes(chosen.boxes, paths, numbers, categories, chosen.box_score)
    results = predict(
        task,
        paths,
        batch_size=chosen.batch_size,
        bad_images=chosen.bad_images,
        accelerator=trained.accelerator,
        precision=trained.precision,
        boxes=boxes,
    )
    kept: list[Found] = []
    with progress_bar(Console(stderr=True)) as bar:
        images = bar.add_task("images", total=len(paths), note="")

        def handled() -> Iterator[Found]:
            # No result is kept that is told and written: maps of many photos do not fit into memory.
            for number, (path, result, reason) in enumerate(results, start=1):
                if chosen.draw is not None and not reason:
                    _draw(task, path, result, Path(chosen.draw), number)
                if chosen.save is not None and not reason:
                    _save(task, path, result, Path(chosen.save, f"{number:05d}-{stem_of(path)}"))
                if chosen.coco is not None:
                    kept.append((path, result, reason))
                bar.advance(images)
                yield path, result, reason

        if chosen.json:
            told: Any = [
                {"file": str(path)} | ({"error": reason} if reason else {task.result_name: task.described(result)})
                for path, result, reason in handled()
            ]
        else:
            told = results_table(task, handled())
    if chosen.coco is not None:
        _write_coco(task, kept, chosen.coco)
    if chosen.json:
        print(json.dumps(told, indent=2))
    else:
        Console().print(told.to_rich())


def stem_of(path: Path) -> str:
    """The name of a file without its ending, also without one that is packed."""
    return Path(path.name.removesuffix(".gz")).stem


def _give_clicks(task: Any, words: Sequence[str]) -> None:
    from res2net.tasks.pixels.click.data import parse_click

    if not hasattr(task, "clicks"):
        raise InputError(f"The task {task.name} takes no clicks: leave out --clicks.")
    task.clicks = [parse_click(word) for word in words]


def _write_coco(task: Any, found: Sequence[Found], file: str) -> None:
    from res2net.tasks.objects.coco_results import category_numbers, image_numbers, listed_results, write_results

    numbers = image_numbers([path for path, _, _ in found])
    results = [(number, result) for number, (_, result, reason) in zip(numbers, found, strict=True) if not reason]
    categories = category_numbers(len(task.class_names), task.category_ids)
    write_results(file, listed_results(results, task.class_names, categories))


def _save(task: Any, path: Path, result: Any, stem: Path) -> None:
    task.save(result, stem)
    if task.cuts_out:
        for end, image in task.cut_outs(task.read_file(path), result).items():
            _write_png(stem.with_name(f"{stem.name}-{end}.png"), image)


def _draw(task: Any, path: Path, result: Any, folder: Path, number: int) -> None:
    _write_png(folder / f"{number:05d}-{stem_of(path)}.png", task.draw(task.read_file(path), result))


def _write_png(path: Path, image: Any) -> None:
    from res2net.weights import atomic_write

    atomic_write(path, lambda file: image.save(file, "PNG"))
