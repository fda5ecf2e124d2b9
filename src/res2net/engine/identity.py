"""What makes a resumed run the same run: its configuration and its data are compared with those at hand."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from res2net.engine.changes import changed_options
from res2net.engine.config import TrainConfig, from_values, to_yaml
from res2net.engine.folder import RunFolder
from res2net.engine.state import RunRecord
from res2net.errors import InputError, listed
from res2net.images.fingerprint import Fingerprint, SampleKey, sample_keys
from res2net.images.sources import DataSource
from res2net.task.base import Task, backbone_of
from res2net.weights import atomic_write, read_checkpoint

SPLITS = ("train", "val")
Keys = Mapping[str, Sequence[SampleKey]]
"""The samples of each split."""


def split_keys(source: DataSource) -> Keys:
    """The keys of the samples of a source."""
    return {split: sample_keys(getattr(source, split), contents=True) for split in SPLITS}


def backbone_metadata(task: Task) -> dict[str, Any]:
    """Name and options of the backbone of a task, as in checkpoints."""
    model = backbone_of(task)
    options = dict(model.variant_options) | {"num_classes": model.num_classes, "in_channels": model.in_channels}
    return {"model": model.variant_name, "options": options}


def make_record(config: TrainConfig[Any], task: Task, keys: Keys, run_id: str = "") -> RunRecord:
    """The record of a run; it gets a new random id unless `run_id` is given."""
    return RunRecord(
        id=run_id or secrets.token_hex(8),
        config=dataclasses.asdict(config),
        facts=task.facts,
        preprocessing=task.preprocessing.to_dict(),
        model=backbone_metadata(task),
        train=dataclasses.asdict(Fingerprint.of(keys["train"])),
        val=dataclasses.asdict(Fingerprint.of(keys["val"])),
    )


def write_samples(folder: RunFolder, keys: Keys, record: RunRecord) -> None:
    """Write the list of the samples of a run, whose first line holds the id of the run."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("split", "name", "bytes", "label", "content", record.id))
    table.writerows((split, *key) for split in SPLITS for key in keys[split])
    content = text.getvalue().encode("utf-8", "surrogateescape")
    atomic_write(folder.samples, gzip.compress(content, mtime=0))


def read_samples(folder: RunFolder) -> tuple[str, Keys] | None:
    """The id of the run and the samples that `write_samples` wrote; None if the file is missing or damaged."""
    try:
        text = gzip.decompress(folder.samples.read_bytes()).decode("utf-8", "surrogateescape")
        header, *rows = csv.reader(io.StringIO(text))
        keys = {split: [SampleKey(*row[1:]) for row in rows if row[0] == split] for split in SPLITS}
        return header[-1], keys
    except (OSError, EOFError, ValueError, TypeError, IndexError, csv.Error):
        return None


@dataclass(frozen=True)
class Changes:
    """Differences between a run and what it would be resumed with, each as a sentence without its end."""

    classes: Sequence[str] = ()
    """Differences in what the network depends on, such as the classes; they cannot be accepted."""
    teacher: bool = False
    """Whether the network that the run learns from is another; this cannot be accepted either."""
    samples: Sequence[str] = ()
    """Differences in the samples."""
    splits: Sequence[str] = ()
    """The splits that have other samples."""
    unread: Sequence[str] = ()
    """The splits of which only names, sizes and labels were compared, since the run did not list contents."""


def check_folder(folder: RunFolder, record: RunRecord, on_disk: TrainConfig[Any]) -> None:
    """Check that the files in a run's folder belong together.

    Args:
        folder: the folder of the run.
        record: the record in its `last.ckpt`.
        on_disk: the configuration in its `config.yaml`.

    Raises:
        InputError: `last.ckpt` or a file of weights is of another run, or the configuration was edited.
    """
    found = read_samples(folder)
    if found is not None and found[0] != record.id:
        raise InputError(
            f"{folder.state} belongs to another run than {folder.samples} (run {record.id}, not {found[0]}): "
            "restore the file of this run."
        )
    for weights in (folder.best, folder.last):
        if weights.exists() and read_checkpoint(weights).metadata.get("run") != record.id:
            raise InputError(f"{weights} belongs to another run than {folder.state}: restore the file of this run.")
    trained = from_values(record.config, f"The configuration in {folder.state}")
    edited = changed_options(trained, on_disk)
    edited.pop("out", None)
    if edited:
        shown = ", ".join(f"{name} was {old!r} and is {new!r}" for name, (old, new) in edited.items())
        raise InputError(
            f"{folder.config} was edited since the run began ({shown}): restore it, or start a new run with "
            f"--config {folder.config} --weights {folder.best} and another --out."
        )


