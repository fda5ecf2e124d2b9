"""The procedural set: the same images everywhere, and labels that agree with the pixels and with each other."""

from collections import Counter

import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.ops import masks_to_boxes

from res2net.errors import InputError
from res2net.images import DataSettings, open_source
from res2net.images.shapes.dataset import CLASS_NAMES, KEYPOINTS, LABELS, Shapes
from res2net.images.shapes.render import OVERSAMPLING, render
from res2net.images.shapes.scene import LARGEST, SMALLEST, WALL, draw_scene
from res2net.images.shapes.silhouettes import ANCHORS, OUTLINES, SILHOUETTES
from res2net.images.shapes.textures import TEXTURES, texture


@pytest.fixture(scope="module")
def scenes():
    """Sixty images of up to six things with all labels."""
    data = Shapes(60, size=96, things=(1, 6), labels=LABELS, keep=True)
    return [data[index] for index in range(len(data))]


def test_a_image_depends_on_seed_split_and_index_alone():
    data = Shapes(5, size=48)
    for index in range(5):
        assert torch.equal(data[index][0], Shapes(50, size=48)[index][0])
    others = [Shapes(5, size=48, seed=1), Shapes(5, size=48, split="val")]
    assert all(not torch.equal(data[2][0], other[2][0]) for other in others)
    assert not torch.equal(data[2][0], data[3][0])


def test_another_process_draws_the_same_image(fresh):
    code = "from res2net.images.shapes.dataset import Shapes; print(int(Shapes(9, size=32)[7][0].long().sum()))"
    assert int(fresh(code)) == int(Shapes(9, size=32)[7][0].long().sum())


def test_kept_images_are_the_drawn_ones_and_their_targets_are_not_shared():
    kept, drawn = Shapes(3, keep=True), Shapes(3)
    kept[1][1]["label"] = -1
    assert torch.equal(kept[1][0], drawn[1][0])
    assert kept[1][1] == drawn[1][1]


def test_a_class_is_a_silhouette_and_a_texture_equally_often():
    assert len(CLASS_NAMES) == len(SILHOUETTES) * len(TEXTURES) == 16
    data = Shapes(1600, size=16)
    counts = Counter(data.scene(index).things[0].label for index in range(1600))
    assert set(counts) == set(range(16))
    assert min(counts.values()) > 60  # a hundred each; five standard deviations below
    thing = data.scene(0).things[0]
    assert CLASS_NAMES[thing.label] == f"{thing.pattern.texture} {thing.silhouette}"


def test_sizes_go_from_6_to_90_percent_of_the_side():
    data = Shapes(1500, size=16)
    sizes = [data.scene(index).things[0].size for index in range(1500)]
    assert min(sizes) >= SMALLEST - 1e-9
    assert max(sizes) <= LARGEST + 1e-9
    assert min(sizes) < 0.07
    assert max(sizes) > 0.88


def test_things_lie_within_the_image(scenes):
    data = Shapes(60, size=96, things=(1, 6))
    for index in range(60):
        for thing in data.scene(index).things:
            assert thing.corners.min() >= -1e-9
            assert thing.corners.max() <= 1 + 1e-9


def test_the_share_of_the_second_colour_is_a_half_in_every_texture():
    grid = (np.arange(2000) + 0.5).astype(np.float32) / 2000
    for name in TEXTURES:
        shares = [
            texture(name, grid[None, :], grid[:, None], period=0.04, angle=0.3, seed=seed).mean() for seed in range(4)
        ]
        assert np.mean(shares) == pytest.approx(0.5, abs=0.02), name


def test_masks_cover_the_area_of_the_outline():
    """Against the shoelace formula, for single things large enough for the border to matter little."""
    data = Shapes(200, size=128, labels=("masks",))
    checked = 0
    for index in range(200):
        thing = data.scene(index).things[0]
        if thing.size < 0.4:
            continue
        x, y = thing.corners.T * 128
        area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
        assert int(data[index][1]["masks"].sum()) == pytest.approx(area, rel=0.02)
        checked += 1
    assert checked > 50


def test_labels_agree_with_each_other(scenes):
    for image, target in scenes:
        masks = target["masks"]
        count = len(masks)
        assert 1 <= count <= 6
        assert isinstance(image, tv_tensors.Image)
        assert (image.dtype, tuple(image.shape)) == (torch.uint8, (3, 96, 96))
        assert masks.sum(0).max() <= 1  # what is visible belongs to one thing
        expected = masks_to_boxes(masks.as_subclass(torch.Tensor)) + torch.tensor([0, 0, 1, 1])
        assert torch.equal(target["boxes"].as_subclass(torch.Tensor), expected)
        assert torch.equal(target["saliency"], masks.any(0))
        semantic = torch.zeros(96, 96, dtype=torch.uint8)
        for mask, label in zip(masks, target["labels"], strict=True):
            semantic[mask] = label + 1
        assert torch.equal(target["semantic"], semantic)
        assert target["label"] == target["labels"][-1]
        assert tuple(target["keypoints"].shape) == (count, len(KEYPOINTS), 2)
        assert tuple(target["visibility"].shape) == (count, len(KEYPOINTS))


