"""The distribution of receptive fields over all paths, against paths that are walked one by one."""

import math
from collections import Counter

import pytest
from torch import nn

from res2net.backbones.registry import build, variant_names
from res2net.measure import ReceptiveField, mean_field, receptive_field, stage_fields
from res2net.measure.field import chained_paths, joined_paths
from res2net.nn import Res2Bottleneck, Res2Conv


def walked_splits(scale, *, kernel=3, hierarchical=True, passes=True, first_receives=False):
    """The size of each path through the splits of Eq. 1, the splits that are convolved before the one that passes.

    A path enters at one split and leaves at the same or a later one.
    """
    convolved = scale - passes
    sizes = [1] * passes
    for leaves in range(convolved):
        enters = range(leaves + 1) if hierarchical else [leaves]
        sizes += [1 + (leaves - enter + 1) * (kernel - 1) for enter in enters]
        if hierarchical and first_receives:  # from the split that passes
            sizes.append(1 + (leaves + 1) * (kernel - 1))
    return sizes


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_splits_of_a_res2_convolution(scale):
    if scale > 1:
        assert receptive_field(Res2Conv(2, scale=scale)).paths == Counter(walked_splits(scale))
        assert receptive_field(Res2Conv(2, scale=scale, split_order="paper")).paths == Counter(walked_splits(scale))
        first = Res2Conv(2, scale=scale, split_order="arxiv-v1")
        assert receptive_field(first).paths == Counter(walked_splits(scale, first_receives=True))
    every = Res2Conv(2, scale=scale, pass_through="conv", kernel_size=5)
    assert receptive_field(every).paths == Counter(walked_splits(scale, kernel=5, passes=False))


def test_four_splits_by_hand():
    assert receptive_field(Res2Conv(2)).paths == {1: 1, 3: 3, 5: 2, 7: 1}
    assert receptive_field(Res2Conv(2, mode="stage")).paths == {3: 4}
    assert receptive_field(Res2Conv(2, dilation=2)).paths == {1: 1, 5: 3, 9: 2, 13: 1}


def walked_network(blocks):
    """The size of each path of a list of `(sizes of paths of a branch, stride, sizes of paths of its shortcut)`."""
    paths = [(1, 1)]
    for branch, stride, shortcut in blocks:
        paths = [
            (size + jump * (further - 1), jump * stride) for size, jump in paths for further in [*branch, *shortcut]
        ]
    return Counter(size for size, _ in paths)


def test_a_small_network_path_by_path():
    model = build(
        "res2net26_26w_4s", layers=(2, 2), channels=(2, 2), stem_channels=4, base_width=32, scale=3, num_classes=0
    )
    stage = walked_splits(3, hierarchical=False, passes=False)  # two convolutions and a pooling, of 3 positions each
    usual = walked_splits(3)
    blocks = [([7], 2, []), ([3], 2, []), (stage, 1, [1]), (usual, 1, [1]), (stage, 2, [1]), (usual, 1, [1])]
    found = stage_fields(model)[-1].paths
    assert found == walked_network(blocks)
    assert sum(found.values()) == (3 + 1) * (4 + 1) * (3 + 1) * (4 + 1)


def test_numbers_of_paths_are_exact_where_floats_are_not():
    paths = stage_fields(build("res2net152d"))[-1].paths
    stages, others = 4, 3 + 8 + 36 + 3 - 4
    assert sum(paths.values()) == (4 + 1) ** stages * (7 + 1) ** others
    assert math.isfinite(mean_field(paths))


def test_resnet_50_has_two_ways_in_each_block():
    paths = stage_fields(build("resnet50"))[-1].paths
    assert sum(paths.values()) == 2**16
    assert (min(paths), max(paths)) == (11, 427)
    assert mean_field(paths) == (11 + 427) / 2  # as many long paths as short ones


@pytest.mark.parametrize("name", variant_names("res*14*") + variant_names("*tiny") + variant_names("dla60_res2net"))
def test_the_smallest_path_is_the_smallest_view(name):
    for field in stage_fields(build(name)):
        assert min(field.paths) == field.smallest
        assert max(field.paths) <= field.largest


def test_polynomials():
    assert chained_paths({1: 1, 3: 2}, {1: 1, 5: 1}, stride=2) == {1: 1, 3: 2, 9: 1, 11: 2}
    assert joined_paths({1: 1, 3: 2}, {3: 1}) == {1: 1, 3: 3}
    assert math.isnan(mean_field({}))


def test_paths_that_are_not_known_stay_so():
    unknown = ReceptiveField(-3, 3, smallest=1)
    assert unknown.paths == {}
    known = receptive_field(nn.Conv2d(1, 1, 3))
    assert known.paths == {3: 1}
    assert unknown.then(known).paths == known.then(unknown).paths == unknown.joined_with(known).paths == {}


def test_a_bottleneck_has_its_shortcut():
    block = Res2Bottleneck(8, 2, base_width=64, scale=4)
    assert receptive_field(block).paths == {1: 2, 3: 3, 5: 2, 7: 1}
