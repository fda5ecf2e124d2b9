"""The U-Net for volumes: its shapes, its blocks, and the slices that a network of two dimensions sees."""

import pytest
import torch

import res2net
from res2net.errors import InputError
from res2net.measure import count
from res2net.nn import Res2Bottleneck
from res2net.tasks.volumes.network import VolumeNetwork, neighbouring_slices

DEEP, FLAT = "res2net3d20_26w_4s_tiny", "res2net20_26w_4s_tiny"


def network(name=DEEP, classes=3, in_channels=1, **options):
    backbone = res2net.create_model(name, in_channels=in_channels, num_classes=0, **options)
    return VolumeNetwork(backbone, classes, channels=32).eval()


@pytest.mark.parametrize(("name", "slices"), [(DEEP, 1), ("resnet3d20_tiny", 1), (FLAT, 1), (FLAT, 5)])
@pytest.mark.parametrize("size", [(16, 24, 32), (5, 9, 17), (1, 1, 1)])
def test_every_voxel_has_logits(name, slices, size):
    volumes = torch.randn(2, 1, *size)
    with torch.no_grad():
        logits = network(name, in_channels=slices)(volumes)
    assert logits.shape == (2, 3, *size)
    assert logits.isfinite().all()


def test_slices_stand_between_their_neighbours():
    volumes = torch.arange(4.0)[None, None, :, None, None].expand(2, 1, 4, 2, 3)
    stacks = neighbouring_slices(volumes, 5)
    assert stacks.shape == (8, 5, 2, 3)
    expected = [[0, 0, 0, 1, 2], [0, 0, 1, 2, 3], [0, 1, 2, 3, 3], [1, 2, 3, 3, 3]]
    assert stacks[:4, :, 0, 0].tolist() == expected
    assert stacks[4:, :, 1, 2].tolist() == expected


def test_a_flat_network_sees_no_further_than_its_slices():
    flat = network(FLAT, in_channels=3)
    volumes = torch.randn(1, 1, 8, 16, 16)
    changed = volumes.clone()
    changed[:, :, 5] += 1
    with torch.no_grad():
        apart = (flat(volumes) - flat(changed)).abs().amax((0, 1, 3, 4)) > 0
    assert apart.tolist() == [False] * 4 + [True] * 3 + [False]


def test_blocks_of_the_decoder_are_those_of_the_backbone():
    for name, scale in ((DEEP, 4), ("resnet3d20_tiny", 1)):
        blocks = [one for one in network(name).decoder.modules() if isinstance(one, Res2Bottleneck)]
        assert len(blocks) == 4
        assert {block.scale for block in blocks} == {scale}


def test_the_networks_that_are_compared_cost_the_same():
    ours, plain = (count(network(name, 5), (1, 24, 48, 48)).macs for name in (DEEP, "resnet3d20_tiny"))
    assert ours < plain < 1.06 * ours


def test_weights_for_images_become_those_for_volumes():
    from res2net.weights import inflate

    image = res2net.create_model(FLAT, in_channels=1, num_classes=0)
    deep = network(DEEP)
    deep.backbone.load_state_dict(inflate(image.state_dict(), deep.backbone))
    assert deep(torch.randn(1, 1, 8, 16, 16)).shape == (1, 3, 8, 16, 16)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ecapa_tdnn_512", {"in_channels": 80}, "is for signals of 1 dimensions: choose one of three, or one of two"),
        (DEEP, {"in_channels": 3}, "A backbone with 3 input channels does not fit volumes, which have one"),
        (DEEP, {"classes": 1}, "classes 1 is out of range"),
    ],
)
def test_mistakes(name, options, message):
    with pytest.raises(InputError, match=message):
        network(name, **options)
