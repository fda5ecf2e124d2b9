"""Folders of images with their roads, and the files of graphs.

`images` holds images, and `graphs` for each a graph of the same name (see `read_graph`), or `masks` an image of the
same name and size whose pixels are not black where roads are. With both, the graph is the ground truth, and the road
map is learnt from the mask; with masks alone the graph is the mask's thinned lines. Where the root has folders `train`
and `val` with these in them, the data are split; else they are split by a seed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from res2net.errors import InputError
from res2net.files import read_text
from res2net.images.decode import EXTENSIONS, BadImage, image_header, image_size, read_turned
from res2net.images.samples import FileSamples, Sample
from res2net.images.sources import DataSource
from res2net.images.splits import WHOLE, DataSettings, choose_splits, hashed_split
from res2net.tasks.pixels.formats.codings import Turning
from res2net.tasks.pixels.formats.images import size_fault
from res2net.tasks.roads.graph import RoadGraph, graph_of_mask

ROAD_CLASSES = ("road",)
HOW = "a folder with the folders images and graphs (or masks)"
ENDINGS = (".json", ".geojson", ".graph")
"""The endings of the files that are read."""
FARTHEST = 10_000_000
"""Largest coordinate of a node, pixels."""


class RoadFiles(FileSamples):
    """Images with their `graph`, and `mask` `(H, W)` bool where there are masks.

    The files are those of an image, of its graph (None to make it from the mask), and of its mask (or None).
    """

    def __getitem__(self, index: int) -> Sample:
        path, graph, mask = self.files[index]
        image, orientation = read_turned(path)
        target: dict[str, Any] = {} if mask is None else {"mask": read_mask(mask, image, orientation)}
        target["graph"] = graph_of_mask(target["mask"]) if graph is None else read_graph(graph)
        return image, target


def read_roads(path: Path, labels: tuple[str, ...], settings: DataSettings) -> DataSource:
    """Read a folder of images with their roads; all graphs and the headers of all images are read."""
    split = (path / "train").is_dir() and (path / "val").is_dir()
    folders = {name: path / name for name in (("train", "val") if split else (WHOLE,))}
    choice = choose_splits(folders, settings, path)
    splits = {name: files_of(folders[name]) for name in choice.names}
    for files in splits.values():
        check(files, settings.bad_images)
    train, val, about = choice.arrange(
        splits, lambda files: hashed_split([image.name for image in files.paths], settings.val_fraction, settings.seed)
    )
    return DataSource(path.absolute().name, train, val, ROAD_CLASSES, val_about=about)


def check(files: RoadFiles, bad_images: str) -> None:
    """Raise `InputError` if the files of a split do not fit each other."""
    roads = inside = 0
    for path, graph, mask in files.files:
        try:
            (height, width), orientation = image_header(path)
        except BadImage:
            if bad_images == "stop":
                raise
            continue
        if mask is not None:
            check_size(mask, image_size(mask), (height, width), orientation)
        if graph is not None:
            points = read_graph(graph).points
            roads += len(points)
            inside += int(((points >= 0) & (points <= (width, height))).all(1).sum())
    if roads and not inside:
        raise InputError(
            f"No road of {files.paths[0].parents[1] / 'graphs'} lies on its image: give coordinates in pixels of the "
            "image, x to the right and y down from its upper left corner."
        )


def files_of(folder: Path) -> RoadFiles:
    """The images of a folder with their graphs and masks."""
    if not (folder / "images").is_dir():
        raise InputError(f"{folder} has no images of roads: give {HOW}.")
    images = found(folder / "images", EXTENSIONS)
    beside = {"graphs": ENDINGS, "masks": EXTENSIONS}
    if not images or not any((folder / name).is_dir() for name in beside):
        raise InputError(f"{folder} has no {'images' if not images else 'graphs and no masks'}: give {HOW}.")
    graphs, masks = (matching(images, folder / name, endings) for name, endings in beside.items())
    return RoadFiles(list(zip(images, graphs, masks, strict=True)))


def found(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """The files of a folder that have one of the endings, by name."""
    there = (path for path in folder.iterdir() if path.suffix.lower() in endings and not path.name.startswith("."))
    return sorted(path for path in there if path.is_file())


def matching(images: list[Path], folder: Path, endings: tuple[str, ...]) -> Sequence[Path | None]:
    """The file of each image's name in a folder; None for each if there is no such folder."""
    if not folder.is_dir():
        return [None] * len(images)
    there = {path.stem: path for path in found(folder, endings)}
    for image in images:
        if image.stem not in there:
            raise InputError(f"{image} has no counterpart in {folder}: add {image.stem}{endings[0]}, or remove it.")
    return [there[image.stem] for image in images]


