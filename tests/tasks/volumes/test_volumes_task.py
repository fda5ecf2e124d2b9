"""Segmentation of synthetic volumes: training, results and their files."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import nibabel
import numpy as np
import pytest
import torch
from torch import nn

import res2net
from res2net.engine.callbacks import save_task, task_metadata
from res2net.engine.config import TrainConfig
from res2net.engine.restore import restore_task
from res2net.errors import InputError
from res2net.export.exporter import EXPORTERS
from res2net.images import collate, open_source
from res2net.tasks.volumes.nifti import Volume
from res2net.tasks.volumes.result import VolumeInputs
from res2net.tasks.volumes.synthetic import CLASSES, Bodies
from res2net.tasks.volumes.task import LabelVolume, Volumes, VolumesOptions
from res2net.weights import Preprocessing


@pytest.fixture
def source():
    """Two synthetic volumes to train on and two to validate on, and patches of 16 voxels a side."""
    usual = Volumes.open("volumes:2,2")
    return replace(usual, preprocessing=replace(usual.preprocessing, size=16))


@pytest.fixture
def make(source):
    """A function that builds the task."""

    def build(backbone="res2net3d20_26w_4s_tiny", **options):
        create = partial(res2net.create_model, backbone, zero_init_last=False)
        chosen = VolumesOptions(**{"channels": 16, "patches": 2, **options})
        return Volumes.build(create, source, source.preprocessing, chosen)

    return build


class Threshold(nn.Module):
    """Not a network: voxels brighter than the middle of the window are class 1, and it notes what it sees."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, volumes):
        self.seen.append(tuple(volumes.shape[2:]))
        bright = volumes[:, 0]
        return torch.stack([-bright, bright], 1)


def threshold(size=16, spacing=(1.0, 1.0, 1.0), class_names=("background", "bright"), **options):
    facts = {"class_names": list(class_names), "spacing": list(spacing), "window": [0.0, 100.0]}
    preprocessing = Preprocessing(size=size, crop=1.0, mean=(0.5,), std=(0.25,))
    return Volumes(Threshold(), preprocessing, VolumesOptions(**options), facts).eval()


