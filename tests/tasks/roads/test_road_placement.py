"""Graphs of every format that lie elsewhere than their images are refused or mentioned, and turned ones are turned."""

import json

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from res2net.errors import InputError
from res2net.images.sources import open_source
from res2net.images.splits import DataSettings
from res2net.tasks.roads.folder import geojson, nodes_and_edges, read_graph, read_roads
from res2net.tasks.roads.graph import RoadGraph, road_map
from res2net.tasks.roads.placement import stored_to_upright

WIDTH, HEIGHT = 96, 64
CROSS = RoadGraph.of_lines([[(4.0, 20.0), (60.0, 20.0), (90.0, 30.0)], [(60.0, 20.0), (50.0, 60.0)]])
CRS84 = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}


def text(graph):
    """RoadTracer's text."""
    nodes = "\n".join(f"{x} {y}" for x, y in graph.points.tolist())
    return nodes + "\n\n" + "\n".join(f"{a} {b}" for a, b in graph.edges.tolist()) + "\n"


def lines(graph, digits=9):
    """GeoJSON without rounding."""
    made = geojson(graph)
    for feature, chain in zip(made["features"], graph.chains, strict=True):
        feature["geometry"]["coordinates"] = graph.points[chain].round(digits).tolist()
    return made


def write(root, graphs, kind="json", orientation=1, size=(WIDTH, HEIGHT), masks=None, **more):
    """Images of one size with these graphs, and the stored pixels of the masks."""
    for folder in ("images", "graphs", *(["masks"] if masks is not None else [])):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for index, graph in enumerate(graphs):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        Image.new("RGB", size).save(root / "images" / f"{index}.png", exif=exif)
        if kind == "json":
            nodes = {"nodes": graph.points.tolist(), "edges": graph.edges.tolist()}
            (root / "graphs" / f"{index}.json").write_text(json.dumps(nodes))
        elif kind == "graph":
            (root / "graphs" / f"{index}.GRAPH").write_text(text(graph))
        else:
            (root / "graphs" / f"{index}.geojson").write_text(json.dumps(lines(graph) | more))
        if masks is not None:
            Image.fromarray(masks.astype(np.uint8) * 255).save(root / "masks" / f"{index}.png")
    return root


def open_roads(root, **settings):
    return open_source(root, DataSettings(**settings), labels=("graph",), reader=read_roads)


def scaled(by, move=(0.0, 0.0)):
    return CROSS.moved(np.array([[by[0], 0, move[0]], [0, by[1], move[1]]]))


@pytest.mark.parametrize("kind", ["json", "geojson", "graph"])
@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (scaled((4e-6, -3e-6), (2.3, 48.86)), "are less than 1.5 pixels large"),  # Paris
        (scaled((1 / WIDTH, 1 / HEIGHT)), "are less than 1.5 pixels large"),
        (scaled((1e-5, 1e-5), (-115.2, 36.1)), "are less than 1.5 pixels large"),
        (scaled((1, 1), (300, 0)), "No road lies on its image"),
        (scaled((1, -1)), r"No road lies on its image in .* \(y seems to be negative\)"),
        (scaled((3, 3)), r"Only \d+% of the length of roads lies on its image"),
        (scaled((1, 1), (500_000, 4_000_000)), "No road lies on its image"),
    ],
)
def test_roads_in_another_unit_or_place(tmp_path, kind, graph, said):
    with pytest.raises(InputError, match=f"{said}.*: give coordinates in pixels of the image"):
        open_roads(write(tmp_path, [graph] * 3, kind))


@pytest.mark.parametrize("kind", ["json", "geojson", "graph"])
def test_swapped_axes_where_the_sides_tell(tmp_path, kind):
    graph = RoadGraph(CROSS.points[:, ::-1].copy(), CROSS.edges)
    with pytest.raises(InputError, match=r"lies on its image in .* \(x and y seem to be swapped\)"):
        open_roads(write(tmp_path, [graph] * 3, kind))


@pytest.mark.parametrize(
    ("placed", "said"),
    [
        (lambda points: points[:, ::-1], "x and y seem to be swapped"),
        (lambda points: points * (1, -1) + (0, WIDTH), "y seems to point up"),
    ],
)
def test_other_axes_where_masks_tell(tmp_path, placed, said):
    mask = road_map(CROSS, (WIDTH, WIDTH), 7)
    graph = RoadGraph(placed(CROSS.points), CROSS.edges)
    with pytest.raises(InputError, match=rf"lies on the roads of the masks \({said}\)"):
        open_roads(write(tmp_path / "wrong", [graph] * 3, size=(WIDTH, WIDTH), masks=mask))
    assert not open_roads(write(tmp_path / "right", [CROSS] * 3, size=(WIDTH, WIDTH), masks=mask)).notes


def test_degrees_by_the_reference_system(tmp_path):
    """Large enough to be pixels, but GeoJSON says what they are."""
    root = write(tmp_path, [scaled((0.5, 0.5))] * 3, "geojson", crs=CRS84)
    with pytest.raises(InputError, match=r"its coordinates are degrees by its .* reference system urn:ogc:def:crs:OGC"):
        open_roads(root)
    pixels = write(tmp_path / "large", [scaled((5, 5))] * 3, "geojson", size=(600, 600), crs=CRS84)
    assert open_roads(pixels).val[0][1]["graph"].points.max() == 450  # no degrees, whatever it says


def test_a_graph_that_goes_on_beyond_its_image(tmp_path):
    """Tiles of a city: the part outside is not used, and that is said."""
    root = write(tmp_path, [scaled((1.2, 1.2)), CROSS, CROSS, scaled((1, 1), (0, 80)), scaled((1e-3, 1e-3))])
    source = open_roads(root)
    first, tiny = source.notes
    assert "of the length of roads lies off its image and is not used; 1 graphs have no road on it, such as " in first
    assert tiny == f"The roads of 1 graphs are within 1.5 pixels, as of {root / 'graphs' / '4.json'}."


