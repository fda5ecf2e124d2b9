"""Faults in the annotations of a data set, collected in one pass and reported together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from res2net.errors import InputError, check_choice
from res2net.images.decode import BadImage

BAD_ANNOTATIONS = ("stop", "skip")
"""How to handle faults: "stop" raises `InputError`, "skip" ignores the faulty annotations."""

FAULTS = {
    "unreadable file": "unreadable files",
    "missing image": "missing images",
    "unreadable image": "unreadable images",
    "wrong size": "images of a wrong size",
    "label map elsewhere": "label maps that lie elsewhere than their scans",
    "missing mask file": "missing mask files",
    "missing partner": "files without a partner",
    "wrong partner": "files with another partner than a list states",
    "duplicate id": "duplicate ids",
    "unknown image": "objects of unknown images",
    "unknown class": "objects of unknown classes",
    "unreadable object": "unreadable objects",
    "degenerate box": "degenerate boxes",
    "box outside": "boxes outside of their image",
    "bad mask": "bad masks",
    "label outside": "label maps with numbers that are no class",
    "image of both splits": "images of both splits",
    "same image in two splits": "images of equal content in two splits",
    "same image in two classes": "images of equal content in two classes",
    "invalid keypoints": "invalid keypoints",
    "keypoint outside": "keypoints outside of their image",
    "wrong units": "parts in wrong units",
    "missing labels": "parts without labels",
    "no objects": "parts without objects",
    "one class only": "parts of one class only",
}
"""Every kind of fault, with its plural."""

OF_THE_WHOLE = ("wrong units", "missing labels", "no objects")
"""Faults of a whole data set, after which nothing is left that could be used."""

EXAMPLES = 5
"""Maximum number of faults of each kind to keep as examples; all are counted."""


@dataclass(frozen=True)
class Fault:
    """One fault: its kind, the file, and a description, such as "object 7 has the class 99"."""

    kind: str
    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


class AnnotationReport:
    """Faults of the data set at `path`, counted by kind, with the first examples of each, and notes about it."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self.counts: Counter[str] = Counter()
        self.unused: list[str] = []
        """Which files of the data set are not used, a sentence each; only checks show it."""
        self.examples: dict[str, list[Fault]] = {}
        self.remarks: list[str] = []
        """What was assumed or left out, a sentence each; it is shown before the data set is used."""

    def add(self, kind: str, file: str | Path, what: str) -> None:
        """Add a fault; its kind is a key of `FAULTS`."""
        assert kind in FAULTS, kind
        self.counts[kind] += 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < EXAMPLES:
            examples.append(Fault(kind, str(file), what))

    def keeps(self, error: BadImage, keep: bool) -> bool:
        """Whether an image that cannot be read is kept, to be reported when it is used; else it becomes a fault."""
        if not keep:
            self.add("unreadable image", error.path, error.reason)
        return keep

    def merge(self, other: AnnotationReport) -> None:
        """Add all of another report, such as that of a split."""
        self.counts.update(other.counts)
        for kind, examples in other.examples.items():
            mine = self.examples.setdefault(kind, [])
            mine += examples[: EXAMPLES - len(mine)]
        self.remark(*other.remarks)
        self.unused += other.unused

    def remark(self, *sentences: str) -> None:
        """Add sentences on what was assumed or left out, which is no fault; empty and repeated ones are ignored."""
        self.remarks += [one for one in dict.fromkeys(sentences) if one and one not in self.remarks]

    @property
    def total(self) -> int:
        """The number of faults."""
        return self.counts.total()

    def summary(self) -> str:
        """A summary such as "3 degenerate boxes and 1 missing image", in the order of `FAULTS`."""
        parts = [
            f"{self.counts[kind]} {kind if self.counts[kind] == 1 else plural}"
            for kind, plural in FAULTS.items()
            if self.counts[kind]
        ]
        return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts) or "no faults"

    def enforce(self, bad_annotations: str) -> None:
        """Handle the faults as `bad_annotations`, one of `BAD_ANNOTATIONS`, says.

        Raises:
            InputError: there are faults, and `bad_annotations` is "stop".
        """
        check_choice("bad_annotations", bad_annotations, BAD_ANNOTATIONS)
        for kind in OF_THE_WHOLE:
            if self.counts[kind]:
                raise InputError(f"The data set {self.path} cannot be used: {self.examples[kind][0]}.")
        if not self.examples:
            return
        if bad_annotations == "skip":
            self.remark(f"{self.summary()} of {self.path} {'is' if self.total == 1 else 'are'} left out.")
        else:
            first = next(iter(self.examples.values()))[0]
            raise InputError(
                f"The data set {self.path} has {self.summary()}; the first is in {first}: fix the annotations, leave "
                f"out what is wrong with `--bad-annotations skip`, or see all with `res2net data check {self.path}`."
            )