def scan(shape=(20, 30, 24), affine=None):
    """Bright in one half and dark in the other."""
    array = np.zeros(shape, np.int16)
    array[: shape[0] // 2] = 100
    return nibabel.Nifti1Image(array, np.diag([1.5, 1.0, 2.0, 1.0]) if affine is None else affine)


def test_a_step_of_training(make, source):
    task = make()
    patches, _ = task.datasets(source)
    assert len(patches) == 4
    images, targets = collate([patches[index] for index in range(4)])
    assert images.shape == (4, 1, 16, 16, 16)
    losses = task.losses(images, targets)
    losses["loss"].backward()
    assert all(parameter.grad is not None for parameter in task.parameters())


def test_the_loss_is_dice_and_cross_entropy(make):
    task = make()
    logits, labels = torch.randn(2, 5, 4, 4, 4), torch.randint(0, 5, (2, 4, 4, 4))
    task.forward = lambda images: logits
    chances, hot = logits.softmax(1), nn.functional.one_hot(labels, 5).movedim(-1, 1)
    dims = (0, 2, 3, 4)
    dice = 1 - (2 * (chances * hot).sum(dims) / (chances.sum(dims) + hot.sum(dims))).mean()
    expected = dice + nn.functional.cross_entropy(logits, labels)
    assert torch.allclose(task.losses(torch.zeros(2), {"label_map": labels})["loss"], expected, atol=1e-4)


@pytest.mark.parametrize(("backbone", "slices"), [("res2net3d20_26w_4s_tiny", 1), ("res2net20_26w_4s_tiny", 3)])
def test_every_voxel_of_the_file_gets_a_class(make, source, backbone, slices):
    task = make(backbone, slices=slices, overlap=0.25).eval()
    _, val = task.datasets(source)
    images, targets = collate([val[0], val[1]])
    metric = task.metric()
    with torch.inference_mode():
        records = task.validate(images, targets, metric)
        results = task.predict(images, targets)
    assert records["dice"].shape == (2,)
    assert set(metric.compute()) == {
        f"{kind}{name}" for kind in ("dice", "hd95") for name in ("", *(f"_{one}" for one in CLASSES[1:]))
    }
    for index, result in enumerate(results):
        volume, _ = source.val[index]
        assert tuple(result.label_map.shape) == volume.shape
        assert [one["class"] for one in result.classes] == list(CLASSES[1:])


@pytest.mark.parametrize("shape", [(20, 30, 24), (3, 40, 5), (1, 1, 1)])
def test_windows_cover_volumes_of_any_size(tmp_path, shape):
    nibabel.save(scan(shape), tmp_path / "scan.nii")
    task = threshold(spacing=(2.0, 1.0, 1.5), overlap=0.3)
    volume = task.inputs.read(tmp_path / "scan.nii")
    image, noted = task.transform(False)(volume, {})
    (result,) = task.predict(image[None], {name: [one] for name, one in noted.items()})
    assert torch.equal(result.label_map, (volume.voxels > 50).to(torch.uint8))
    assert set(task.model.seen) == {(16, 16, 16)}


def test_spacing_is_respected(tmp_path):
    nibabel.save(scan(), tmp_path / "scan.nii")
    task = threshold(spacing=(4.0, 4.0, 4.0), size=8)
    volume = task.inputs.read(tmp_path / "scan.nii")
    image, noted = task.transform(False)(volume, {})
    assert image.shape == (1, 12, 8, 8)  # 24 x 2 mm, 30 x 1 mm, 20 x 1.5 mm
    (result,) = task.predict(image[None], {name: [one] for name, one in noted.items()})
    assert tuple(result.label_map.shape) == (24, 30, 20)
    (bright,) = result.classes
    assert bright["millilitres"] == pytest.approx(bright["voxels"] * 0.003)
    assert bright["voxels"] == pytest.approx(7200, rel=0.1)


def test_a_result_is_a_file_like_the_scan(tmp_path):
    affine = np.array([[0, -1.5, 0, 9], [1, 0, 0, -8], [0, 0, 2, 7], [0, 0, 0, 1.0]])
    nibabel.save(scan(affine=affine), tmp_path / "scan.nii.gz")
    task = threshold(spacing=(2.0, 1.5, 1.0))
    volume = task.inputs.read(tmp_path / "scan.nii.gz")
    image, noted = task.transform(False)(volume, {})
    (result,) = task.predict(image[None], {name: [one] for name, one in noted.items()})
    (path,) = result.save(tmp_path / "00001-scan")
    assert path.name == "00001-scan.nii.gz"
    mask = nibabel.load(path)
    assert np.allclose(mask.affine, affine)
    assert np.array_equal(np.asarray(mask.dataobj), np.asarray(scan().dataobj) > 50)
    assert result.to_dict() == {"classes": result.classes}
    assert result.rows() == [("bright", pytest.approx(7200 * 0.003), 7200)]


def saturated(image):
    return (np.asarray(image.convert("HSV"))[..., 1] > 60).mean()


def test_drawing_shows_three_slices_and_what_was_found(source):
    volume, target = source.val[0]
    task = threshold(class_names=CLASSES)
    full = task.truth(volume, target)
    empty = LabelVolume(torch.zeros_like(full.label_map), full.volume, CLASSES, task.window)
    assert empty.draw(volume).width > 3 * 200
    assert saturated(full.draw(volume)) > 0.01
    assert saturated(empty.draw(volume)) == 0
    assert full.attach_input(lambda: volume).draw().tobytes() == full.draw(volume).tobytes()


def test_beside_each_other_all_show_the_slices_of_the_ground_truth(source):
    volume, target = source.val[0]
    task = threshold(class_names=CLASSES)
    truth = task.truth(volume, target)
    assert truth.panel(volume, truth).tobytes() == truth.draw(volume).tobytes()
    liver = LabelVolume((truth.label_map == 1).to(torch.uint8), truth.volume, CLASSES, task.window)
    assert liver.panel(volume, truth).tobytes() != liver.draw(volume).tobytes()
    # The upper half has no classes: it is the same in all of them, and in the volume alone.
    shown = task.inputs.show(volume, truth)
    half = (0, 0, shown.width, shown.height // 2 - 4)
    assert saturated(shown) == 0
    assert shown.crop(half).tobytes() == truth.panel(volume, truth).crop(half).tobytes()
    assert shown.crop(half).tobytes() == liver.panel(volume, truth).crop(half).tobytes()
    assert shown.tobytes() != task.inputs.show(volume).tobytes()
    assert task.inputs.show(volume).tobytes() == VolumeInputs(window=(0.0, 100.0)).show(volume).tobytes()
    assert VolumeInputs().show(volume).size == shown.size


def test_an_exported_network_sees_patches_of_one_shape(source):
    task = threshold(spacing=(2.0, 1.0, 1.5))
    exporter = EXPORTERS["volumes"](task)
    assert exporter.set_size() == (16, 16, 16)
    assert exporter.set_size((8, 12)) == (8, 8, 12)
    assert exporter.set_size((4, 8, 12)) == (4, 8, 12)
    (volume,) = exporter.examples(1)
    assert exporter.transform()(volume).shape == (1, 4, 8, 12)
    restored = Volumes(nn.Identity(), task.preprocessing, task.options, task_metadata(task))
    EXPORTERS["volumes"](restored).restore(Threshold(), ["logits"], (4, 8, 12))
    found = restored.predict_sample(volume, {})
    assert torch.equal(found.label_map, task.predict_sample(volume, {}).label_map)
    assert set(restored.model.seen) == {(4, 8, 12)}
    for name in ("spacing", "window"):
        lacking = Volumes(
            nn.Identity(),
            task.preprocessing,
            VolumesOptions(spacing=(1, 1, 1), window=(0, 1)),
            {fact: value for fact, value in task.facts.items() if fact != name},
        )
        with pytest.raises(InputError, match=f"does not state its {name}"):
            EXPORTERS["volumes"](lacking).restore(Threshold(), ["logits"], (4, 8, 12))
    with pytest.raises(InputError, match="returns maps, and volumes needs logits"):
        EXPORTERS["volumes"](restored).restore(Threshold(), ["maps"], (4, 8, 12))


def test_a_checkpoint_holds_all_that_prediction_needs(make, source, tmp_path):
    task = make(depth=8).eval()
    config = TrainConfig(task_name="volumes", source="volumes", task=task.options)
    save_task(tmp_path / "net.safetensors", task, {}, config)
    again, _ = restore_task(tmp_path / "net.safetensors", name="volumes")
    assert (again.patch, again.spacing, again.window) == (task.patch, task.spacing, task.window)
    volumes = torch.randn(1, 1, 8, 16, 16)
    with torch.no_grad():
        assert torch.equal(again(volumes), task(volumes))


def test_what_is_chosen_goes_before_what_is_usual(make):
    task = make(spacing=(4.0, 3.0, 3.0), window=(-160.0, 240.0))
    assert (task.spacing, task.window) == ((4.0, 3.0, 3.0), (-160.0, 240.0))
    low, high = make().window
    assert -200 < low < 100 < high < 300


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slices": 4}, "slices 4 is not an odd number"),
        ({"window": (3.0, 3.0)}, "The window .* is empty"),
        ({"overlap": 1.0}, "overlap 1.0 is out of range"),
        ({"spacing": (0.0, 1.0, 1.0)}, "spacing 0.0 is out of range"),
        ({"foreground": -0.1}, "foreground -0.1 is out of range"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(InputError, match=message):
        VolumesOptions(**options)


def test_synthetic_volumes_are_the_same_every_time_and_in_no_two_places():
    (one, target), (again, _) = Bodies(2)[1], Bodies(2)[1]
    assert torch.equal(one.voxels, again.voxels)
    assert set(target["label_map"].unique().tolist()) == set(range(len(CLASSES)))
    other, _ = Bodies(2, split="val")[1]
    assert other.shape != one.shape or not torch.equal(other.voxels, one.voxels)


def test_synthetic_volumes_have_labels_of_voxels_alone():
    with pytest.raises(InputError, match="has labels of voxels alone"):
        open_source("volumes", labels=("label",))


def test_the_source_has_as_many_volumes_as_its_name_states():
    source = Volumes.open("volumes:3,1")
    assert (source.name, len(source.train), len(source.val)) == ("volumes", 3, 1)
    assert [len(samples) for samples in (Volumes.open("volumes").train, Volumes.open("volumes").val)] == [48, 12]
    with pytest.raises(InputError, match="does not state how many samples volumes has"):
        Volumes.open("volumes:3")


def test_volumes_in_memory_are_predicted_like_their_files(make, tmp_path):
    task = make(spacing=(2.0, 1.5, 1.0))
    save_task(tmp_path / "model.safetensors", task, {}, TrainConfig("volumes", "volumes", task.options))
    model = res2net.load(tmp_path / "model.safetensors")
    array = np.random.default_rng(0).normal(0, 100, (12, 14, 10)).astype(np.float32)  # slices, rows, columns
    for spacing in ((1.0, 1.0, 1.0), (3.0, 0.75, 0.5)):
        nibabel.save(nibabel.Nifti1Image(array.transpose(2, 1, 0), np.diag([*spacing[::-1], 1.0])), tmp_path / "a.nii")
        (expected,) = model.predict(tmp_path / "a.nii")
        inputs = [Volume.from_array(array, spacing), *((array, torch.from_numpy(array)) if spacing[0] == 1 else ())]
        for result in model.predict(inputs):
            assert torch.equal(result.label_map, expected.label_map)
            assert result.to_dict() == expected.to_dict()
            assert result.draw().tobytes() == expected.draw().tobytes()
    (saved,) = result.save(tmp_path / "mask")
    assert np.array_equal(nibabel.load(saved).affine, nibabel.load(tmp_path / "a.nii").affine)


@pytest.mark.parametrize("value", [3, None, {"scan": 1}])
def test_other_things_in_memory_are_no_volumes(value):
    with pytest.raises(InputError, match="is not a volume: give the path of a NIfTI file"):
        VolumeInputs().from_memory(value)
