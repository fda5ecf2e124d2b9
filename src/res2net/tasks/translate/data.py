"""Pairs of images, one to be made of the other: folders A and B with the same names, or images side by side.

The layouts are those of pix2pix (Isola et al., CVPR 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from res2net.errors import InputError, check_choice
from res2net.images.decode import EXTENSIONS, BadImage, image_size, read_image
from res2net.images.faults import BAD_ANNOTATIONS
from res2net.images.folder import list_images
from res2net.images.samples import FileSamples, Sample, Samples
from res2net.images.sources import DataSource
from res2net.images.splits import WHOLE, DataSettings, choose_splits, hashed_split, subset_of
from res2net.images.transforms import Normalise
from res2net.weights.records import Preprocessing

PAIR_NAMES = ("image",)
"""The entry of a target, which stands for the names of classes, too."""
Pair = tuple[str, str | None]
"""The files of an image and of what is to be made of it; None where both are in the first, side by side."""


class ImagePairs(FileSamples):
    """Images, and in the target what is to be made of each: `(PIL.Image, {"image": PIL.Image})`, of one size.

    A pair that cannot be read, or whose sizes differ, raises `BadImage`.
    """

    def __getitem__(self, index: int) -> Sample:
        path, other = self.files[index]
        image = read_image(path)
        made = None if other is None else read_image(other)
        _check_fit(path, image.size, other, None if made is None else made.size)
        if made is None:
            middle = image.width // 2
            left, right = ((0, 0, middle, image.height), (middle, 0, image.width, image.height))
            return image.crop(left), {"image": image.crop(right)}
        return image, {"image": made}


def read_pairs(path: Path, labels: tuple[str, ...], settings: DataSettings) -> DataSource:
    """Read a folder of pairs; only the headers of images are read.

    It has folders `A` and `B` with the same names of images (endings may differ), or images that are two side by
    side; or folders `train` and `val` (or `test`) of these, or `A` and `B` have them.
    """
    check_choice("bad_annotations", settings.bad_annotations, BAD_ANNOTATIONS)
    if not path.is_dir():
        raise InputError(f"{path} is a file: give a folder with folders A and B, or with images side by side.")
    found = {name: pairs for name in ("train", "val", "test") if (pairs := _found(path, name, settings))}
    found = found or {WHOLE: _found(path, WHOLE, settings)}
    if not any(found.values()):
        raise InputError(
            f"{path} has no pairs of images: give folders A and B with images of the same names, or images that are "
            "two side by side."
        )
    choice = choose_splits(found, settings, path)
    train, val, about = choice.arrange(
        {name: _checked(found[name], settings) for name in choice.names},
        lambda pairs: hashed_split(
            [Path(one).relative_to(path).as_posix() for one in pairs.paths], settings.val_fraction, settings.seed
        ),
        "pairs of images",
    )
    return DataSource(path.absolute().name, train, val, PAIR_NAMES, val_about=about)


def _checked(pairs: Sequence[Pair], settings: DataSettings) -> ImagePairs:
    """The pairs whose images have one size, by their headers."""
    kept = []
    for path, other in pairs:
        try:
            size, size_of_other = image_size(path)[::-1], None if other is None else image_size(other)[::-1]
        except BadImage:
            if settings.bad_images == "stop":
                raise
        else:
            try:
                _check_fit(path, size, other, size_of_other)
            except BadImage:
                if settings.bad_annotations == "stop":
                    raise
                continue
        kept.append((path, other))
    return ImagePairs(kept)


def _check_fit(path: str, size: tuple[int, int], other: str | None, size_of_other: tuple[int, int] | None) -> None:
    """`BadImage` unless two images have one size (width, height), or one can be halved."""
    if size_of_other is None:
        if size[0] % 2:
            raise BadImage.at(path, f"it is {size[0]} pixels wide, and two images side by side are even")
    elif size_of_other != size:
        assert other is not None
        made, seen = (f"{width} x {height}" for width, height in (size_of_other, size))
        raise BadImage.at(other, f"it has {made} pixels, and its partner {seen}")


def _found(root: Path, split: str, settings: DataSettings) -> list[Pair]:
    """The pairs of a split, or with an empty name of what is not split."""
    for first, second in ((root / split / "A", root / split / "B"), (root / "A" / split, root / "B" / split)):
        if first.is_dir() and second.is_dir():
            return _named_alike(first, second, settings)
    folder = root / split
    if not folder.is_dir() or not any(one.suffix.lower() in EXTENSIONS for one in folder.iterdir()):
        return []
    return [(str(one), None) for one in list_images(folder)]


def _named_alike(first: Path, second: Path, settings: DataSettings) -> list[Pair]:
    files = [
        {one.relative_to(folder).with_suffix("").as_posix(): str(one) for one in list_images(folder)}
        for folder in (first, second)
    ]
    alone = sorted(files[0].keys() ^ files[1].keys())
    if alone and settings.bad_annotations == "stop":
        has, lacks = (first, second) if alone[0] in files[0] else (second, first)
        more = f", as {len(alone) - 1} others" if len(alone) > 1 else ""
        raise InputError(
            f"The image {alone[0]} of {has} has no partner in {lacks}{more}: give each one of the same name, "
            "or leave these out by --bad-annotations skip."
        )
    return [(path, files[1][name]) for name, path in files[0].items() if name in files[1]]


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
