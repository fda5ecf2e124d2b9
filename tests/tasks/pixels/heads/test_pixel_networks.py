"""Decoders, the network around them, and inference in pieces and sizes."""

import pytest
import torch
from torchvision.models.segmentation.deeplabv3 import ASPP

import res2net
from res2net.backbones.base import Stage
from res2net.errors import InputError
from res2net.task.maps import resized
from res2net.tasks.pixels.base import averaged, sliding_window
from res2net.tasks.pixels.exporter import FixedPixels
from res2net.tasks.pixels.heads.network import DECODERS, Decoder, PixelNetwork, stage_of_stride

STAGES = (Stage(8, 2), Stage(16, 4), Stage(24, 8), Stage(32, 16))
DOUBLING = ("unet", "unetplusplus", "manet", "linknet", "fpn", "pspnet", "pan", "upernet", "deeplabv3plus")


def maps(height=64, width=96, stages=STAGES):
    return [torch.randn(2, one.channels, -(-height // one.stride), -(-width // one.stride)) for one in stages]


def network(name="deeplabv3plus", classes=5, **options):
    backbone = res2net.create_model("res2net20_26w_4s_tiny", num_classes=0, **options)
    return PixelNetwork(backbone, DECODERS[name](backbone.stages, classes, 16)).eval()


@pytest.mark.parametrize("name", DOUBLING)
@pytest.mark.parametrize("size", [(33, 57), (1, 1)])
def test_every_decoder_answers_in_the_size_of_the_image(name, size):
    model = network(name)
    with torch.no_grad():
        assert model(torch.randn(2, 3, *size)).shape == (2, 5, *size)
    assert name in DECODERS


def test_deeplab_is_the_papers():
    """By hand: pooling at rates of the output stride, then a finer map with 48 of 256 channels."""
    decoder = DECODERS["deeplabv3plus"](STAGES, 7, 256).eval()
    seen = maps()
    aspp = ASPP(32, [6, 12, 18], 256).eval()
    aspp.load_state_dict(decoder.aspp.state_dict())
    fine = decoder.reduce(seen[1])
    assert fine.shape[1] == 48
    joined = torch.cat([resized(aspp(seen[3]), fine.shape[-2:]), fine], 1)
    (logits,) = decoder(seen)
    torch.testing.assert_close(logits, decoder.refine(joined))
    assert logits.shape == (2, 7, 16, 24)


@pytest.mark.parametrize(("stride", "rates"), [(8, [12, 24, 36]), (16, [6, 12, 18]), (32, [3, 6, 9])])
def test_rates_fit_the_output_stride(stride, rates):
    stages = (*STAGES[:3], Stage(32, stride))
    decoder = DECODERS["deeplabv3plus"](stages, 7, 16)
    dilations = [one.dilation[0] for one in decoder.aspp.modules() if getattr(one, "kernel_size", None) == (3, 3)]
    assert dilations == rates


def test_other_maps_are_learnt_from_and_do_not_answer():
    class Two(Decoder):
        def forward(self, pyramid):
            return [pyramid[0][:, :2], pyramid[1][:, :2]]

    model = network()
    model.decoder = Two()
    image = torch.randn(1, 3, 20, 30)
    answer, other = model.all_outputs(image)
    torch.testing.assert_close(model(image), answer)
    assert answer.shape == other.shape == (1, 2, 20, 30)


def test_stages_that_do_not_fit():
    with pytest.raises(InputError, match="needs a stage of stride 4, and the network has 2, 8"):
        stage_of_stride((STAGES[0], STAGES[2]), 4)
    with pytest.raises(InputError, match=r"unetplusplus cannot read stages of strides 2, 4, 8, 8: choose"):
        DECODERS["unetplusplus"]((*STAGES[:3], Stage(32, 8)), 5, 256)
    with pytest.raises(InputError, match="did you mean 'unet'"):
        DECODERS["unett"]


@pytest.mark.parametrize("overlap", [0.0, 1 / 3, 0.5])
@pytest.mark.parametrize("size", [(20, 31), (8, 8), (5, 9), (64, 8)])
def test_pieces_of_a_local_function_are_the_whole(size, overlap):
    images = torch.randn(2, 3, *size)
    shapes = []

    def double(seen):
        shapes.append(seen.shape[-2:])
        return 2 * seen[:, :2]

    torch.testing.assert_close(sliding_window(double, images, 8, overlap), 2 * images[:, :2])
    assert all(max(shape) <= 8 for shape in shapes)


def test_windows_overlap_as_asked():
    """By how often each pixel is seen: with a half, twice but for the ends."""
    lefts = []
    sliding_window(
        lambda seen: lefts.append(int(seen[0, 0, 0, 0])) or seen, torch.arange(32.0).view(1, 1, 1, 32), 8, 0.5
    )
    assert lefts == [0, 4, 8, 12, 16, 20, 24]


def test_the_mean_over_mirror_images_and_sizes():
    images = torch.rand(1, 1, 12, 16)
    ramp = torch.arange(16.0).expand(1, 1, 12, 16)
    flipped = averaged(lambda seen: seen * ramp, images, flip=True)
    torch.testing.assert_close(flipped, images * 7.5)
    seen = []
    averaged(lambda one: seen.append(tuple(one.shape[-2:])) or one, images, (0.5, 1.0, 2.0))
    assert seen == [(6, 8), (12, 16), (24, 32)]
    constant = torch.ones(1, 1, 9, 7)
    torch.testing.assert_close(averaged(lambda one: one, constant, (0.5, 1.7)), constant)


def test_a_network_of_one_size_takes_smaller_images():
    fixed = FixedPixels(torch.nn.Identity(), (16, 24))
    image = torch.randn(2, 3, 9, 20)
    torch.testing.assert_close(fixed(image), image)
    with pytest.raises(InputError, match="17 x 20 pixels does not fit into the 16 x 24"):
        fixed(torch.randn(1, 3, 17, 20))