@pytest.mark.parametrize("orientation", range(1, 9))
def test_points_are_turned_as_pillow_turns_pixels(orientation):
    stored = np.zeros((HEIGHT, WIDTH), np.uint8)
    stored[10, 70] = 1
    image = Image.fromarray(stored)
    image.getexif()[ExifTags.Base.Orientation] = orientation
    upright = np.asarray(ImageOps.exif_transpose(image))
    matrix = stored_to_upright(orientation, upright.shape)
    x, y = matrix[:, :2] @ (70.5, 10.5) + matrix[:, 2]
    assert upright[int(y), int(x)] == 1


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("masks", [False, True])
def test_graphs_of_turned_images(tmp_path, orientation, stored, masks):
    """Those that fit both ways are taken as those of the image whose quarter turn tells."""

    def right_of(turn):
        size = (HEIGHT, WIDTH) if turn < 5 else (WIDTH, HEIGHT)
        return CROSS.moved(stored_to_upright(turn, size)), size

    for turn, count in ((orientation, 3), (6, 1)):
        right, size = right_of(turn)
        graph, seen = (CROSS, (HEIGHT, WIDTH)) if stored else (right, size)
        write(tmp_path, [graph] * count, orientation=turn, masks=road_map(graph, seen, 5) if masks else None)
    source = open_roads(tmp_path)
    for samples in (source.train, source.val):
        for index, path in enumerate(samples.paths):
            _, target = samples[index]
            right, size = right_of(6 if path.stem == "0" else orientation)
            np.testing.assert_allclose(target["graph"].points, right.points)
            if masks:
                assert (target["mask"] & road_map(right, size, 9)).sum() > 0.9 * target["mask"].sum()
    assert bool(source.notes) == (orientation < 5)


def test_masks_with_soft_edges_and_colours(tmp_path):
    roads = road_map(CROSS, (HEIGHT, WIDTH), 9)
    soft = Image.fromarray(roads.astype(np.uint8) * 255)
    red = Image.merge("RGB", (soft, Image.new("L", soft.size), Image.new("L", soft.size)))
    for name, mask, ending in (
        ("jpeg", soft, "jpg"),
        ("red", red, "png"),
        ("one", soft.point(lambda v: v // 255), "png"),
    ):
        for index in range(3):
            for folder in ("images", "masks"):
                (tmp_path / name / folder).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", soft.size).save(tmp_path / name / "images" / f"{index}.png")
            mask.save(tmp_path / name / "masks" / f"{index}.{ending}")
        source = open_roads(tmp_path / name)
        found = source.val[0][1]
        assert (found["mask"] != roads).mean() < 0.005
        assert len(found["graph"].junctions) == 1
        assert bool(source.notes) == (name == "jpeg")


def test_no_road_at_all(tmp_path):
    with pytest.raises(InputError, match="There is not one road in the graphs or masks to train on"):
        open_roads(write(tmp_path, [RoadGraph.of([], [])] * 3))
    assert len(open_roads(tmp_path, evaluate=True).val) == 3


def test_files_without_a_partner(tmp_path):
    root = write(tmp_path, [CROSS] * 4)
    (root / "graphs" / "2.json").rename(root / "graphs" / "other.json")
    with pytest.raises(InputError, match=r"1 missing partner; the first is in .*2\.png: there is no 2 in .*graphs"):
        open_roads(root)
    source = open_roads(root, bad_annotations="skip")
    assert len(source.train) + len(source.val) == 3
    assert source.notes[0] == f"1 files of {root / 'graphs'} have no image: other.json."


@pytest.mark.parametrize("layout", ["{}/images", "images/{}"])
def test_splits_of_any_name(tmp_path, layout):
    for split, count in (("train2020", 3), ("dev", 2), ("holdout_test", 1)):
        write(tmp_path / split, [CROSS] * count)
        if layout == "images/{}":
            for folder in ("images", "graphs"):
                (tmp_path / folder).mkdir(exist_ok=True)
                (tmp_path / split / folder).rename(tmp_path / folder / split)
            (tmp_path / split).rmdir()
    source = open_roads(tmp_path)
    assert (len(source.train), len(source.val), source.val_about) == (3, 2, "dev")
    assert len(open_roads(tmp_path, evaluate=True, split="holdout_test").val) == 1


def test_a_split_without_graphs_is_refused_if_it_is_chosen(tmp_path):
    write(tmp_path / "train", [CROSS] * 3)
    write(tmp_path / "val", [CROSS] * 2)
    for graph in (tmp_path / "val" / "graphs").iterdir():
        graph.unlink()
    (tmp_path / "val" / "graphs").rmdir()
    with pytest.raises(InputError, match="no images that can be used in the split val"):
        open_roads(tmp_path)
    assert len(open_roads(tmp_path, evaluate=True, split="train").val) == 3


@pytest.mark.parametrize(
    "content",
    [
        geojson(CROSS)["features"][0],
        geojson(CROSS)["features"][0]["geometry"],
        {"type": "GeometryCollection", "geometries": [one["geometry"] for one in geojson(CROSS)["features"]]},
        geojson(CROSS) | {"features": [{"type": "Feature", "geometry": None}, *geojson(CROSS)["features"]]},
        nodes_and_edges(CROSS),
    ],
)
def test_shapes_of_json(tmp_path, content):
    (tmp_path / "a.json").write_text("\ufeff" + json.dumps(content), encoding="utf-8")
    assert len(read_graph(tmp_path / "a.json").edges) >= 1
