"""Our backbones in timm: what `timm.create_model` makes of them is one of ours."""

import copy
import pickle

import pytest
import timm
import torch
from timm.models import save_for_hf

from res2net.adapters import timm as adapter
from res2net.backbones.base import Backbone
from res2net.backbones.registry import variant
from res2net.errors import InputError
from res2net.weights import from_native, save
from res2net.zoo import create_model, list_models

SMALL = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8], "stem_channels": 8, "base_width": 32}
NAME = "res2net50_26w_4s"
OTHER_HEADS = {"ecapa_tdnn_512", "inception_v3"}


@pytest.fixture(autouse=True, scope="module")
def names():
    return adapter.register()


def make(name=NAME, **options):
    return timm.create_model(adapter.PREFIX + name, **options)


def test_the_names_are_ours_with_a_prefix(names):
    assert len(names) > 30
    assert {name.removeprefix(adapter.PREFIX) for name in names} <= set(list_models())
    assert set(names) <= set(timm.list_models(f"{adapter.PREFIX}*"))
    assert adapter.PREFIX + NAME in names
    assert not OTHER_HEADS & {name.removeprefix(adapter.PREFIX) for name in names}
    assert adapter.register() == names
    # What timm adds to the names that this module exports is there.
    assert all(callable(getattr(adapter, name)) for name in names)


def test_a_slash_or_a_colon_would_not_do():
    for name in (f"res2net/{NAME}", f"res2net:{NAME}"):
        with pytest.raises(ValueError, match="source"):
            timm.create_model(name)


def test_tags_are_those_of_our_records():
    tags = {name.partition(".")[2] for name in timm.list_pretrained(f"{adapter.PREFIX}res2net50_26w_8s*")}
    assert {"in1k", "mmpretrain_in1k"} <= tags
    assert timm.list_pretrained(f"{adapter.PREFIX}res2net14*") == []
    ours = timm.get_pretrained_cfg(adapter.PREFIX + NAME)
    assert ours.tag == "in1k"
    theirs = timm.get_pretrained_cfg(f"{NAME}.in1k")
    for field in ("input_size", "interpolation", "crop_pct", "mean", "std", "num_classes"):
        assert getattr(ours, field) == getattr(theirs, field)
    assert "not for commercial use" in ours.license


@torch.no_grad()
@pytest.mark.slow
def test_one_of_every_family_is_the_same_network(names, lively):
    families = {}
    for name in (name.removeprefix(adapter.PREFIX) for name in names):
        families.setdefault(variant(name).build, name)
    assert len(families) > 1
    x = torch.randn(1, 3, 32, 32)
    for name in families.values():
        ours = create_model(name, num_classes=5).eval()
        weights = lively(ours)
        theirs = make(name, num_classes=5).eval()
        theirs.load_state_dict(weights)
        logits = ours(x)
        assert torch.equal(theirs(x), logits), name
        features = theirs.forward_features(x)
        assert torch.equal(features, ours.features(x)[-1])
        assert torch.equal(theirs.forward_head(features), logits)
        assert theirs.forward_head(features, pre_logits=True).shape == (1, theirs.num_features)
        theirs.reset_classifier(0)
        assert theirs(x).shape == (1, theirs.num_features)


