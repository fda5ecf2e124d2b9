"""The task roads: its data, its losses, its results and their files."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from res2net import create_model
from res2net.engine.callbacks import save_task, task_metadata
from res2net.engine.config import TrainConfig
from res2net.engine.evaluate import evaluate
from res2net.engine.restore import restore_task
from res2net.errors import InputError
from res2net.export.exporter import EXPORTERS
from res2net.images.loader import eval_loader
from res2net.images.samples import collate
from res2net.images.sources import DataSource, open_source
from res2net.images.splits import DataSettings
from res2net.tasks.pixels.exporter import FixedPixels
from res2net.tasks.roads.folder import nodes_and_edges, read_graph
from res2net.tasks.roads.graph import RoadGraph, road_map
from res2net.tasks.roads.options import TRACINGS, RoadsOptions
from res2net.tasks.roads.synthetic import RoadScenes
from res2net.tasks.roads.task import RoadResult, Roads
from res2net.weights import Preprocessing

OPTIONS = RoadsOptions(channels=8, branch_channels=8, next_channels=8, window=64, steps_per_image=2)


@pytest.fixture(scope="module")
def source():
    sets = [RoadScenes(3, size=96, split=split, keep=True) for split in ("train", "val")]
    return DataSource("roads", *sets, ("road",), Preprocessing(size=96))


def make(source, options=OPTIONS):
    torch.manual_seed(0)

    def create(num_classes):
        return create_model("res2net20_26w_4s_tiny", num_classes=num_classes)

    return Roads.build(create, source, source.preprocessing, options)


def test_scenes_are_the_same_for_the_same_seed():
    first, again, other = (RoadScenes(2, size=64, seed=seed)[1] for seed in (0, 0, 1))
    assert (first[0] == again[0]).all()
    assert (first[1]["graph"].points == again[1]["graph"].points).all()
    assert (first[0] != other[0]).any()
    assert first[1]["graph"].points.min() >= 0
    assert first[1]["graph"].points.max() <= 64


def test_training_targets_lie_on_the_image(source):
    """Turned and mirrored alike: roads are where the images of a white street on black are white."""
    points = np.array([(10, 20), (60, 20), (60, 90), (60, 50), (90, 50)]) + 0.5
    graph = RoadGraph.of(points, [(0, 1), (1, 3), (3, 2), (3, 4)])
    pixels = np.repeat(road_map(graph, (96, 96), 9)[..., None], 3, -1).astype(np.uint8) * 255
    transform = make(source, replace(OPTIONS, color_jitter=0.0, road_width=9)).transform(True)
    for _ in range(8):
        image, target = transform(Image.fromarray(pixels), {"graph": graph, "index": 0})
        street = image[0] > image[0].mean()
        union = (street | (target["roads"] > 0)).sum()
        assert (street & (target["roads"] > 0)).sum() / union > 0.8
        assert target["junctions"].sum() > 20
        assert target["wanted"].shape == (2, 64, 64)


def test_losses_and_a_step_of_training(source):
    task = make(source).train()
    train, _ = task.datasets(source)
    losses = task.losses(*collate([train[index] for index in range(3)]))
    assert set(losses) == {"loss_road", "loss_junction", "loss_step"}
    sum(losses.values()).backward()


@pytest.mark.parametrize("tracing", TRACINGS)
def test_evaluation(source, tracing):
    task = make(source, replace(OPTIONS, tracing=tracing))
    _, val = task.datasets(source)
    found = evaluate(task, eval_loader(val, 2))
    assert 0 <= found.metrics["APLS"] <= 100
    assert found.records["there"].min() > 0


def test_true_graphs_get_all_points(source):
    task = make(source)
    metric = task.metric()
    graphs = [source.val[index][1]["graph"] for index in range(3)]
    metric.update(graphs, graphs, [(96, 96)] * 3)
    values = metric.compute()
    assert [float(values[name]) for name in task.scoring.headline] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("width", "height"), [(1, 1), (57, 33), (96, 130)])
@pytest.mark.parametrize("tracing", TRACINGS)
def test_images_of_any_size(source, tracing, width, height):
    task = make(source, replace(OPTIONS, tracing=tracing)).eval()
    image, noted = collate([task.transform(False)(Image.new("RGB", (width, height), "grey"), {"index": 0})])
    with torch.inference_mode():
        (result,) = task.predict(image, noted)
    assert result.road_map.shape == (height, width)


def test_files_of_a_result(source, tmp_path):
    graph = source.val[0][1]["graph"]
    result = RoadResult(graph, np.full((96, 96), 0.5, np.float32))
    paths = result.save(tmp_path / "00001-town.v2")
    assert sorted(path.name for path in paths) == [f"00001-town.v2.{end}" for end in ("geojson", "json", "png")]
    assert len(read_graph(paths[0]).edges) == len(graph.edges)
    with Image.open(tmp_path / "00001-town.v2.png") as image:
        assert image.size == (96, 96)
    assert result.to_dict() == {"roads": nodes_and_edges(graph)}
    assert json.loads((tmp_path / "00001-town.v2.json").read_text()) == nodes_and_edges(graph)
    (row,) = result.rows()
    assert row[1] == len(graph.junctions)
    black = Image.new("RGB", (96, 96))
    assert np.asarray(result.draw(black)).any()
    assert result.attach_input(lambda: black).draw().tobytes() == result.draw(black).tobytes()
    assert result.panel(black).tobytes() == result.draw(black).tobytes()


def test_the_ground_truth_is_a_result(source):
    task = make(source, replace(OPTIONS, road_width=5))
    image, target = source.val[0]
    truth = task.truth(image, target)
    assert truth.graph is target["graph"]
    assert np.array_equal(truth.road_map > 0, road_map(target["graph"], (96, 96), 5))
    mask = np.zeros((96, 96), dtype=bool)
    mask[3] = True
    assert np.array_equal(task.truth(image, {**target, "mask": mask}).road_map, mask.astype(np.float32))


def folder_of(root, graphs=True, masks=False, count=3):
    scenes = RoadScenes(count, size=64)
    for index in range(count):
        image, target = scenes[index]
        for name in ("images", *(["graphs"] if graphs else []), *(["masks"] if masks else [])):
            (root / name).mkdir(exist_ok=True, parents=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(root / "images" / f"{index}.png")
        if graphs:
            (root / "graphs" / f"{index}.json").write_text(json.dumps(nodes_and_edges(target["graph"])))
        if masks:
            roads = road_map(target["graph"], (64, 64), 6)
            Image.fromarray((roads * 255).astype(np.uint8)).save(root / "masks" / f"{index}.png")
    return root


@pytest.mark.parametrize(("graphs", "masks"), [(True, False), (False, True), (True, True)])
def test_folders(tmp_path, graphs, masks):
    source = Roads.open(folder_of(tmp_path / "town", graphs, masks))
    assert (len(source.train), len(source.val), source.name) == (2, 1, "town")
    image, target = source.val[0]
    assert image.size == (64, 64)
    assert len(target["graph"].edges)
    assert ("mask" in target) == masks
    task = make(replace(source, preprocessing=Preprocessing(size=96)))
    train, val = task.datasets(source)
    assert train[0][0].shape == (3, 96, 96)
    assert val[0][1]["size_now"] == (64, 64)


def test_a_folder_that_is_split(tmp_path):
    for name, count in (("train", 2), ("val", 1)):
        folder_of(tmp_path / name, count=count)
    source = Roads.open(tmp_path)
    assert (len(source.train), len(source.val)) == (2, 1)


def test_bad_folders(tmp_path):
    with pytest.raises(InputError, match="has no images of roads"):
        Roads.open(tmp_path)
    folder_of(tmp_path, graphs=False)
    with pytest.raises(InputError, match="has no graphs and no masks"):
        Roads.open(tmp_path)
    folder_of(tmp_path)
    (tmp_path / "graphs" / "1.json").unlink()
    with pytest.raises(InputError, match=r"1 missing partner; .*1\.png: there is no 1 in .*graphs"):
        Roads.open(tmp_path)


def test_a_mask_of_another_size(tmp_path):
    folder_of(tmp_path, masks=True)
    for index in range(3):
        Image.new("L", (9, 9)).save(tmp_path / "masks" / f"{index}.png")
    with pytest.raises(InputError, match="it has 9 x 9 pixels, and its image has 64 x 64"):
        Roads.open(tmp_path)


def test_a_mask_is_turned_as_its_image_is(tmp_path):
    folder_of(tmp_path, graphs=False, masks=True)
    upright = np.asarray(Image.open(tmp_path / "masks" / "0.png"))
    for folder in ("images", "masks"):
        for index in range(3):
            path, exif = tmp_path / folder / f"{index}.png", Image.Exif()
            exif[0x0112] = 6
            lying = Image.open(path).transpose(Image.Transpose.ROTATE_90)
            lying.save(path, **({"exif": exif} if folder == "images" else {}))
    source = Roads.open(tmp_path)
    found = [samples[index][1]["mask"] for samples in (source.train, source.val) for index in range(len(samples))]
    assert any((mask == (upright > 0)).all() for mask in found)


def test_what_is_wrong_is_told_before_the_first_image(tmp_path):
    folder_of(tmp_path)
    (tmp_path / "graphs" / "2.json").write_text("[]")
    with pytest.raises(InputError, match=r"2\.json: is no graph of roads \(it has no nodes\)"):
        Roads.open(tmp_path)
    for index in range(3):
        degrees = {"nodes": [[-115.2, 36.1], [-115.3, 36.2]], "edges": [[0, 1]]}
        (tmp_path / "graphs" / f"{index}.json").write_text(json.dumps(degrees))
    with pytest.raises(InputError, match="give coordinates in pixels of the image"):
        Roads.open(tmp_path)
    folder_of(tmp_path)
    (tmp_path / "images" / "1.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"1 unreadable image; the first is in .*1\.png"):
        Roads.open(tmp_path)
    assert len(Roads.open(tmp_path, DataSettings(bad_images="skip")).train) == 2


def test_roads_are_for_this_task_alone():
    with pytest.raises(InputError, match="has graphs and no boxes"):
        open_source("roads", labels=("boxes",))


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"tracing": "skeletton"}, "did you mean 'skeleton'"), ({"step": 0}, "step 0 is out of range")],
)
def test_options_that_do_not_fit(options, reason):
    with pytest.raises(InputError, match=reason):
        RoadsOptions(**options)


def test_the_source_has_as_many_towns_as_its_name_states():
    source = Roads.open("roads:5,2")
    assert (source.name, len(source.train), len(source.val)) == ("roads", 5, 2)
    assert [len(samples) for samples in (Roads.open("roads").train, Roads.open("roads").val)] == [600, 80]
    with pytest.raises(InputError, match="does not state how many samples roads has"):
        Roads.open("roads:none")


def test_a_checkpoint_makes_the_same(source, tmp_path):
    task = make(source).eval()
    path = tmp_path / "net.safetensors"
    save_task(path, task, {}, TrainConfig(task_name="roads", source="roads", task=task.options))
    restored, _ = restore_task(path, name="roads")
    assert (restored.options, restored.facts) == (task.options, task.facts)
    one, other = (each.predict_sample(*source.val[0]) for each in (task, restored))
    assert np.array_equal(one.road_map, other.road_map)


def test_an_exported_network_is_thinned(source):
    """It has the maps alone, for images of one size."""
    task = make(source).eval()
    exporter = EXPORTERS["roads"](task)
    assert exporter.set_size() == (96, 96)
    image = Image.new("RGB", (57, 130), "grey")
    prepared = exporter.transform()(image)
    assert prepared.shape == (3, 96, 96)
    assert not prepared[:, :, 57:].any()
    restored = Roads(task.model, task.preprocessing, task.options, task_metadata(task))
    EXPORTERS["roads"](restored).restore(task.model, ["maps"], (96, 96))
    assert isinstance(restored.model, FixedPixels)
    assert restored.options.tracing == "skeleton"
    task.options = replace(task.options, tracing="skeleton")
    image, noted = collate([task.transform(False)(*source.val[0])])
    with torch.inference_mode():
        (one,), (other,) = task.predict(image, noted), restored.predict(image, noted)
    np.testing.assert_allclose(one.road_map, other.road_map)
    assert len(restored.datasets(source)[1]) == 3
    assert (one.graph.points == other.graph.points).all()
    with pytest.raises(InputError, match="returns logits, and roads needs maps: export it again"):
        EXPORTERS["roads"](restored).restore(task.model, ["logits"], (96, 96))


def test_a_backbone_alone_finds_no_roads():
    with pytest.raises(InputError, match="is a backbone without a head for roads: give a file of `res2net train"):
        Roads.restore("res2net20_26w_4s_tiny", None)
