"""Pairs of images, one to be made of the other: folders A and B with the same names, or images side by side.

The layouts are those of pix2pix (Isola et al., CVPR 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from res2net.errors import InputError
from res2net.files import files_in, subfolders
from res2net.images.decode import EXTENSIONS, BadImage, image_header, read_turned
from res2net.images.faults import AnnotationReport
from res2net.images.folder import files_below, list_images
from res2net.images.samples import FileSamples, Sample, Samples
from res2net.images.sources import DataSource
from res2net.images.splits import (
    WHOLE,
    DataSettings,
    choose_splits,
    folders_of_splits,
    hashed_split,
    role_of,
    stated_splits,
    subset_of,
)
from res2net.images.transforms import Normalise
from res2net.tasks.pixels.formats.codings import Turning
from res2net.weights.records import Preprocessing

PAIR_NAMES = ("image",)
"""The entry of a target, which stands for the names of classes, too."""
Pair = tuple[str, str | None]
"""The files of an image and of what is to be made of it; None where both are in the first, side by side."""


class ImagePairs(FileSamples):
    """Images, and in the target what is to be made of each: `(PIL.Image, {"image": PIL.Image})`, of one size.

    A pair that cannot be read, or whose sizes differ, raises `BadImage`.
    """

    def __init__(self, files: Sequence[Pair], turning: Turning | None = None) -> None:
        super().__init__(files)
        self.turning = turning or Turning()

    def __getitem__(self, index: int) -> Sample:
        path, other = self.files[index]
        image, orientation = read_turned(path)
        if other is None:
            _check_even(path, image.width)
            middle = image.width // 2
            left, right = ((0, 0, middle, image.height), (middle, 0, image.width, image.height))
            return image.crop(left), {"image": image.crop(right)}
        made, own = read_turned(other)
        # An image without an orientation may have lost that of its partner when it was made.
        if own == 1:
            made = self._turned(made, orientation, image)
        elif orientation == 1:
            image = self._turned(image, own, made)
        _check_sizes(other, made.size, image.size)
        return image, {"image": made}

    def _turned(self, image: Image.Image, orientation: int, partner: Image.Image) -> Image.Image:
        if orientation == 1:
            return image
        size = partner.height, partner.width
        return Image.fromarray(self.turning.apply(np.asarray(image), 1, orientation, size))


def read_pairs(path: Path, labels: tuple[str, ...], settings: DataSettings) -> DataSource:
    """Read a folder of pairs; only the headers of images are read.

    It has folders `A` and `B` with the same names of images (endings may differ), or images that are two side by
    side; or a folder of these for each split, or `A` and `B` have them, or there are folders such as `trainA` and
    `trainB`.
    """
    if not path.is_dir():
        raise InputError(f"{path} is a file: give a folder with folders A and B, or with images side by side.")
    report = AnnotationReport(path)
    splits = find_pair_splits(path, report)
    if not splits:
        raise InputError(
            f"{path} has no pairs of images: give folders A and B with images of the same names, or images that are "
            "two side by side."
        )
    choice = choose_splits(splits, settings, path)
    pairs = {name: list_pairs(splits[name], report) for name in choice.names}
    turning = Turning()
    keep = settings.bad_images == "skip"
    good = {name: checked_pairs(found, report, turning, keep_unreadable=keep) for name, found in pairs.items()}
    report.enforce(settings.bad_annotations)
    report.remark(turning.note("their partners"))
    if any(other is None for found in pairs.values() for _, other in found):
        report.remark(f"Each image of {path} is taken for two side by side: the right half is made of the left one.")
    train, val, about = choice.arrange(
        good,
        lambda pairs: hashed_split(
            [Path(one).relative_to(path).as_posix() for one in pairs.paths], settings.val_fraction, settings.seed
        ),
        "pairs of images",
    )
    return DataSource(path.absolute().name, train, val, PAIR_NAMES, val_about=about, notes=report.remarks)


Folders = tuple[Path, Path | None] | None
"""The folders of images and of what is to be made of them; None where both are side by side in one image.

