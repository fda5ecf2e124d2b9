"""`res2net compare` of roads and volumes, of exported networks, with other options, and where images are broken."""

import json
import re
import shutil
from functools import partial

import pytest
import torch
from detector_files import write_scenes
from PIL import Image
from test_compare_command import CPU, SIDE, rows_of
from volume_sets import write_set

import res2net
from conftest import write_images
from res2net.engine.callbacks import save_task
from res2net.engine.config import TrainConfig
from res2net.images.shapes.dataset import shapes_source
from res2net.tasks.pixels.segment.task import Segment, SegmentOptions
from res2net.tasks.roads.folder import nodes_and_edges
from res2net.tasks.roads.options import RoadsOptions
from res2net.tasks.roads.synthetic import RoadScenes
from res2net.tasks.roads.task import Roads
from res2net.tasks.volumes.options import VolumesOptions
from res2net.tasks.volumes.task import Volumes
from res2net.weights import Preprocessing


def write_weights(folder, task_type, source, preprocessing, options, *, names=("one", "other"), **model):
    """Write two untrained networks of a task."""
    paths = []
    for seed, name in enumerate(names):
        torch.manual_seed(seed)
        create = partial(res2net.create_model, **{"name": "res2net20_26w_4s_tiny", "zero_init_last": False} | model)
        task = task_type.build(create, source, preprocessing, options).eval()
        paths.append(folder / f"{name}.safetensors")
        save_task(paths[-1], task, {}, TrainConfig(task.name, "", options))
    return paths


@pytest.fixture(scope="module")
def roads(tmp_path_factory):
    """A folder of two drawn towns to train and three to validate on, and two networks."""
    root = tmp_path_factory.mktemp("towns")
    for split, count in (("train", 2), ("val", 3)):
        for folder in ("images", "graphs"):
            (root / split / folder).mkdir(parents=True)
        scenes = RoadScenes(count, size=96, split=split)
        for index in range(count):
            pixels, target = scenes[index]
            image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
            image.save(root / split / "images" / f"town{index}.png")
            graph = json.dumps(nodes_and_edges(target["graph"]))
            (root / split / "graphs" / f"town{index}.json").write_text(graph)
    options = RoadsOptions(channels=8, branch_channels=8, next_channels=8, window=64, road_threshold=0.01)
    source = Roads.open(root)
    return root, write_weights(tmp_path_factory.mktemp("nets"), Roads, source, Preprocessing(size=96), options)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """A folder of four volumes, and two networks."""
    root = write_set(tmp_path_factory.mktemp("scans"))
    source = Volumes.open(root)
    preprocessing = Preprocessing(size=16, mean=(0.5,), std=(0.25,))
    model = {"name": "res2net3d20_26w_4s_tiny", "in_channels": 1}
    folder = tmp_path_factory.mktemp("nets")
    return root, write_weights(folder, Volumes, source, preprocessing, VolumesOptions(channels=16), **model)


def test_roads(run, roads, tmp_path):
    root, models = roads
    out = tmp_path / "sheet.png"
    answer = run("compare", "roads", root, "--models", *models, "--count", 2, "--out", out, *CPU)
    assert (answer.status, answer.err) == (0, "")
    assert "APLS, of each image alone" in answer.out
    assert list(rows_of(answer)) == ["town0.png", "town1.png"]
    with Image.open(out) as sheet:
        assert sheet.width == 4 * SIDE
        columns = [sheet.crop((SIDE * place, 60, SIDE * (place + 1), 700)).tobytes() for place in range(4)]
    assert columns[0] != columns[1]
    alone = run("compare", "roads", root / "val" / "images", "--models", *models, "--out", out, "--overwrite", *CPU)
    assert (alone.status, alone.err) == (0, "")
    assert "Without ground truth: " in alone.out
    with Image.open(out) as sheet:
        assert sheet.width == 3 * SIDE


def test_the_score_of_roads_is_that_of_an_evaluation(run, roads, tmp_path):
    root, models = roads
    (tmp_path / "train").symlink_to(root / "train")
    for folder, ending in (("images", "png"), ("graphs", "json")):
        (tmp_path / "val" / folder).mkdir(parents=True)
        shutil.copy(root / "val" / folder / f"town0.{ending}", tmp_path / "val" / folder)
    compared = run("compare", "roads", root, "--models", *models, "--count", 1, "--out", tmp_path / "one.png", *CPU)
    for path, score in zip(models, rows_of(compared)["town0.png"], strict=True):
        alone = run("eval", "roads", tmp_path, "--weights", path, *CPU)
        assert float(re.search(r"^ +APLS +(\S+)", alone.out, re.MULTILINE)[1]) == pytest.approx(score, abs=0.06)


