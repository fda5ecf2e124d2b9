"""Images in folders: one folder per class, splits into training and validation, and lists of files."""

from __future__ import annotations

import contextlib
import copy
import re
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from torch.utils.data import Dataset

from res2net.errors import InputError, listed
from res2net.files import subfolders, walk
from res2net.images.decode import EXTENSIONS, BadImage, image_size, open_image, read_image
from res2net.images.samples import Origin, Sample

LOOKED_AT = 25
"""Images of a data set whose sizes are looked at."""
SMALLEST_SIZE = 32
"""Size in pixels below which no network is recommended to be trained."""


NO_CLASSES = tuple(
    {images, labels}
    for images in ("images", "image", "imgs", "img", "rgb", "jpegimages")
    for labels in ("masks", "mask", "labels", "annotations", "depth", "gt", "graphs", "segmentationclass")
)
"""Names of folders, in lower case, that are images and their labels."""


class ImageFiles(Dataset[Sample]):
    """Image files with a class label each: `(PIL.Image, {"label": int})`; a broken image raises `BadImage`.

    The paths are strings, as large data sets have millions.
    """

    reads_files = True
    alpha = False
    """Whether images are read as RGBA, which may be set to true."""

    def __init__(self, paths: Sequence[str], targets: Sequence[int], class_names: Sequence[str]) -> None:
        self.paths = list(paths)
        self.targets = list(targets)
        self.class_names = list(class_names)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        return read_image(self.paths[index], alpha=self.alpha), {"label": self.targets[index]}

    def undecoded(self, index: int) -> Sample:
        """The sample, with JPEG files as an undecoded `Jpeg`, for transforms that decode it themselves."""
        return open_image(self.paths[index], alpha=self.alpha), {"label": self.targets[index]}

    def origin(self, index: int) -> Origin:
        """The file and the class of a sample, for its fingerprint."""
        return (self.paths[index],), self.class_names[self.targets[index]].encode("utf-8", "surrogateescape")

    def subset(self, indices: Iterable[int]) -> Self:
        """The samples with these indices, in that order, with the same classes."""
        chosen = list(indices)
        return self._with([self.paths[i] for i in chosen], [self.targets[i] for i in chosen], self.class_names)

    def with_classes(self, class_names: Sequence[str]) -> Self:
        """The same samples, with the labels of other classes, which all of theirs are among, by their names."""
        label_of = {name: label for label, name in enumerate(class_names)}
        labels = [label_of[name] for name in self.class_names]
        return self._with(self.paths, [labels[target] for target in self.targets], class_names)

    def renamed(self, names: Mapping[str, str]) -> Self:
        """The same samples, with classes renamed by the mapping `names`; other classes keep their names."""
        return self._with(self.paths, self.targets, [names.get(name, name) for name in self.class_names])

    def _with(self, paths: Sequence[str], targets: Sequence[Any], class_names: Sequence[str]) -> Self:
        changed = copy.copy(self)
        changed.paths, changed.targets, changed.class_names = list(paths), list(targets), list(class_names)
        return changed


class ReadFiles(Dataset[Sample]):
    """Files without annotations, as pairs `(read(path), {})`; `read` raises `BadImage` for a broken file."""

    def __init__(self, paths: Sequence[str | Path], read: Callable[[str | Path], Any] = read_image) -> None:
        self.paths, self.read = list(paths), read

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        return self.read(self.paths[index]), {}


