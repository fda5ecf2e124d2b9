"""Folders of images with their roads.

`images` holds images, and `graphs` for each a graph of the same name (`res2net.tasks.roads.data.files`), or `masks` an
image of the same name and size whose pixels are not black where roads are. With both, the graph is the ground
truth, and the road map is learnt from the mask; with masks alone the graph is the mask's thinned lines. Where the root
has folders `train` and `val` with these in them, the data are split; else they are split by a seed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import Dataset

from res2net.errors import InputError
from res2net.images.decode import EXTENSIONS, BadImage, image_header, image_size, read_turned
from res2net.images.samples import Sample
from res2net.images.sources import DataSettings, DataSource
from res2net.images.splits import hashed_split
from res2net.tasks.pixels.formats.codings import turned
from res2net.tasks.pixels.formats.images import size_fault
from res2net.tasks.roads.data.files import ENDINGS, read_graph
from res2net.tasks.roads.data.graph import RoadGraph
from res2net.tasks.roads.data.skeleton import graph_of_mask

__all__ = ["ROAD_CLASSES", "RoadFiles", "open_roads", "read_roads"]

ROAD_CLASSES = ("road",)
"""The only class."""
HOW = "a folder with the folders images and graphs (or masks)"


class RoadFiles(Dataset[Sample]):
    """Images with their `graph`, and `mask` `(H, W)` bool where there are masks.

    Args:
        images: their paths.
        graphs: the path of each graph, or None where the masks make them.
        masks: the path of each mask, or None.
    """

    def __init__(self, images: list[Path], graphs: list[Path] | None, masks: list[Path] | None) -> None:
        self.paths, self.graphs, self.masks = images, graphs, masks

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        """The sample; `InputError` where its roads cannot be read, `BadImage` where its image cannot."""
        image, orientation = read_turned(self.paths[index])
        target: dict[str, object] = {}
        if self.masks is not None:
            target["mask"] = read_mask(self.masks[index], image, orientation)
        target["graph"] = self.graph(index) if self.graphs is not None else graph_of_mask(target["mask"])  # type: ignore[arg-type]
        return image, target

    def graph(self, index: int) -> RoadGraph:
        """The graph in the file of an image."""
        assert self.graphs is not None
        return read_graph(self.graphs[index])

    def subset(self, indices: Iterable[int]) -> RoadFiles:
        """The samples of these indices."""
        chosen = list(indices)
        graphs, masks = (None if one is None else [one[i] for i in chosen] for one in (self.graphs, self.masks))
        return RoadFiles([self.paths[i] for i in chosen], graphs, masks)


def open_roads(
    root: str | Path, *, val_fraction: float = 0.2, seed: int = 0, bad_images: str = "stop"
) -> tuple[RoadFiles, RoadFiles]:
    """The training and the validation images of a folder; all graphs and the headers of all images are read.

    Args:
        root: of the folder.
        val_fraction: share of the validation where the folder is not split.
        seed: of that split.
        bad_images: an image that cannot be read: "stop" raises `BadImage`, "skip" keeps it, for whoever reads it to
            skip and to report.

    Raises:
        InputError: it is no such folder, something in it has no counterpart or another size, or roads cannot be read.
    """
    root = Path(root)
    if (root / "train").is_dir() and (root / "val").is_dir():
        splits = files_of(root / "train"), files_of(root / "val")
        for split in splits:
            check(split, bad_images)
        return splits
    files = files_of(root)
    check(files, bad_images)
    if len(files) < 2:
        raise InputError(f"{root} has 1 image, and a split needs two: add images, or folders train and val.")
    train, val = hashed_split([path.name for path in files.paths], val_fraction, seed)
    return files.subset(train), files.subset(val)


def read_roads(path: Path, labels: tuple[str, ...], settings: DataSettings) -> DataSource:
    """Read the folder at a path into a source of roads, as `open_roads` does."""
    train, val = open_roads(
        path, val_fraction=settings.val_fraction, seed=settings.seed, bad_images=settings.bad_images
    )
    return DataSource(path.absolute().name, train, val, ROAD_CLASSES)


def check(files: RoadFiles, bad_images: str) -> None:
    """`InputError` where the files do not fit each other."""
    roads = inside = 0
    for index, path in enumerate(files.paths):
        try:
            (height, width), orientation = image_header(path)
        except BadImage:
            if bad_images == "stop":
                raise
            continue
        if files.masks is not None:
            check_size(files.masks[index], image_size(files.masks[index]), (height, width), orientation)
        if files.graphs is not None:
            points = files.graph(index).points
            roads += len(points)
            inside += int(((points >= 0) & (points <= (width, height))).all(1).sum())
    if roads and not inside:
        raise InputError(
            f"No road of {files.graphs[0].parent if files.graphs else ''} lies on its image: give coordinates in "
            "pixels of the image, x to the right and y down from its upper left corner."
        )


def files_of(folder: Path) -> RoadFiles:
    """The images of a folder with their graphs and masks."""
    if not (folder / "images").is_dir():
        raise InputError(f"{folder} has no images of roads: give {HOW}.")
    images = found(folder / "images", EXTENSIONS)
    beside = {name: (folder / name).is_dir() for name in ("graphs", "masks")}
    if not images or not any(beside.values()):
        raise InputError(f"{folder} has no {'images' if not images else 'graphs and no masks'}: give {HOW}.")
    graphs = matching(images, folder / "graphs", ENDINGS) if beside["graphs"] else None
    masks = matching(images, folder / "masks", EXTENSIONS) if beside["masks"] else None
    return RoadFiles(images, graphs, masks)


def found(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """The files of a folder that have one of the endings, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in endings and not path.name.startswith("."))


def matching(images: list[Path], folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """The file of each image's name in a folder."""
    there = {path.stem: path for path in found(folder, endings)}
    for image in images:
        if image.stem not in there:
            raise InputError(f"{image} has no counterpart in {folder}: add {image.stem}{endings[0]}, or remove it.")
    return [there[image.stem] for image in images]


def read_mask(path: Path, image: Image.Image, orientation: int) -> NDArray[np.bool_]:
    """Where roads are, `(H, W)`: turned as its image was, by that orientation of EXIF, or by its own."""
    mask, own = read_turned(path)
    size = image.height, image.width
    check_size(path, (mask.height, mask.width), size, orientation)
    return turned(np.asarray(mask).max(-1) > 0, orientation if own == 1 else 1, size)


def check_size(path: Path, found: tuple[int, int], size: tuple[int, int], orientation: int) -> None:
    """`InputError` unless a mask has the size (H, W) of its upright image, or that of its file."""
    if found != size and (orientation < 5 or found[::-1] != size):
        raise InputError(f"The mask {path} does not fit: {size_fault(found, size)}.")
