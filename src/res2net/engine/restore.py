"""Restore trained tasks from checkpoints. The trainer is not imported here, so that prediction starts quickly."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from res2net.errors import InputError, listed, nearest
from res2net.images.fingerprint import Fingerprint, fingerprint, sample_keys
from res2net.images.folder import natural_key
from res2net.images.samples import Samples
from res2net.images.sources import DataSource
from res2net.options import from_dict
from res2net.task import task_names
from res2net.task.base import TASKS, Task
from res2net.weights import Checkpoint
from res2net.zoo import open_checkpoint


def restore_task(weights: str | Path, model: str | None = None, name: str | None = None) -> tuple[Task, Checkpoint]:
    """Restore a trained task from its checkpoint, or from published weights of a named model.

    Args:
        weights: a checkpoint of a run, or with `model` another checkpoint file or a tag such as "in1k".
        model: name of the architecture, if the file has no metadata about it.
        name: name of the task; by default the one in the file's metadata, or `classify` if it has none.

    Raises:
        InputError: there is no such file or tag, it belongs to another task, or its metadata are incomplete.
    """
    model_name, checkpoint = open_checkpoint(weights, model)
    trained_for = checkpoint.metadata.get("task")
    if trained_for not in (None, *task_names()):
        raise InputError(
            f"{checkpoint.path or weights} states the task {trained_for!r}, which does not exist (tasks: "
            f"{', '.join(task_names())}): give a file of `res2net train`."
        )
    if name is not None and trained_for not in (None, name):
        raise InputError(
            f"{weights} was trained for {trained_for}, not for {name}: name the task {trained_for} instead."
        )
    kind = TASKS[name or trained_for or "classify"]
    try:
        return kind.restore(model_name, checkpoint), checkpoint
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        # What describes the network is part of the file, and another program may have changed it.
        reason = f"{type(error).__name__}: {error}"[:100]
        raise InputError(f"The metadata of {checkpoint.path} is damaged ({reason}): save the file again.") from error


def task_metadata(task: Task) -> dict[str, Any]:
    """The metadata of a task in checkpoints and exported files, which `Task.restore` needs: its options and facts."""
    return {"task_options": dataclasses.asdict(task.options), **task.facts}


def adjust(task: Task, changes: Mapping[str, Any]) -> None:
    """Change options of a trained task that only affect evaluation and prediction, also those of groups within them.

    Raises:
        InputError: there is no such option, it cannot be changed after training, or its value is out of range.
    """
    if not changes:
        return
    adjustable = getattr(task.options, "adjustable", ())
    values = dataclasses.asdict(task.options)
    groups = {name: group for group in values.values() if isinstance(group, dict) for name in group}
    for name, value in changes.items():
        if name not in adjustable:
            reason = "cannot change after training" if name in values or name in groups else "is not known"
            allowed = f"options that can change: {', '.join(adjustable)}" if adjustable else "none can change"
            advice = nearest(name, adjustable) or "leave it out"
            raise InputError(f"The option {name!r} of {task.name} {reason}: {advice} ({allowed}).")
        groups.get(name, values)[name] = value
    task.options = from_dict(type(task.options), values, "What is chosen by --task-options")


def read_alpha(task: Task, source: DataSource) -> None:
    """Let a source read images with their transparency where the network sees it as a fourth channel."""
    for samples in (source.train, source.val) if task.inputs.alpha else ():
        if hasattr(samples, "alpha"):
            samples.alpha = True


def training_overlap(path: Path, metadata: Mapping[str, Any], samples: Samples) -> list[str]:
    """Warn, in at most one sentence, if samples to evaluate on were trained on.

    The list of samples in the folder of the run finds any of them. Without it, the fingerprints in the metadata find
    the whole training split, alone or with the validation split.

    Args:
        path: the file of the weights.
        metadata: its metadata.
        samples: the samples to evaluate on.
    """
    from res2net.engine.folder import RunFolder
    from res2net.engine.identity import read_samples

    listed_samples = read_samples(RunFolder(path.parent))
    if listed_samples is not None and listed_samples[0] == metadata.get("run"):
        both = len(set(sample_keys(samples)) & {key.unread for key in listed_samples[1]["train"]})
    else:
        try:
            train, val = (Fingerprint(**metadata["data"][split]) for split in ("train", "val"))
        except (TypeError, KeyError):  # weights of before, or of other programs
            return []
        if len(samples) not in (train.count, train.count + val.count):  # before all files are looked up
            return []
        both = train.count if fingerprint(samples) in (train, train + val) else 0
    if not both:
        return []
    return [
        f"The weights were trained on {both:,} of these {len(samples):,} samples, so the scores are higher than on new "
        "ones; --split val evaluates on those that the training held out."
    ]


def with_classes_of(task: Task, source: DataSource) -> DataSource:
    """A source to evaluate on, with the classes of a trained task; classes are compared by their names.

    A source of classified images or of objects may lack some of the classes, or have them in another order. If the
    weights came without class names, as published ones do, only the number of classes is compared, which a note says.

    Raises:
        InputError: the source has other classes.
    """
    known, found = list(task.class_names), list(source.class_names)
    if task.facts.get("class_names_assumed"):
        if len(found) != len(known):
            raise InputError(
                f"The weights have {len(known)} classes without names, and {source.name} has {len(found)}: evaluate on "
                "data with all classes of the training, in the same order."
            )
        note = (
            "The weights do not name their classes, whose order is assumed to be that of the data: "
            f"{', '.join(found[:3])}{' ...' if len(found) > 3 else ''}."
        )
        natural = sorted(found, key=natural_key)
        if found not in (natural, sorted(found)) or natural != sorted(found):
            note += " If they were trained in another order, choose --class-order alphabetical or natural."
        return replace(source, notes=[*source.notes, note])
    if found == known:
        return source
    if others := [name for name in found if name not in known]:
        raise InputError(
            f"The weights do not know {len(others)} of the {len(found)} classes of {source.name}, such as "
            f"{others[0]!r} (they know {listed(known)}): evaluate on data with the classes of the training."
        )
    unique = len(set(known)) == len(known) and len(set(found)) == len(found)
    change: Callable[[Sequence[str]], Any] | None = getattr(source.val, "with_classes", None)
    if change is None or not unique:
        raise InputError(
            f"The weights know {len(known)} classes ({listed(known)}), and {source.name} has {len(found)} "
            f"({listed(found)}): evaluate on data with the same classes in the same order."
        )
    notes = list(source.notes)
    if missing := [name for name in known if name not in found]:
        notes.append(f"There are no images of {len(missing)} of the {len(known)} classes: {listed(missing)}.")
    val = change(known)
    ids = val.annotations.category_ids if source.category_ids else ()
    return replace(source, class_names=known, val=val, category_ids=ids, notes=notes)