def test_nearer_things_are_larger_and_cover_farther_ones(scenes):
    for _, target in scenes:
        depth = target["depth"]
        distances = [float(depth[mask].unique().item()) for mask in target["masks"]]
        assert distances == sorted(distances, reverse=True)
        assert (depth[~target["saliency"]] == WALL).all()
        assert distances[-1] == pytest.approx(LARGEST / target["size"], rel=1e-5)


def test_a_visible_centre_is_in_the_mask_and_hidden_points_are_under_a_nearer_thing(scenes):
    hidden = 0
    for _, target in scenes:
        for index, mask in enumerate(target["masks"]):
            x, y = target["keypoints"][index].long().clamp(0, 95).unbind(-1)
            visibility = target["visibility"][index]
            assert visibility[0] == 1 or mask[y[0], x[0]]
            covered = target["masks"][index + 1 :, y, x].any(0)
            assert torch.equal(visibility == 1, covered)
            hidden += int(covered.sum())
    assert hidden > 0


def test_named_points_lie_on_the_outline_or_within():
    for name in SILHOUETTES:
        corners = OUTLINES[name]
        for point in ANCHORS[name][1:]:
            edges = np.roll(corners, -1, 0) - corners
            along = np.clip(((point - corners) * edges).sum(1) / (edges**2).sum(1), 0, 1)
            assert np.linalg.norm(corners + along[:, None] * edges - point, axis=1).min() < 1e-9


def test_edges_are_anti_aliased_and_drawing_larger_shows_the_same_scene():
    scene = draw_scene(np.random.default_rng(3), 1)
    small, large = render(scene, 32), render(scene, 128)
    shrunk = large.image.reshape(32, 4, 32, 4, 3).mean((1, 3))
    assert np.abs(shrunk - small.image).mean() < 12  # of 255: noise, and the limit to the finest pattern
    assert OVERSAMPLING >= 3


def test_the_named_source_is_drawn_once_in_a_process():
    source = open_source("shapes")
    assert source is not open_source("shapes")  # its options may differ
    assert source.val is open_source("shapes", DataSettings(seed=3)).val
    assert (len(source.train), len(source.val), len(source.class_names)) == (12_000, 2_000, 16)


def test_a_named_source_has_as_many_images_as_its_name_states():
    source = open_source("shapes:8,3")
    assert (source.name, len(source.train), len(source.val)) == ("shapes", 8, 3)
    assert source.train is open_source("shapes:8,3").train
    usual = open_source("shapes")
    for few, many in ((source.train, usual.train), (source.val, usual.val)):
        assert torch.equal(few[2][0], many[2][0])
    scenes = open_source("shapes:4,2", labels=("semantic",))
    assert (len(scenes.train), len(scenes.val)) == (4, 2)
    with_stuff = open_source("shapes:4,2", labels=("boxes", "labels", "masks", "semantic"))
    assert (len(with_stuff.train), len(with_stuff.val)) == (4, 2)


@pytest.mark.parametrize("counts", ["", "80", "80,", "80,40,20", "80,0", "-1,4", "8.5,4", "many,few", "1,9999999999"])
def test_numbers_of_images_that_are_wrong(counts):
    with pytest.raises(InputError, match=r"does not state how many samples shapes has: .* as in shapes:400,100"):
        open_source(f"shapes:{counts}")


@pytest.mark.parametrize(
    "options",
    [{"length": 0}, {"size": 8}, {"things": 0}, {"things": (3, 2)}, {"seed": -1}],
    ids=lambda options: str(options),
)
def test_what_cannot_be_drawn_is_refused(options):
    with pytest.raises(InputError, match="cannot be rendered"):
        Shapes(**{"length": 3} | options)


def test_unknown_names_are_told_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'train'"):
        Shapes(3, split="trian")
    with pytest.raises(InputError, match="did you mean 'keypoints'"):
        Shapes(3, labels=["keypoint"])
    with pytest.raises(IndexError):
        Shapes(3)[3]


def test_labels_of_pixels_in_the_source():
    for label, names, dtype in (
        ("semantic", ("background", *SILHOUETTES), torch.uint8),
        ("saliency", ("salient",), torch.bool),
        ("depth", ("depth",), torch.float32),
    ):
        source = open_source("shapes:8,4", labels=(label,))
        assert tuple(source.class_names) == names
        _, target = source.train[0]
        assert list(target) == [label]
        assert isinstance(target[label], tv_tensors.Mask)
        assert (target[label].dtype, tuple(target[label].shape)) == (dtype, (128, 128))
    assert target["depth"].min() > 0
    _, target = open_source("shapes:8,4", labels=("semantic",)).train[0]
    assert 0 < target["semantic"].max() <= len(SILHOUETTES)
    with_boxes = open_source("shapes:8,4", labels=("boxes", "labels", "masks", "semantic"))
    assert tuple(with_boxes.class_names) == tuple(SILHOUETTES)