@torch.no_grad()
def test_a_network_that_timm_has_too_computes_the_same(lively):
    ours, reference = make("res2net50d", num_classes=4).eval(), timm.create_model("res2net50d", num_classes=4).eval()
    reference.load_state_dict(lively(ours))
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(ours(x), reference(x))
    assert torch.equal(ours.forward_features(x), reference.forward_features(x))
    assert (ours.num_features, ours.head_hidden_size) == (reference.num_features, reference.head_hidden_size)
    ours.reset_classifier(0)
    reference.reset_classifier(0)
    assert torch.equal(ours(x), reference(x))
    ours.reset_classifier(0, "")
    assert torch.equal(ours(x), reference.forward_features(x))
    pyramid = timm.create_model("res2net50d", features_only=True).feature_info
    ours = make("res2net50d", features_only=True).feature_info
    assert (ours.channels(), ours.reduction()) == (pyramid.channels(), pyramid.reduction())
    assert ours.module_name() == pyramid.module_name()


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("out_indices", [None, (1, 3), (-1,), (0, 2)])
@torch.no_grad()
def test_features_only(lively, output_stride, out_indices):
    options = {**SMALL, "output_stride": output_stride}
    chosen = {} if out_indices is None else {"out_indices": out_indices}
    extractor = make(features_only=True, **chosen, **options).eval()
    ours = create_model(NAME, num_classes=0, **options).eval()
    weights = lively(ours)
    missing = extractor.load_state_dict({f"model.{n}": t for n, t in weights.items()}, strict=False)
    assert missing.missing_keys == []
    x = torch.randn(2, 3, 65, 47)
    levels = [range(5)[index] for index in out_indices or range(5)]
    pyramid = ours.features(x)
    for feature, level in zip(extractor(x), levels, strict=True):
        assert torch.equal(feature, pyramid[level])
    assert extractor.feature_info.channels() == [ours.stages[level].channels for level in levels]
    assert extractor.feature_info.reduction() == [ours.stages[level].stride for level in levels]


def test_features_only_leaves_out_what_is_not_needed():
    extractor = make(features_only=True, out_indices=(0, 2), **SMALL)
    names = {name for name, _ in extractor.named_parameters()}
    assert any(name.startswith("model.layer2") for name in names)
    assert not any(name.startswith(("model.layer3", "model.layer4", "model.fc")) for name in names)
    with pytest.raises(InputError, match=r"Stages \[7\] do not exist: choose among 0 to 4"):
        make(features_only=True, out_indices=(7,), **SMALL)
    with pytest.raises(InputError, match=r"Unknown feature class 'list'.*allowed: getter"):
        make(features_only=True, feature_cls="list", **SMALL)


@torch.no_grad()
def test_intermediates():
    model = make(**SMALL).eval()
    x = torch.randn(1, 3, 32, 32)
    pyramid = model.features(x)
    last, found = model.forward_intermediates(x, indices=[1, 2])
    assert torch.equal(last, pyramid[4])
    assert all(torch.equal(a, b) for a, b in zip(found, pyramid[1:3], strict=True))
    early, found = model.forward_intermediates(x, indices=[1, 2], stop_early=True)
    assert torch.equal(early, pyramid[2])
    assert len(model.forward_intermediates(x, intermediates_only=True)) == 5
    assert torch.equal(model.forward_intermediates(x, 1, intermediates_only=True)[0], pyramid[4])


def test_options_reach_the_network():
    model = make(in_chans=2, num_classes=3, drop_path_rate=0.2, drop_rate=0.5, output_stride=16, **SMALL)
    assert isinstance(model, Backbone)
    assert (model.in_chans, model.num_classes, model.output_stride, model.dropout.p) == (2, 3, 16, 0.5)
    assert model.layer4[0].drop_path.p == pytest.approx(0.2)
    assert model(torch.randn(2, 2, 32, 32)).shape == (2, 3)
    assert model.get_classifier() is model.fc
    with pytest.raises(InputError, match=r"has no option 'scales': did you mean 'scale'\?"):
        make(scales=8)


def test_a_new_classifier():
    model = make(num_classes=3, **SMALL)
    model.reset_classifier(7)
    assert model.variant_options["num_classes"] == 7
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 7)
    with pytest.raises(InputError, match="needs pooled features"):
        model.reset_classifier(7, "")
    with pytest.raises(InputError, match="pass recompute=True"):
        model.set_grad_checkpointing()
    model.set_grad_checkpointing(False)


