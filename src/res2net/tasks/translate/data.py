"""Pairs of images, one to be made of the other: folders A and B with the same names, or images side by side.

The layouts are those of pix2pix (Isola et al., CVPR 2017).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from res2net.errors import InputError, check_choice
from res2net.images.decode import EXTENSIONS, BadImage, image_size, read_image
from res2net.images.faults import BAD_ANNOTATIONS
from res2net.images.folder import hashed_split, list_images
from res2net.images.samples import Sample, Samples
from res2net.images.sources import DataSettings, DataSource, subset_of
from res2net.images.transforms import Normalise
from res2net.weights.records import Preprocessing

__all__ = ["PAIR_NAMES", "Backwards", "ImagePairs", "PairTransform", "open_pairs", "read_pairs", "unit"]

PAIR_NAMES = ("image",)
"""The entry of a target, which stands for the names of classes, too."""
VALIDATION = ("val", "test")
"""Folders of the validation, the first of which that exists counts."""

Pair = tuple[str, str | None]
"""The files of an image and of what is to be made of it; None where both are in the first, side by side."""


class ImagePairs(Dataset[Sample]):
    """Images, and in the target what is to be made of each: `(PIL.Image, {"image": PIL.Image})`, of one size.

    A pair that cannot be read, or whose sizes differ, raises `BadImage`.

    Args:
        pairs: files of each.
    """

    reads_files = True

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = list(pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        path, other = self.pairs[index]
        image = read_image(path)
        made = None if other is None else read_image(other)
        _check_fit(path, image.size, other, None if made is None else made.size)
        if made is None:
            middle = image.width // 2
            left, right = ((0, 0, middle, image.height), (middle, 0, image.width, image.height))
            return image.crop(left), {"image": image.crop(right)}
        return image, {"image": made}

    @property
    def paths(self) -> list[str]:
        """The files of the images."""
        return [path for path, _ in self.pairs]

    def subset(self, indices: Iterable[int]) -> ImagePairs:
        """The pairs of these indices, in their order."""
        return ImagePairs([self.pairs[index] for index in indices])


def open_pairs(
    path: Path,
    *,
    val_fraction: float = 0.2,
    seed: int = 0,
    bad_annotations: str = "stop",
    bad_images: str = "stop",
) -> tuple[ImagePairs, ImagePairs]:
    """The training and the validation pairs of a folder.

    It has folders `A` and `B` with the same names of images (endings may differ), or images that are two side by
    side; or folders `train` and `val` (or `test`) of these, or `A` and `B` have them.

    Args:
        path: of the folder.
        val_fraction: share of the validation where there is no such split.
        seed: of that split.
        bad_annotations: an image without a partner, or with one of another size: "stop" raises `InputError`, "skip"
            leaves it out.
        bad_images: an image that cannot be read: "stop" raises `BadImage`, "skip" keeps it, for whoever reads it to
            skip and to report. Here only headers are read.

    Raises:
        InputError: there are no pairs, or images without a partner of their size.
    """
    check_choice("Treatment of bad annotations", bad_annotations, BAD_ANNOTATIONS)
    if not path.is_dir():
        raise InputError(f"{path} is a file: give a folder with folders A and B, or with images side by side.")
    train = _found(path, "train", bad_annotations)
    if train:
        val = next((found for name in VALIDATION if (found := _found(path, name, bad_annotations))), [])
        if not val:
            raise InputError(f"{path} has a folder train, and none to validate on: add one of the name val.")
        return _checked(train, bad_annotations, bad_images), _checked(val, bad_annotations, bad_images)
    pairs = _checked(_found(path, "", bad_annotations), bad_annotations, bad_images)
    if len(pairs) < 2:
        raise InputError(
            f"{path} has {len(pairs)} pairs of images, and a split needs two: give folders A and B with images of "
            "the same names, or images that are two side by side."
        )
    names = [Path(one).relative_to(path).as_posix() for one in pairs.paths]
    chosen, kept = hashed_split(names, val_fraction, seed)
    return pairs.subset(chosen), pairs.subset(kept)


def read_pairs(path: Path, labels: tuple[str, ...], settings: DataSettings) -> DataSource:
    """Read the folder at a path into a source of pairs, as `open_pairs` does."""
    train, val = open_pairs(
        path,
        val_fraction=settings.val_fraction,
        seed=settings.seed,
        bad_annotations=settings.bad_annotations,
        bad_images=settings.bad_images,
    )
    return DataSource(path.absolute().name, train, val, PAIR_NAMES)


def _checked(pairs: Sequence[Pair], bad_annotations: str, bad_images: str) -> ImagePairs:
    """The pairs whose images have one size, by their headers."""
    kept = []
    for path, other in pairs:
        try:
            sizes = [None if one is None else image_size(one)[::-1] for one in (path, other)]
        except BadImage:
            if bad_images == "stop":
                raise
            kept.append((path, other))
            continue
        assert sizes[0] is not None
        try:
            _check_fit(path, sizes[0], other, sizes[1])
        except BadImage:
            if bad_annotations == "stop":
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


def _found(root: Path, split: str, bad_annotations: str) -> list[Pair]:
    """The pairs of a split, or with an empty name of what is not split."""
    for first, second in ((root / split / "A", root / split / "B"), (root / "A" / split, root / "B" / split)):
        if first.is_dir() and second.is_dir():
            return _named_alike(first, second, bad_annotations)
    folder = root / split
    if not folder.is_dir() or not any(one.suffix.lower() in EXTENSIONS for one in folder.iterdir()):
        return []
    return [(str(one), None) for one in list_images(folder)]


def _named_alike(first: Path, second: Path, bad_annotations: str) -> list[Pair]:
    files = [{_stem(one, folder): str(one) for one in list_images(folder)} for folder in (first, second)]
    alone = sorted(files[0].keys() ^ files[1].keys())
    if alone and bad_annotations == "stop":
        has, lacks = (first, second) if alone[0] in files[0] else (second, first)
        more = f", as {len(alone) - 1} others" if len(alone) > 1 else ""
        raise InputError(
            f"The image {alone[0]} of {has} has no partner in {lacks}{more}: give each one of the same name, "
            "or leave these out by --bad-annotations skip."
        )
    return [(path, files[1][name]) for name, path in files[0].items() if name in files[1]]


def _stem(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


class PairTransform:
    """Prepares both images of a training pair alike, of which `image` becomes float 0 ... 1.

    As in pix2pix, a pair is resized to a size somewhat larger than what is seen of it, cut at random, and mirrored.

    Args:
        preprocessing: of the network; it normalises the image that is seen.
        size: height and width of what is seen.
        enlarge: factor of that to which pairs are resized before they are cut; 1 cuts nothing off.
        flip: probability of a horizontal flip.
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
    """Pairs in which the first image is to be made of the second.

    Args:
        pairs: samples with `image` in their targets.
    """

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
        return [other or path for path, other in self.pairs.pairs]

    def subset(self, indices: Sequence[int]) -> Backwards:
        """The pairs of these indices, in their order."""
        return Backwards(subset_of(self.pairs, indices))