def read_mask(path: Path, image: Image.Image, orientation: int) -> NDArray[np.bool_]:
    """Read a mask of roads, `(H, W)`, rotated by the EXIF orientation of its image, or by its own."""
    mask, own = read_turned(path)
    size = image.height, image.width
    check_size(path, (mask.height, mask.width), size, orientation)
    return Turning().apply(np.asarray(mask).max(-1) > 0, 1, orientation if own == 1 else 1, size)


def check_size(path: Path, found: tuple[int, int], size: tuple[int, int], orientation: int) -> None:
    """Raise `InputError` unless a mask has the size (H, W) of its upright image, or that of its file."""
    if found != size and (orientation < 5 or found[::-1] != size):
        raise InputError(f"The mask {path} does not fit: {size_fault(found, size)}.")


def nodes_and_edges(graph: RoadGraph) -> dict[str, Any]:
    """`{"nodes": [[x, y], ...], "edges": [[a, b], ...]}`, ready for JSON; x and y in pixels, a and b count nodes."""
    return {"nodes": [[round(x, 2), round(y, 2)] for x, y in graph.points.tolist()], "edges": graph.edges.tolist()}


def geojson(graph: RoadGraph) -> dict[str, Any]:
    """A feature collection with a line for each road from a junction or an end to the next, in pixels."""
    lines = [[[round(x, 2), round(y, 2)] for x, y in graph.points[chain].tolist()] for chain in graph.chains]
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"length": round(graph.length(chain), 2)},
                "geometry": {"type": "LineString", "coordinates": line},
            }
            for chain, line in zip(graph.chains, lines, strict=True)
        ],
    }


def read_graph(path: str | Path) -> RoadGraph:
    """Read a graph in pixels: JSON of `nodes_and_edges`, GeoJSON with lines, or RoadTracer's text.

    RoadTracer's text has a line `x y` for each node, an empty line, and a line `a b` for each edge, maybe both ways.
    """
    path = Path(path)
    try:
        text = read_text(path)
    except OSError as error:
        raise InputError(f"Cannot read the roads in {path} ({error.strerror}): check the file.") from error
    try:
        if path.suffix == ".graph":
            return of_text(text)
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError("it has no nodes")
        return of_lines(content["features"]) if "features" in content else checked(content["nodes"], content["edges"])
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error).split("\n")[0]
        raise InputError(
            f'{path} is no graph of roads ({reason}): give JSON as {{"nodes": [[x, y]], "edges": [[0, 1]]}}, GeoJSON '
            "with lines, or RoadTracer's text."
        ) from error


def checked(nodes: Any, edges: Any) -> RoadGraph:
    """The graph of two lists; `ValueError` where it is none."""
    points = np.array(nodes, dtype=np.float64).reshape(-1, 2) if nodes else np.zeros((0, 2))
    if len(points) != len(nodes) or not (np.abs(points) <= FARTHEST).all():
        raise ValueError(f"a node is not two numbers up to {FARTHEST:,}")
    for edge in edges:
        if len(edge) != 2 or not all(type(node) is int and 0 <= node < len(points) for node in edge):
            raise ValueError(f"the edge {edge} does not join two of the {len(points)} nodes")
    return RoadGraph.of(points, edges)


def of_text(text: str) -> RoadGraph:
    """From RoadTracer's text."""
    nodes, _, edges = "\n".join(line.strip() for line in text.strip().splitlines()).partition("\n\n")
    return checked(
        [[float(value) for value in line.split()] for line in nodes.splitlines()],
        [[int(value) for value in line.split()] for line in edges.split("\n") if line],
    )


def of_lines(features: Any) -> RoadGraph:
    """From the features of GeoJSON."""
    lines: list[Any] = []
    for geometry in (feature["geometry"] for feature in features):
        if geometry["type"] not in ("LineString", "MultiLineString"):
            raise ValueError(f"a {geometry['type']} is no line")
        lines += [geometry["coordinates"]] if geometry["type"] == "LineString" else geometry["coordinates"]
    graph = RoadGraph.of_lines([(float(x), float(y)) for x, y, *_ in line] for line in lines)
    return checked(graph.points.tolist(), graph.edges.tolist())