@pytest.mark.slow
def test_volumes_and_their_exported_network(run, refused, volumes, tmp_path):
    """By its checkpoint and by ONNX a network finds the same; the option of all windows holds for both."""
    pytest.importorskip("onnxruntime")
    root, (first, _) = volumes
    file, out = tmp_path / "deployed.onnx", tmp_path / "sheet.png"
    assert run("export", "volumes", first, "--to", "onnx", "--out", file).status == 0
    words = ["compare", "volumes", root, "--split", "val", "--models", f"{first},{file}", "--out", out, *CPU]
    answer = run(*words, "--runtime", "onnx", "--task-options", "overlap", 0.25)
    assert (answer.status, answer.err) == (0, "")
    assert "deployed (%)" in answer.out
    assert "res2net3d20_26w_4s_tiny (%)" in answer.out
    ((name, scores),) = rows_of(answer, ending="nii.gz").items()
    assert name.startswith("case_")
    assert scores[0] == pytest.approx(scores[1], abs=0.2)
    with Image.open(out) as sheet:
        assert sheet.width == 4 * SIDE
    detected = run(*words, "--overwrite", "--task-options", "overlap", 0.25)
    assert (detected.status, detected.err, detected.out) == (0, "", answer.out)
    assert "The option 'overlop' of volumes is not known: did you mean 'overlap'?" in refused(
        *words, "--overwrite", "--runtime", "onnx", "--task-options", "overlop", 0.25
    )


def test_volumes_of_which_nothing_is_known(run, volumes, tmp_path):
    root, models = volumes
    (tmp_path / "scans").mkdir()
    shutil.copy(root / "imagesTr" / "case_0.nii.gz", tmp_path / "scans")
    (tmp_path / "scans" / "another.nii.gz").write_bytes(b"hello")
    words = ["compare", "volumes", tmp_path / "scans", "--models", *models, "--out", tmp_path / "sheet.png", *CPU]
    answer = run(*words, "--bad-images", "skip")
    assert (answer.status, answer.err) == (0, "")
    assert "Without ground truth: " in answer.out
    assert "1 broken image was skipped: " in answer.out
    assert "another.nii.gz" in answer.out


@pytest.fixture
def segmenters(tmp_path):
    source = shapes_source(Segment.labels, (4, 3))
    return write_weights(tmp_path, Segment, source, source.preprocessing, SegmentOptions(channels=16))


def test_options_of_evaluation(run, refused, segmenters, tmp_path):
    words = ["compare", "segment", "shapes:4,3", "--models", *segmenters, *CPU]
    plain = rows_of(run(*words, "--out", tmp_path / "plain.png"))
    chosen = run(*words, "--out", tmp_path / "resized.png", "--task-options", "resize", 48)
    assert (chosen.status, chosen.err) == (0, "")
    assert list(rows_of(chosen)) == list(plain)
    assert rows_of(chosen) != plain
    sentence = "None of the models is a file of `res2net export`: leave out --runtime."
    assert sentence in refused(*words, "--out", tmp_path / "a.png", "--runtime", "onnx")
    assert "Unknown --bad-images 'leave'" in refused(*words, "--bad-images", "leave")


def test_images_that_cannot_be_read(run, refused, segmenters, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    write_scenes(folder, [(40, 50), (33, 57)])
    (folder / "00.png").write_bytes(b"hello")
    words = ["compare", "segment", folder, "--models", *segmenters, "--out", tmp_path / "sheet.png", *CPU]
    assert "00.png" in refused(*words)
    for pick in ("first", "random"):
        answer = run(*words, "--pick", pick, "--bad-images", "skip", "--overwrite")
        assert (answer.status, answer.err) == (0, "")
        assert "1 broken image was skipped: " in answer.out
        with Image.open(tmp_path / "sheet.png") as sheet:
            assert 2 * 400 < sheet.height < 2 * 720
    for file in folder.glob("?.png"):
        file.write_bytes(b"hello")
    assert "No image could be read: fix " in refused(*words, "--bad-images", "skip", "--overwrite")


@pytest.mark.slow
def test_broken_images_are_no_measure_of_a_difference(run, refused, trained, tmp_path):
    for split in ("train", "val"):
        write_images(tmp_path / "data" / split)
    (tmp_path / "data" / "val" / "red" / "1.jpg").write_bytes(b"hello")
    models = ["--models", trained.best, trained.folder, "--names", "a", "b", "--pick", "differ"]
    words = ["compare", tmp_path / "data", *models, "--out", tmp_path / "sheet.png", *CPU]
    assert "1.jpg" in refused(*words)
    answer = run(*words, "--bad-images", "skip", "--count", 8)
    assert (answer.status, answer.err) == (0, "")
    assert "1 broken image was skipped: " in answer.out
    assert len(re.findall(r"^ +\d\.(jpg|png) ", answer.out, re.MULTILINE)) == 7
