"""Volumes as networks see them: resampled, scaled, and cut into patches."""

import pytest
import torch

from res2net.images import Transformed, collate
from res2net.tasks.volumes.nifti import Volume
from res2net.tasks.volumes.prepare import (
    PatchAugment,
    Patches,
    PrepareVolume,
    central_patch,
    cut_patch,
    resampled,
    usual_intensities,
    usual_spacing,
)


def volume(shape=(6, 8, 10), spacing=(2.0, 1.0, 1.0)):
    return Volume.from_array(torch.rand(shape) * 200 - 100, spacing)


class Few:
    """Volumes in which class 1 is large and class 2 is a single voxel."""

    def __init__(self, count=3, shape=(12, 16, 20)):
        self.count, self.shape = count, shape

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        labels = torch.zeros(self.shape, dtype=torch.uint8)
        labels[:4] = 1
        labels[9, 13, 17] = 2
        voxels = torch.full(self.shape, float(index))
        voxels[labels > 0] = 50
        return Volume.from_array(voxels, (2.0 + index, 1.0, 1.0)), {"label_map": labels}


def patches(shape=(4, 4, 4), few=None, foreground=1.0, per_volume=40, **augment):
    prepared = Transformed(few or Few(), PrepareVolume((2.0, 1.0, 1.0), (0.0, 100.0)))
    return Patches(
        prepared,
        shape,
        per_volume=per_volume,
        foreground=foreground,
        lowest=-2.0,
        augment=PatchAugment(**augment),
    )


def test_a_volume_keeps_its_size_in_mm():
    prepared, noted = PrepareVolume((1.0, 2.0, 0.5), (-100, 100))(volume(), {})
    assert prepared.shape == (1, 12, 4, 20)
    assert noted["size_now"] == (12, 4, 20)
    assert noted["original_size"] == (6, 8, 10)


def test_resampling_is_linear_between_centres_of_voxels():
    # A slope stays a slope: away from the ends, where nothing is known beyond.
    slope = torch.arange(8.0)[None, :, None, None].expand(1, 8, 3, 3)
    centres = (torch.arange(16) + 0.5) / 2 - 0.5
    assert torch.allclose(resampled(slope, (16, 3, 3))[0, 1:-1, 0, 0], centres[1:-1])


def test_labels_stay_whole_numbers():
    labels = torch.randint(0, 5, (1, 5, 6, 7), dtype=torch.uint8)
    larger = resampled(labels, (10, 12, 14))
    assert larger.dtype == torch.uint8
    assert torch.equal(larger[:, ::2, ::2, ::2], labels)


def test_intensities_beyond_the_window_are_alike():
    scan = Volume.from_array(torch.tensor([-1000.0, 0.0, 50.0, 100.0, 3000.0]).view(5, 1, 1), (1.0, 1.0, 1.0))
    image, _ = PrepareVolume((1.0, 1.0, 1.0), (0.0, 100.0))(scan, {})
    assert image.flatten().tolist() == [-2, -2, 0, 2, 2]


def test_the_truth_stays_as_it_is_in_the_file():
    labels = torch.ones(6, 8, 10, dtype=torch.uint8)
    _, noted = PrepareVolume((1.0, 1.0, 1.0), (0, 1), truth=True)(volume(), {"label_map": labels, "index": 3})
    assert torch.equal(noted["truth"], labels)
    assert noted["index"] == 3
    assert "label_map" not in noted


def test_what_is_usual():
    assert usual_spacing(Few()) == (3.0, 1.0, 1.0)
    assert usual_intensities(Few()) == (49.5, 50.5)  # all of the foreground is 50


def test_patches_are_centred_on_every_class_as_often():
    found = patches()
    assert len(found) == 120
    has = [found[index][1]["label_map"] for index in range(80)]
    assert all(one.shape == (4, 4, 4) and one.dtype == torch.int64 for one in has)
    small = sum(bool((one == 2).any()) for one in has)
    assert 25 < small < 55  # of 80, though it is one voxel of 3840


def test_without_balance_patches_are_anywhere():
    found = patches(foreground=0.0)
    assert sum(bool((found[index][1]["label_map"] == 2).any()) for index in range(80)) < 20


def test_a_patch_is_the_same_place_of_image_and_labels():
    found = patches(jitter=0.0)
    for index in range(20):
        image, target = found[index]
        assert torch.equal(image[0] == 0.0, target["label_map"] > 0)  # 50 of 0 ... 100


def test_flips_turn_both():
    augment = PatchAugment(flip=(1.0, 0.0, 1.0))
    image, labels = torch.rand(1, 3, 4, 5), torch.randint(0, 3, (3, 4, 5))
    flipped, classes = augment(image, labels)
    assert torch.equal(flipped, image.flip(1, 3))
    assert torch.equal(classes, labels.flip(0, 2))


def test_changes_leave_labels_alone():
    image, labels = torch.rand(1, 3, 4, 5), torch.randint(0, 3, (3, 4, 5))
    changed, classes = PatchAugment(jitter=0.1, noise=0.1)(image, labels)
    assert torch.equal(classes, labels)
    assert 0 < (changed - image).abs().max() < 1


def test_small_volumes_are_filled_up():
    image, target = patches((20, 16, 30))[0]
    assert image.shape == (1, 20, 16, 30)
    assert (image[0, 0] == -2).all()
    assert (target["label_map"][0] == 0).all()


def test_volumes_without_classes_give_patches():
    class Empty(Few):
        def __getitem__(self, index):
            scan, target = super().__getitem__(index)
            return scan, {"label_map": torch.zeros_like(target["label_map"])}

    assert not patches(few=Empty())[0][1]["label_map"].any()


@pytest.mark.parametrize("start", [(0, 0, 0), (-2, 1, 3), (3, -1, -4)])
def test_a_cut_is_that_of_a_padded_volume(start):
    image = torch.rand(1, 4, 5, 6)
    padded = torch.nn.functional.pad(image, (8,) * 6, value=7.0)
    z, y, x = (at + 8 for at in start)
    assert torch.equal(cut_patch(image, start, (4, 4, 4), 7.0), padded[:, z : z + 4, y : y + 4, x : x + 4])


def test_the_middle():
    image = torch.arange(5.0)[None, :, None, None]
    assert central_patch(image, (3, 1, 1), 0.0).flatten().tolist() == [1, 2, 3]
    assert central_patch(image, (7, 1, 1), -1.0).flatten().tolist() == [-1, 0, 1, 2, 3, 4, -1]


def test_volumes_of_several_sizes_make_a_batch():
    prepare = PrepareVolume((1.0, 1.0, 1.0), (0, 1))
    samples = [prepare(volume(shape, (1.0, 1.0, 1.0)), {"index": 0}) for shape in ((3, 4, 5), (33, 2, 40))]
    images, targets = collate(samples)
    assert images.shape == (2, 1, 64, 32, 64)
    assert targets["size_now"] == [(3, 4, 5), (33, 2, 40)]
    assert torch.equal(images[1, :, :33, :2, :40], samples[1][0])
    assert not images[0, :, 3:].any()