@torch.no_grad()
def test_pretrained_weights_come_from_our_records(lively, write_published, tmp_path, monkeypatch):
    """A small file stands for the published one; downloading is tested with the weights."""
    source = create_model(NAME, num_classes=1000, graph="paddle", **SMALL).eval()
    other = create_model("res2net50_14w_8s", num_classes=1000, graph="paddle", **SMALL | {"base_width": 64}).eval()
    lively(source)
    lively(other)
    write_published(source, NAME, tmp_path / "usual")
    write_published(other, "res2net50_14w_8s", tmp_path / "there")
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "usual"))
    x = torch.randn(1, 3, 32, 32)
    tagged = f"{NAME}.paddle_in1k"
    assert torch.equal(make(tagged, pretrained=True, **SMALL).eval()(x), source(x))
    there = make(
        "res2net50_14w_8s.paddle_in1k", pretrained=True, cache_dir=tmp_path / "there", **SMALL | {"base_width": 64}
    )
    assert torch.equal(there.eval()(x), other(x))
    fewer = make(tagged, pretrained=True, num_classes=3, **SMALL).eval()
    assert torch.equal(fewer.forward_features(x), source.features(x)[-1])
    features = make(tagged, pretrained=True, features_only=True, out_indices=(4,), **SMALL).eval()
    assert torch.equal(features(x)[0], source.features(x)[-1])
    grey = make(tagged, pretrained=True, in_chans=1, **SMALL).eval()
    torch.testing.assert_close(grey(x[:, :1]), source(x[:, :1].expand(-1, 3, -1, -1)))


@torch.no_grad()
def test_a_file_takes_the_place_of_a_record(lively, tmp_path):
    source = create_model(NAME, num_classes=1000, **SMALL).eval()
    torch.save(from_native(lively(source), "mmpretrain"), tmp_path / "mine.pth")
    x = torch.randn(1, 3, 32, 32)
    mine = make(pretrained=True, pretrained_cfg_overlay={"file": str(tmp_path / "mine.pth")}, **SMALL).eval()
    assert torch.equal(mine(x), source(x))


@torch.no_grad()
def test_weights_bring_the_graph_that_they_need(lively, write_published, tmp_path, monkeypatch):
    source = create_model("res2net50d", graph="paddle", num_classes=1000, **SMALL).eval()
    weights = lively(source)
    write_published(source, "res2net50d", tmp_path)
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path))
    model = make("res2net50d.paddle_in1k", pretrained=True, **SMALL).eval()
    x = torch.randn(1, 3, 32, 32)
    assert torch.equal(model(x), source(x))
    plain = make("res2net50d", **SMALL).eval()
    plain.load_state_dict(weights)
    assert not torch.equal(plain(x), source(x))
    save_for_hf(model, str(tmp_path / "hub"), safe_serialization=True)
    assert torch.equal(timm.create_model(f"local-dir:{tmp_path / 'hub'}", pretrained=True).eval()(x), source(x))


@torch.no_grad()
def test_a_file_of_ours_brings_its_options(lively, tmp_path):
    source = create_model(NAME, num_classes=4, scale=2, **SMALL).eval()
    save(tmp_path / "a.safetensors", lively(source), {"model": NAME, "options": {**SMALL, "scale": 2}})
    model = make(pretrained=True, pretrained_cfg_overlay={"file": str(tmp_path / "a.safetensors")}, num_classes=4)
    x = torch.randn(1, 3, 32, 32)
    assert torch.equal(model.eval()(x), source(x))
    save_for_hf(model, str(tmp_path / "hub"), safe_serialization=True)
    assert torch.equal(timm.create_model(f"local-dir:{tmp_path / 'hub'}", pretrained=True).eval()(x), source(x))


def test_a_network_without_published_weights_says_so():
    with pytest.raises(InputError, match=r"'res2net14_26w_4s' has no published weights"):
        make("res2net14_26w_4s", pretrained=True)


@torch.no_grad()
def test_it_can_be_copied_pickled_and_saved(lively, tmp_path):
    model = make(num_classes=4, **SMALL).eval()
    weights = lively(model)
    x = torch.randn(1, 3, 32, 32)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(again) is type(model)
        assert torch.equal(again(x), model(x))
    save_for_hf(model, str(tmp_path / "hub"), safe_serialization=True)
    assert torch.equal(timm.create_model(f"local-dir:{tmp_path / 'hub'}", pretrained=True).eval()(x), model(x))
    # A checkpoint of timm's is one of ours.
    torch.save({"state_dict": weights, "arch": adapter.PREFIX + NAME}, tmp_path / "last.pth.tar")
    assert torch.equal(create_model(NAME, tmp_path / "last.pth.tar", **SMALL).eval()(x), model(x))
    by_timm = make(num_classes=4, checkpoint_path=tmp_path / "last.pth.tar", **SMALL).eval()
    assert torch.equal(by_timm(x), model(x))
