"""Our backbones under the decoders of segmentation_models.pytorch."""

import pytest
import segmentation_models_pytorch as smp
import torch

from res2net.adapters import smp as adapter
from res2net.errors import InputError
from res2net.zoo import create_model, list_models

NAME = "res2net14_26w_4s"


@pytest.fixture(autouse=True, scope="module")
def names():
    return adapter.register()


def test_names_are_ours_with_a_prefix_and_a_tag(names):
    assert adapter.register() == names
    assert set(names) <= set(smp.encoders.get_encoder_names())
    assert {name.removeprefix("res2net/").partition(".")[0] for name in names} <= set(list_models())
    assert {"res2net/res2net50_26w_4s", "res2net/res2net50_26w_4s.paddle_in1k", "res2net/res2net50d.in1k"} <= set(names)
    assert not any("ecapa" in name for name in names)


@pytest.mark.parametrize(
    ("decoder", "options"),
    [
        (smp.Unet, {}),
        (smp.Unet, {"encoder_depth": 3, "decoder_channels": (16, 8, 4)}),
        (smp.DeepLabV3Plus, {"encoder_output_stride": 16}),
        (smp.DeepLabV3Plus, {"encoder_output_stride": 8}),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
@torch.no_grad()
def test_the_encoder_computes_what_that_of_timm_does(lively, decoder, options):
    """timm's network of the same name, in the library's own wrapper, with dilation as timm does it."""
    name = "res2net50d"
    ours = decoder(f"res2net/{name}", encoder_weights=None, classes=2, **options).eval()
    theirs = decoder(f"tu-{name}", encoder_weights=None, classes=2, **options).eval()
    weights = lively(ours)
    theirs.load_state_dict({key.replace("encoder.backbone.", "encoder.model."): t for key, t in weights.items()})
    x = torch.randn(1, 3, 64, 64)
    for feature, expected in zip(ours.encoder(x), theirs.encoder(x), strict=True):
        assert torch.equal(feature, expected)
    assert torch.equal(ours(x), theirs(x))
    assert ours.encoder.out_channels == theirs.encoder.out_channels[: len(ours.encoder.out_channels)]
    assert ours.encoder.output_stride == theirs.encoder.output_stride


@pytest.mark.parametrize(
    ("decoder", "options"),
    [
        (smp.UnetPlusPlus, {}),
        (smp.FPN, {}),
        (smp.PSPNet, {"encoder_depth": 3}),
        (smp.DeepLabV3, {"encoder_output_stride": 8}),
        (smp.Linknet, {}),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_other_decoders_learn(decoder, options):
    model = decoder(f"res2net/{NAME}", encoder_weights=None, in_channels=2, classes=3, **options)
    logits = model(torch.randn(2, 2, 64, 64))
    assert logits.shape == (2, 3, 64, 64)
    logits.square().mean().backward()
    # Stages that the decoder does not read are not there, and what is there learns.
    assert all(parameter.grad is not None for parameter in model.encoder.parameters())


@torch.no_grad()
@pytest.mark.slow
def test_weights_of_a_record(lively, write_published, monkeypatch, tmp_path):
    """A file stands for the published one; downloading is tested with the weights."""
    source = create_model("res2net50_26w_4s", graph="paddle").eval()
    lively(source)
    write_published(source, "res2net50_26w_4s", tmp_path)
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path))
    x = torch.randn(1, 3, 32, 32)
    model = smp.Unet("res2net/res2net50_26w_4s.paddle_in1k", encoder_weights=None).eval()
    assert torch.equal(model.encoder(x)[-1], source.features(x)[-1])
    grey = smp.Unet("res2net/res2net50_26w_4s.paddle_in1k", encoder_weights=None, in_channels=1).eval()
    expected = source.features(x[:, :1].expand(-1, 3, -1, -1))[-1]
    torch.testing.assert_close(grey.encoder(x[:, :1])[-1], expected, rtol=1e-3, atol=1e-3)
    assert grey.encoder.out_channels[:2] == [1, 64]


def test_a_network_of_fewer_stages():
    name = "res2net/res2net20_26w_4s_tiny"
    with pytest.raises(InputError, match=r"has stages of strides 2, 4, 8, 16 and decoders of depth 5 read strides"):
        smp.Unet(name, encoder_weights=None)
    model = smp.Unet(name, encoder_weights=None, encoder_depth=4, decoder_channels=(16, 8, 4, 4))
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 1, 32, 32)


@torch.no_grad()
def test_save_and_load(lively, tmp_path):
    model = smp.Unet(f"res2net/{NAME}", encoder_weights=None, classes=2).eval()
    lively(model)
    model.save_pretrained(str(tmp_path / "saved"))
    x = torch.randn(1, 3, 32, 32)
    assert torch.equal(smp.from_pretrained(str(tmp_path / "saved")).eval()(x), model(x))