class ImageFolder(ImageFiles):
    """A folder with one subfolder per class; images may be at any depth below.

    Hidden files and folders are ignored, as are files whose extension is not in `EXTENSIONS` (in upper or lower case).

    Args:
        root: the folder.
        class_names: the classes in order; by default all subfolders in alphabetical order.
        complete: whether each class has to have images.

    Raises:
        InputError: there is no such folder, it has no class folders, one of them has no images, or it has others.
    """

    def __init__(self, root: str | Path, class_names: Sequence[str] | None = None, *, complete: bool = True) -> None:
        self.root = Path(root)
        folders = class_folders(self.root)
        names = [folder.name for folder in folders] if class_names is None else list(class_names)
        if others := [folder.name for folder in folders if folder.name not in names]:
            raise InputError(
                f"The folder {root} has the class folders {listed(others)}, which the training images do not have "
                f"(their classes are {listed(names)}): remove them, or rename them."
            )
        files = {folder.name: sorted(_walk(folder)) for folder in folders}
        empty = [name for name, found in files.items() if not found]
        if len(empty) == len(files) or (empty and complete):
            folder, kind = (self.root / empty[0], "class folder") if len(empty) < len(files) else (self.root, "folder")
            other = next(walk(folder), None)
            task = (
                f", or, since it has files such as {Path(other).name}, name the task that reads {root}" if other else ""
            )
            raise InputError(
                f"The {kind} {folder} has no images: add some ({', '.join(EXTENSIONS)}) or remove it{task}."
            )
        super().__init__(
            [path for name in names for path in files.get(name, ())],
            [label for label, name in enumerate(names) for _ in files.get(name, ())],
            names,
        )


def class_folders(root: Path) -> list[Path]:
    """The folders of the classes in a folder, in alphabetical order; raises `InputError` if there are none."""
    if not root.is_dir():
        raise InputError(f"There is no folder {root}: give one that has a folder of images for each class.")
    folders = subfolders(root)
    if not folders:
        found = "has images but no class folders" if any(_walk(root)) else "has no class folders"
        raise InputError(f"The folder {root} {found}: put the images of each class into a folder of their own.")
    if {folder.name.lower() for folder in folders} in NO_CLASSES:
        raise InputError(
            f"The folders {listed([folder.name for folder in folders])} of {root} seem to be images and their labels, "
            "not classes: name the task that reads them, or rename the folders."
        )
    real: dict[Path, Path] = {}
    for folder in folders:
        if (same := real.setdefault(folder.resolve(), folder)) != folder:
            raise InputError(f"The class folders {same} and {folder} are one, by a link: remove one of them.")
    return folders


def natural_key(name: str) -> list[tuple[int, str]]:
    """A key that sorts names by the numbers in them, such as 2 before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def list_images(path: str | Path) -> list[Path]:
    """List images: a file itself, whatever its extension, or all images below a folder, sorted.

    Raises:
        InputError: nothing is there.
    """
    return list_files(path, EXTENSIONS, "an image", "images")


def list_files(path: str | Path, endings: tuple[str, ...], one: str, many: str) -> list[Path]:
    """List files: a file itself, whatever its extension, or all files below a folder with a given ending, sorted.

    The endings are in lower case, and those of files in any. Hidden files and folders are ignored. Messages call a file
    `one`, such as "an image", and several `many`.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        lacking = f"{path} is neither a file nor a folder" if path.exists() else f"There is no file or folder {path}"
        raise InputError(f"{lacking}: give {one} or a folder of {many}.")
    found = files_below(path, endings)
    if not found:
        raise InputError(f"The folder {path} has no {many}: known endings are {', '.join(endings)}.")
    return found


def files_below(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """The files below a folder with a given ending, as `list_files` lists them; there may be none."""
    return [Path(name) for name in sorted(_walk(folder, endings))]


def enlargement_note(samples: Any, size: int) -> str:
    """A sentence on images that are enlarged before a network sees them; an empty string if they are not.

    Looks at the headers of up to 25 evenly spaced files of a data set, and compares the median of their shorter sides
    with `size`, in pixels. Data sets without files have no note.
    """
    paths = getattr(samples, "paths", ())
    sides = []
    for path in paths[:: max(1, len(paths) // LOOKED_AT)]:
        with contextlib.suppress(BadImage):  # it is reported when it is read
            sides.append(min(image_size(path)))
    if not sides or (usual := int(statistics.median(sides))) >= size:
        return ""
    advice = f": --size {usual} keeps their size, and is faster" if usual >= SMALLEST_SIZE else ""
    return f"The shorter side of the images is about {usual} pixels, and is enlarged to {size}{advice}."


def _walk(folder: Path, endings: tuple[str, ...] = EXTENSIONS) -> Iterator[str]:
    """Yield the files that `walk` finds and that have one of the endings."""
    return (path for path in walk(folder) if path.lower().endswith(endings))
