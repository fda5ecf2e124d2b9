"""Exporting a task: the settings, the files that are written, and what is refused before the work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from res2net.engine.restore import restore_task
from res2net.errors import InputError
from res2net.export import EXPORTERS, ExportSettings, export_task, read_artefact
from res2net.export.exporter import file_batches, restore_exported, whole_batches
from res2net.export.make import check_supported, check_target

FILES = Path(__file__).parents[1] / "legacy" / "files"


@pytest.fixture
def task():
    return restore_task(FILES / "checkpoints" / "classify.safetensors")[0]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"to": "onx"}, "did you mean 'onnx'"),
        ({"to": "onnx", "bad_images": "skp"}, "did you mean 'skip'"),
        ({"to": "onnx", "batch_size": 0}, "batch size 0 is out of range: give 1 or more"),
        ({"to": "onnx", "size": 0}, "size 0 is out of range"),
        ({"to": "onnx", "size": (32, -1)}, "size -1 is out of range"),
        ({"to": "onnx", "int8": True}, "--int8 and --calibrate FOLDER belong together"),
        ({"to": "onnx", "calibrate": "images"}, "--int8 and --calibrate FOLDER belong together"),
        ({"to": "aoti", "int8": True, "calibrate": "images"}, "'aoti'"),
    ],
)
def test_settings_that_do_not_fit(values, text):
    with pytest.raises(InputError, match=text):
        ExportSettings(**values)


def test_a_size_is_a_square_or_two_sides():
    assert [ExportSettings(to="onnx", size=size).sides for size in (None, 32, (32, 48))] == [None, (32, 32), (32, 48)]


def test_a_target_is_checked_before_the_work(tmp_path):
    settings = ExportSettings(to="openvino")
    check_target(tmp_path / "new" / "network.xml", settings)
    with pytest.raises(InputError, match="is a folder: name a file in it"):
        check_target(tmp_path, settings)
    with pytest.raises(InputError, match=r"does not end in \.xml, as files of openvino do"):
        check_target(tmp_path / "network.onnx", settings)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file: choose a folder to write into"):
        check_target(tmp_path / "file" / "network.xml", settings)
    for name in ("network.xml", "network.bin", "network.xml.json"):
        (tmp_path / name).touch()
        with pytest.raises(InputError, match=r"exists: choose another name \(--out\), or add --overwrite"):
            check_target(tmp_path / "network.xml", settings)
        check_target(tmp_path / "network.xml", ExportSettings(to="openvino", overwrite=True))
        (tmp_path / name).unlink()
    (tmp_path / "network.bin").touch()
    check_target(tmp_path / "network.pt2", ExportSettings(to="pt2"))  # only OpenVINO writes such a file


def test_a_file_states_all_that_its_use_needs(task, tmp_path):
    metadata = {"source": "classify.safetensors", "batch_size": 2, "seed": 7, "val_fraction": 0.5, "other": 1}
    settings = ExportSettings(to="pt2", out=str(tmp_path / "network.pt2"), batch_size=2, size=32)
    made = export_task(task, metadata, settings)
    assert made.path == tmp_path / "network.pt2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.pt2", "network.pt2.json"]
    artefact = read_artefact(made.path)
    assert (artefact.task, artefact.outputs, artefact.input_shape) == ("classify", ["logits"], [2, 3, 32, 32])
    assert artefact.training == {"batch_size": 2, "seed": 7, "val_fraction": 0.5}
    assert artefact.agreement == made.agreement.to_dict()
    assert artefact.preprocessing.size == 32
    restored, _ = restore_exported(made.path, trust=True)
    images = torch.stack([restored.transform(False)(Image.new("RGB", (40, 40), c), {})[0] for c in ("red", "blue")])
    for one, other in zip(restored.predict(images), task.predict(images), strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


def test_features_have_no_results(task, tmp_path):
    settings = ExportSettings(to="pt2", out=str(tmp_path / "features.pt2"), size=32, features=True)
    made = export_task(task, {}, settings)
    assert list(read_artefact(made.path).outputs) == list(task.model.stage_names)
    with pytest.raises(InputError, match=r"returns features and no results: export the network without --features\.$"):
        restore_exported(made.path, trust=True)


def test_what_a_task_cannot_be_exported_as(task):
    class Narrow(EXPORTERS["classify"]):
        formats = ("onnx",)
        int8 = False
        dynamic_batch = False

    exporter = Narrow(task)
    check_supported(exporter, ExportSettings(to="onnx"))
    check_supported(exporter, ExportSettings(to="pt2", features=True))
    for settings, text in (
        (ExportSettings(to="pt2"), "'pt2'"),
        (ExportSettings(to="onnx", int8=True, calibrate="images"), "leave out --int8 and --calibrate"),
        (ExportSettings(to="onnx", dynamic_batch=True), "leave out --dynamic-batch, or give --batch-size"),
    ):
        with pytest.raises(InputError, match=text):
            check_supported(exporter, settings)


def test_an_exported_network_with_other_outputs(task):
    exporter = EXPORTERS["classify"](task)
    with pytest.raises(InputError, match="returns boxes, scores, and classify needs logits: export it again"):
        exporter.restore(torch.nn.Identity(), ["boxes", "scores"], (32, 32))

    class Needs(EXPORTERS["classify"]):
        required_facts = ("spacing",)

    with pytest.raises(InputError, match="does not state its spacing: export it again"):
        Needs(task).restore(torch.nn.Identity(), ["logits"], (32, 32))


def test_classifiers_take_squares(task):
    exporter = EXPORTERS["classify"](task)
    assert exporter.set_size((48, 48)) == (48, 48)
    assert exporter.transform()(Image.new("RGB", (60, 50))).shape == (3, 48, 48)
    with pytest.raises(InputError, match="takes squares, not 32 x 48"):
        exporter.set_size((32, 48))


def test_a_batch_is_filled_up_with_its_own_images():
    batches = list(whole_batches(range(5), lambda number: torch.full((1, 2, 2), float(number)), 3))
    assert [batch[:, 0, 0, 0].tolist() for batch in batches] == [[0, 1, 2], [3, 4, 3]]
    with pytest.raises(InputError, match="None of the images can be read"):
        list(whole_batches([], lambda number: number, 3))


def test_files_that_cannot_be_read_are_left_out(tmp_path):
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for index, path in enumerate(paths):
        Image.new("L", (4, 4), 10 * index).save(path)
    paths[1].write_bytes(b"broken")

    def prepare(image):
        return torch.tensor([[[float(np.asarray(image).flat[0])]]])

    (batch,) = file_batches(prepare, paths, 2, "skip")
    assert batch.flatten().tolist() == [0, 20]
