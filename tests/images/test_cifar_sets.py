"""CIFAR-10 and CIFAR-100 in the official Python version."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision import tv_tensors
from torchvision.datasets import CIFAR100

from res2net.errors import InputError
from res2net.images import Cifar, DataSettings, open_source
from res2net.images.cifar import cifar_preprocessing, find_cifar


@pytest.mark.parametrize(("folder", "classes"), [("cifar-10-batches-py", 10), ("cifar-100-python", 100)])
def test_a_set_is_found_from_its_folder_and_from_above(tmp_path, folder, classes):
    (tmp_path / folder).mkdir()
    assert find_cifar(tmp_path) == (tmp_path, classes)
    assert find_cifar(tmp_path / folder) == (tmp_path, classes)


def test_a_set_is_found_from_inside(tmp_path, monkeypatch):
    (tmp_path / "cifar-100-python").mkdir()
    monkeypatch.chdir(tmp_path / "cifar-100-python")
    assert find_cifar(Path()) == (tmp_path, 100)


def test_another_folder_is_no_cifar(tmp_path):
    assert find_cifar(tmp_path) is None
    (tmp_path / "cat").mkdir()
    (tmp_path / "cifar-100-python.tar.gz").touch()
    assert find_cifar(tmp_path) is None


def test_two_sets_side_by_side_have_to_be_told_apart(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-100-python").mkdir()
    with pytest.raises(InputError, match="both CIFAR-10 and CIFAR-100: give cifar-10-batches-py or cifar-100-python"):
        find_cifar(tmp_path)


@pytest.mark.parametrize("name", ["cifar-10-python.tar.gz", "cifar-100-python.tar.xz", "cifar-100-python.tar"])
def test_an_archive_is_told_to_be_unpacked(tmp_path, name):
    archive = tmp_path / name
    archive.touch()
    for path in (tmp_path, archive):
        with pytest.raises(InputError, match=f"{name} is an archive: unpack it with `tar -xf {archive} -C {tmp_path}`"):
            open_source(path)


@pytest.mark.parametrize(("folder", "classes"), [("cifar-10-batches-py", 10), ("cifar-100-python", 100)])
def test_missing_files_are_told(tmp_path, folder, classes):
    (tmp_path / folder).mkdir()
    with pytest.raises(InputError, match=f"{folder} is not complete, .* unpack cifar-{classes}-python.tar.gz anew"):
        Cifar(tmp_path, classes=classes, train=True)


@pytest.mark.parametrize("file", ["test", "meta"])
def test_damaged_files_are_told(tmp_path, real_data, file):
    official = real_data("cifar100") / "cifar-100-python"
    (tmp_path / official.name).mkdir()
    for source in official.iterdir():
        (tmp_path / official.name / source.name).symlink_to(source)
    damaged = tmp_path / official.name / file
    damaged.unlink()
    damaged.write_bytes((official / file).read_bytes()[:-1])
    with pytest.raises(InputError, match="a file in it is damaged"):
        Cifar(tmp_path, classes=100, train=False)


def test_only_10_and_100_classes_exist(tmp_path):
    with pytest.raises(InputError, match="Unknown number of CIFAR classes 20"):
        Cifar(tmp_path, classes=20, train=True)


def test_images_and_fine_labels_are_those_of_torchvision(real_data):
    root = real_data("cifar100")
    ours, theirs = Cifar(root, classes=100, train=False), CIFAR100(root, train=False)
    assert len(ours) == len(theirs) == 10_000
    assert ours.class_names == theirs.classes
    assert ours.images.shape == (10_000, 3, 32, 32)
    for index in (0, 1234, 9999):
        image, target = ours[index]
        full_image, label = theirs[index]
        assert isinstance(image, tv_tensors.Image)
        assert torch.equal(image, tv_tensors.Image(full_image))
        assert target == {"label": label} == {"label": ours.targets[index]}


@pytest.mark.slow
def test_the_normalisation_is_that_of_the_training_images(real_data):
    images = Cifar(real_data("cifar100"), classes=100, train=True).images.double() / 255
    preprocessing = cifar_preprocessing(100)
    assert preprocessing.mean == pytest.approx(images.mean((0, 2, 3)).tolist(), abs=1e-4)
    assert preprocessing.std == pytest.approx(images.std((0, 2, 3)).tolist(), abs=1e-4)


def test_as_a_source(real_data):
    source = open_source(real_data("cifar100") / "cifar-100-python", DataSettings(bad_images="skip"))
    assert (source.name, len(source.train), len(source.val)) == ("cifar100", 50_000, 10_000)
    assert source.class_names[:2] == ["apple", "aquarium_fish"]
    assert (source.preprocessing.size, source.preprocessing.crop, source.augment.pad) == (32, 1.0, 4)
    assert source.bad_images == "skip"