def compare_data(folder: RunFolder, record: RunRecord, facts: Mapping[str, Any], keys: Keys) -> Changes:
    """Compare the data of a run with those at hand, whose facts and samples are given."""
    found = read_samples(folder)
    known = found[1] if found is not None else {}
    different = [
        split
        for split in SPLITS
        if dataclasses.asdict(Fingerprint.of(keys[split])) != getattr(record, split)
        or _have_other_contents(known.get(split, ()), keys[split])
    ]
    unread = [
        split
        for split in SPLITS
        if any(key.content for key in keys[split]) and not any(key.content for key in known.get(split, ()))
    ]
    samples = []
    for split in different:
        if split in known:
            samples.append(f"{split}: {_sample_changes(known[split], keys[split])}")
        else:
            count = getattr(record, split)["count"]
            samples.append(f"{split}: {count:,} samples then, {len(keys[split]):,} now, and not the same")
    before, now = dict(record.facts), dict(facts)
    teacher = before.pop("teacher", None) != now.pop("teacher", None)
    return Changes(_fact_changes(before, now), teacher, samples, different, unread)


def _fact_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    changes = []
    for name in dict.fromkeys((*before, *now)):
        old, new = _plain(before.get(name)), _plain(now.get(name))
        if old == new:
            continue
        what = {"class_names": "classes"}.get(name, name.replace("_", " "))
        if not (isinstance(old, list) and isinstance(new, list) and all(isinstance(one, str) for one in old + new)):
            changes.append(f"{what} was {old!r} and is {new!r}")
            continue
        gone, added = [one for one in old if one not in new], [one for one in new if one not in old]
        parts = [f"{what} removed: {listed(gone)}"] if gone else []
        parts += [f"{what} added: {listed(added)}"] if added else []
        changes += parts or [f"{what} are in another order: {listed(old)} then, {listed(new)} now"]
    return changes


def _plain(value: Any) -> Any:
    """Lists in place of tuples, as in files."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _have_other_contents(before: Sequence[SampleKey], now: Sequence[SampleKey]) -> bool:
    """Whether files of the same name and size have other contents, as far as both are known."""
    contents = {key.unread: key.content for key in before if key.content}
    return any(key.content != contents.get(key.unread, key.content) for key in now if key.content)


def _sample_changes(before: Sequence[SampleKey], now: Sequence[SampleKey]) -> str:
    old, new = {key.name: key for key in before}, {key.name: key for key in now}
    kinds = {
        "added": [name for name in new if name not in old],
        "removed": [name for name in old if name not in new],
        "changed": [name for name in new if name in old and new[name].differs(old[name])],
    }
    parts = [f"{len(names):,} {kind} (such as {names[0]})" for kind, names in kinds.items() if names]
    return ", ".join(parts) or f"{len(before):,} samples then, {len(now):,} now"


def accept(folder: RunFolder, changes: Changes, source: DataSource, *, accept_changed_data: bool) -> str:
    """What to print of changes that are accepted; an empty string if there are none.

    Raises:
        InputError: the data differ in classes, or in samples that were not accepted; or the teacher is another.
    """
    if changes.teacher:
        raise InputError(
            f"The teacher is not the one that the run in {folder.path} learns from (its weights, or how it sees "
            f"images): restore its file, or start a new run with --weights {folder.best}."
        )
    if changes.classes:
        raise InputError(
            f"The data {source.name!r} are not those of the run in {folder.path} ({'; '.join(changes.classes)}), and "
            f"its network would mistake one class for another: restore the data, give those of the run with --resume "
            f"{folder.path} SOURCE, or start a new run with --weights {folder.best} --adapt-classifier."
        )
    if not changes.samples:
        return ""
    told = "; ".join(changes.samples)
    if not accept_changed_data:
        raise InputError(
            f"The samples of {source.name!r} are not those of the run in {folder.path} ({told}): restore them, give "
            f"the data of the run with --resume {folder.path} SOURCE, or go on with these by --accept-changed-data."
        )
    return (
        f"The run goes on with changed samples ({told}), so that its scores before and after differ in more than time."
    )


def write_config(folder: RunFolder, config: TrainConfig[Any]) -> None:
    """Write the configuration of a run into its folder."""
    atomic_write(folder.config, to_yaml(config).encode())
