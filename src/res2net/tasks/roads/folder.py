"""Folders of images with their roads, and the files of graphs.

`images` holds images, and `graphs` for each a graph of the same name (see `read_graph`), or `masks` an image of the
same name and size that is white where roads are (see `SaliencyMasks`). With both, the graph is the ground truth, and
the road map is learnt from the mask; with masks alone the graph is the mask's thinned lines. Splits are folders with
these in them (`train/images`), or folders in these (`images/train`); without any, the data are split by a seed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from res2net.errors import InputError, listed
from res2net.files import files_in
from res2net.images.decode import EXTENSIONS, BadImage, image_header, read_turned
from res2net.images.faults import AnnotationReport
from res2net.images.samples import FileSamples, Sample, evenly_spaced
from res2net.images.sources import DataSource
from res2net.images.splits import DataSettings, choose_splits, folders_of_splits, hashed_split
from res2net.images.text import BadText, read_json, read_text
from res2net.tasks.pixels.formats.codings import SaliencyMasks, Turning, masks_of
from res2net.tasks.pixels.formats.images import size_fault
from res2net.tasks.roads.graph import RoadGraph, graph_of_mask
from res2net.tasks.roads.placement import Placed, turned_graph

ROAD_CLASSES = ("road",)
FOLDERS = ("images", "graphs", "masks")
HOW = "a folder with the folders images and graphs (or masks)"
ENDINGS = (".json", ".geojson", ".graph")
"""The endings of the files that are read."""
COMPARED = 20
"""Number of graphs of a split, at most, that are compared with the masks beside them."""
GEOGRAPHIC = r"CRS:?84|EPSG:+(4326|4258|4269|4490)\b"
"""Coordinate reference systems of longitude and latitude, as in GeoJSON, which can only be in degrees."""
FARTHEST = 10_000_000
"""Largest coordinate of a node, pixels."""


class RoadFiles(FileSamples):
    """Images with their `graph`, and `mask` `(H, W)` bool where there are masks.

    Args:
        files: for each image its path, that of its graph (None to take it from the mask), and of its mask (or None).
        masks: reads the masks.
    """

    def __init__(self, files: Sequence[tuple[Path, Path | None, Path | None]], masks: SaliencyMasks) -> None:
        super().__init__(files)
        self.masks = masks
        self.mask_turning = Turning()
        self.graph_turning = Turning(default_upright=all(mask is None for *_, mask in self.files))

    def __getitem__(self, index: int) -> Sample:
        path, graph, mask = self.files[index]
        image, orientation = read_turned(path)
        size = image.height, image.width
        target: dict[str, Any] = {} if mask is None else {"mask": self.mask(mask, size, orientation)}
        if graph is None:
            target["graph"] = graph_of_mask(target["mask"])
        else:
            target["graph"] = turned_graph(self.graph_turning, read_graph(graph), orientation, size)
        return image, target

    def mask(self, path: Path, size: tuple[int, int], orientation: int) -> NDArray[np.bool_]:
        """The mask `(H, W)` in a file, turned as its upright image of that size, which EXIF turns by `orientation`."""
        found, own = self.masks.read(str(path)), self.masks.header(str(path))[1]
        return self.mask_turning.apply(found, own, orientation, size)


def read_roads(path: Path, labels: tuple[str, ...], settings: DataSettings) -> DataSource:
    """Read a folder of images with their roads; all graphs and the headers of all images are read.

    Raises:
        InputError: it is no such folder, its files do not fit each other, or there is no road to learn from.
    """
    report = AnnotationReport(path)
    folders = find_road_splits(path, report)
    choice = choose_splits(folders, settings, path)
    splits = {}
    for name in choice.names:
        splits[name] = checked_files(files_of(folders[name], report), report, settings.bad_images == "skip")
    report.enforce(settings.bad_annotations)
    train, val, about = choice.arrange(
        splits, lambda files: hashed_split([image.name for image in files.paths], settings.val_fraction, settings.seed)
    )
    if len(train) and not has_roads(train):
        raise InputError(f"There is not one road in the graphs or masks to train on in {path}: give some with roads.")
    return DataSource(path.absolute().name, train, val, ROAD_CLASSES, val_about=about, notes=report.remarks)


def find_road_splits(path: Path, report: AnnotationReport) -> dict[str, dict[str, Path]]:
    """The folders of each split of a data set of roads; `InputError` if there are none."""
    splits = folders_of_splits(path, FOLDERS, is_roads, report)
    if not splits:
        has_images = (path / "images").is_dir()
        lacks = "no graphs and no masks" if has_images else "no images of roads"
        raise InputError(f"{path} has {lacks}: give {HOW}.")
    return splits


def is_roads(folders: Mapping[str, Path]) -> bool:
    """Whether there is a folder of images, and one of graphs or masks."""
    return len(folders) > 1 and "images" in folders and bool(found(folders["images"], EXTENSIONS))


def has_roads(files: RoadFiles) -> bool:
    """Whether any graph or mask has a road; they are read up to the first one."""
    for _, graph, mask in files.files:
        with suppress(BadImage):
            if len(read_graph(graph).edges) if graph is not None else files.masks.read(str(mask)).any():
                return True
    return False


def checked_files(files: RoadFiles, report: AnnotationReport, keep_unreadable: bool = False) -> RoadFiles:
    """The images whose graph and mask fit, with faults and what is assumed added to the report.

    Images that cannot be read are faults, or are kept if `keep_unreadable`, and reported when they are used.

    Raises:
        InputError: most graphs lie elsewhere than the images.
    """
    good = []
    placed = Placed(report, files.graph_turning)
    compared = set(evenly_spaced(len(files), COMPARED))
    for index, (path, graph_path, mask_path) in enumerate(files.files):
        try:
            size, orientation = image_header(path)
        except BadImage as error:
            if report.keeps(error, keep_unreadable):
                good.append(index)
            continue
        mask = None
        try:
            if mask_path is not None:
                header = files.masks.header(str(mask_path))
                if not files.mask_turning.add(size, orientation, header):
                    report.add("wrong size", mask_path, size_fault(header[0], size))
                    continue
                if graph_path is not None and index in compared:
                    mask = files.mask(mask_path, size, orientation)
            if graph_path is not None:
                placed.add(graph_path, read_graph(graph_path), size, orientation, mask)
        except BadImage as error:
            report.add("bad mask", error.path, error.reason)
        except InputError as error:
            report.add("unreadable file", graph_path or path, str(error).removeprefix(f"{graph_path} ").rstrip("."))
        else:
            good.append(index)
    placed.conclude()
    report.remark(files.mask_turning.note("their masks"))
    return files.subset(good)


def files_of(folders: Mapping[str, Path], report: AnnotationReport) -> RoadFiles:
    """The images of a split with their graphs and masks; those without are faults, and others are mentioned."""
    images = found(folders["images"], EXTENSIONS) if folders else []
    partners = {
        part: {path.stem: path for path in found(folders[part], endings)}
        for part, endings in (("graphs", ENDINGS), ("masks", EXTENSIONS))
        if part in folders
    }
    files: list[tuple[Path, Path | None, Path | None]] = []
    for image in images:
        lacking = [part for part, paths in partners.items() if image.stem not in paths]
        for part in lacking:
            report.add("missing partner", image, f"there is no {image.stem} in {folders[part]}")
        if not lacking:
            graph, mask = (partners.get(part, {}).get(image.stem) for part in ("graphs", "masks"))
            files.append((image, graph, mask))
    stems = {image.stem for image in images}
    for part, paths in partners.items():
        unused = [path.name for stem, path in paths.items() if stem not in stems]
        report.remark(f"{len(unused)} files of {folders[part]} have no image: {listed(unused)}." if unused else "")
    return RoadFiles(files, masks_of([str(mask) for *_, mask in files if mask is not None], report, "roads"))


def found(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """The files of a folder that have one of the endings, by name."""
    return files_in(folder, endings)


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

    Raises:
        InputError: the file cannot be read, is none of these, or states that its coordinates are degrees.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".graph":
            return of_text(read_text(path))
        content = read_json(path)
        if not isinstance(content, dict):
            raise ValueError("it has no nodes")
        if not content.keys() & {"type", "features"}:
            return checked(content["nodes"], content["edges"])
        graph = of_lines(lines_of(content))
        reference = str((content.get("crs") or {}).get("properties", {}).get("name", ""))
        if re.search(GEOGRAPHIC, reference) and (np.abs(graph.points) <= (180, 90)).all():
            raise ValueError(f"its coordinates are degrees by its coordinate reference system {reference}, not pixels")
        return graph
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        reason = error.reason if isinstance(error, BadText) else str(error).split("\n")[0]
        reason = f"{error} is missing" if isinstance(error, KeyError) else reason
        raise InputError(
            f'{path} is no graph of roads ({reason}): give JSON as {{"nodes": [[x, y]], "edges": [[0, 1]]}}, GeoJSON '
            "with lines, or RoadTracer's text, in pixels of the image."
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


def of_lines(lines: Iterable[Any]) -> RoadGraph:
    """From lines of points, each of x, y and perhaps more numbers."""
    graph = RoadGraph.of_lines([(float(x), float(y)) for x, y, *_ in line] for line in lines)
    return checked(graph.points.tolist(), graph.edges.tolist())


def lines_of(content: Any) -> Iterator[Any]:
    """Yield the lines of an object of GeoJSON; features without a geometry have none."""
    kind = content.get("type", "FeatureCollection" if "features" in content else "Feature")
    if kind == "LineString":
        yield content["coordinates"]
    elif kind == "MultiLineString":
        yield from content["coordinates"]
    elif kind == "Feature":
        yield from lines_of(content["geometry"]) if content["geometry"] is not None else ()
    elif kind in ("FeatureCollection", "GeometryCollection"):
        for part in content["features" if kind == "FeatureCollection" else "geometries"]:
            yield from lines_of(part)
    else:
        raise ValueError(f"a {kind} is no line")