A split that is stated but has no pairs has no folders: None.
"""


def find_pair_splits(root: Path, report: AnnotationReport) -> dict[str, Folders]:
    """The folders of each split, or of `WHOLE`; empty if there are none."""
    both = folders_of_splits(root, ("a", "b"), lambda folders: len(folders) == 2, report)
    splits: dict[str, Folders] = {
        name: (folders["a"], folders["b"]) if folders else None for name, folders in both.items()
    }
    if splits:
        return splits
    inside = {folder.name: folder for folder in subfolders(root)}
    for name, folder in inside.items():
        if name.endswith("A") and (partner := inside.get(f"{name[:-1]}B")):
            splits[name[:-1].rstrip("_-")] = folder, partner
    splits = splits or {name: (one, None) for name, one in inside.items() if role_of(name) and _has_images(one)}
    if not splits:
        return {WHOLE: (root, None)} if _has_images(root) else {}
    return splits | dict.fromkeys(stated_splits(inside.values(), splits, report))


def _has_images(folder: Path) -> bool:
    return bool(files_in(folder, EXTENSIONS))


def list_pairs(folders: Folders, report: AnnotationReport) -> list[Pair]:
    """The pairs of a split; images without a partner are faults."""
    if folders is None:
        return []
    first, second = folders
    if second is None:
        return [(str(one), None) for one in list_images(first)]
    files = [
        {one.relative_to(folder).with_suffix("").as_posix(): str(one) for one in files_below(folder, EXTENSIONS)}
        for folder in (first, second)
    ]
    for name in sorted(files[0].keys() ^ files[1].keys()):
        has, lacks = (0, second) if name in files[0] else (1, first)
        report.add("missing partner", files[has][name], f"there is no {name} in {lacks}")
    return [(path, files[1][name]) for name, path in files[0].items() if name in files[1]]


def checked_pairs(
    pairs: Sequence[Pair], report: AnnotationReport, turning: Turning, *, keep_unreadable: bool = False
) -> ImagePairs:
    """The pairs whose images have one size, by their headers; faults are added to the report.

    Images that cannot be read are faults, or are kept if `keep_unreadable`, and reported when they are used.
    """
    kept = []
    for path, other in pairs:
        try:
            size, orientation = image_header(path)
            size_of_other, own = ((0, 0), 1) if other is None else image_header(other)
        except BadImage as error:
            if report.keeps(error, keep_unreadable):
                kept.append((path, other))
            continue
        try:
            if other is None:
                _check_even(path, size[1])
            elif (own == 1) == (orientation == 1):
                _check_sizes(other, size_of_other[::-1], size[::-1])
            else:  # one of them may have lost the orientation
                turned, plain, turn = (size, size_of_other, orientation) if own == 1 else (size_of_other, size, own)
                if not turning.add(turned, turn, (plain, 1)):
                    _check_sizes(other, size_of_other[::-1], size[::-1])
        except BadImage as error:
            report.add("wrong size", error.path, error.reason)
        else:
            kept.append((path, other))
    return ImagePairs(kept, turning)


def _check_even(path: str, width: int) -> None:
    if width % 2:
        raise BadImage.at(path, f"it is {width} pixels wide, and two images side by side are even")


def _check_sizes(path: str, size: tuple[int, int], other: tuple[int, int]) -> None:
    """`BadImage` unless two images have one size (width, height)."""
    if size != other:
        made, seen = (f"{width} x {height}" for width, height in (size, other))
        raise BadImage.at(path, f"it has {made} pixels, and its partner {seen}")


class PairTransform:
    """Resizes, crops and mirrors both images of a training pair alike, as in pix2pix; `image` gets values from 0 to 1.

    Pairs are resized to `enlarge` times the height and width `size`, to which they are then cropped.
    """

    def __init__(
        self, preprocessing: Preprocessing, size: tuple[int, int], *, enlarge: float = 1.0, flip: float = 0.0
    ) -> None:
        large = [round(enlarge * side) for side in size]
        self.both = v2.Compose(
            [
                v2.ToImage(),
                v2.Resize(large, interpolation=v2.InterpolationMode(preprocessing.interpolation)),
                v2.RandomCrop(size),
                v2.RandomHorizontalFlip(flip),
            ]
        )
        self.normalise = Normalise(preprocessing)

    def __call__(self, image: Any, target: dict[str, Any]) -> Sample:
        """Transform an image and its target."""
        seen, made = self.both(image, target["image"])
        return self.normalise(seen), target | {"image": unit(made)}


def unit(image: Any) -> Tensor:
    """An image of any kind as floats 0 ... 1, `(C, H, W)`."""
    return v2.functional.to_dtype(v2.functional.to_image(image), scale=True).as_subclass(Tensor)


class Backwards(Dataset[Sample]):
    """Pairs in the other direction: the first image is to be made of the second, the `image` of the target."""

    def __init__(self, pairs: Samples) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        image, target = self.pairs[index]
        return target["image"], target | {"image": image}

    @property
    def reads_files(self) -> bool:
        """Whether the pairs are read from files."""
        return getattr(self.pairs, "reads_files", False)

    @property
    def paths(self) -> list[str]:
        """The files of the images; `AttributeError` for pairs of no files."""
        if not isinstance(self.pairs, ImagePairs):
            raise AttributeError("these pairs have no files")
        return [other or path for path, other in self.pairs.files]

    def subset(self, indices: Sequence[int]) -> Backwards:
        """The pairs with these indices, in that order."""
        return Backwards(subset_of(self.pairs, indices))
