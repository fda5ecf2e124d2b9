"""Backbones inside of detectors and segmenters, of other programs and of this library."""

import pytest
import torch

from res2net.errors import InputError
from res2net.weights import Checkpoint, from_native, load, save, to_native
from res2net.zoo import create_model, load_model

HEADS = ("neck.lateral.weight", "rpn_head.conv.weight", "roi_head.bbox_head.fc.weight", "pixel_mean")
PROGRAMS = {
    "mmdet": ("res2net50d", "mmdet", "backbone.", "mmdet"),
    "mmdet, plain stem": ("res2net26_26w_4s", "official", "backbone.", "official"),
    "mmsegmentation": ("resnet26", "official", "backbone.", "official"),
    "detectron2": ("res2net50d", "detectron2", "backbone.bottom_up.", "detectron2"),
    "maskrcnn-benchmark": ("res2net26_26w_4s", "maskrcnn", "module.backbone.body.", "maskrcnn"),
    "torchvision": ("resnet26", "official", "backbone.body.", "official"),
    "segmentation_models.pytorch": ("res2net26_26w_4s", "official", "encoder.", "official"),
    "segmentation_models.pytorch with timm": ("res2net26_26w_4s", "official", "encoder.model.", "official"),
}


def detector(model, program, prefix):
    """The tensors of a detector around the features of a network, under the names of a program."""
    tensors = from_native({n: t for n, t in model.state_dict().items() if not n.startswith("fc.")}, program)
    around = {name: torch.ones(2) for name in HEADS}
    if prefix.startswith("module."):
        around = {f"module.{name}": tensor for name, tensor in around.items()}
    return around | {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize(("name", "program", "prefix", "graph"), PROGRAMS.values(), ids=PROGRAMS)
def test_the_backbone_of_a_detector_is_taken(tiny, tmp_path, name, program, prefix, graph):
    options = {"layers": (2, 1, 1, 1), "channels": (8, 16, 32, 64), "stem_channels": 8}
    source = tiny(name, **({} if graph == "official" else {"graph": graph}))
    torch.save({"state_dict": detector(source, program, prefix), "meta": {"epoch": 3}}, tmp_path / "detector.pth")
    model = create_model(name, tmp_path / "detector.pth", **options).eval()
    assert model.num_classes == 0
    assert model.variant_options.get("graph", "official") == graph
    x = torch.rand(1, 3, 48, 64)
    for ours, theirs in zip(model.features(x), source.features(x), strict=True):
        assert torch.equal(ours, theirs)
    classifier = create_model(name, tmp_path / "detector.pth", num_classes=7, adapt_classifier=True, **options)
    assert torch.equal(classifier.layer4[0].conv1.weight, source.layer4[0].conv1.weight)
    with pytest.raises(InputError, match="has no classifier and the model a classifier of 7 classes"):
        create_model(name, tmp_path / "detector.pth", num_classes=7, **options)


def test_what_lies_around_is_reported(tiny):
    source, model = tiny("res2net26_26w_4s"), tiny("res2net26_26w_4s", num_classes=0, seed=2)
    report = load(model, Checkpoint(detector(source, "official", "backbone.")))
    assert set(report.dropped) == set(HEADS)
    assert "dropped: neck.lateral.weight" in str(report)


def test_two_networks_in_one_file_are_not_mixed(tiny):
    source = tiny("res2net26_26w_4s")
    tensors = detector(source, "official", "backbone.") | {"conv1.weight": source.conv1.weight}
    with pytest.raises(InputError, match="have the same name"):
        to_native(tensors)


def test_a_classifier_of_mmpretrain_keeps_its_head(tiny):
    for name in ("res2net26_26w_4s", "res2net50d", "resnet26d"):
        source = tiny(name)
        native = to_native(from_native(source.state_dict(), "mmpretrain"), source.state_dict())
        assert native.format == "mmpretrain"
        assert native.tensors.keys() == source.state_dict().keys()


@pytest.mark.parametrize(
    ("program", "name", "prefix", "stage"),
    [
        ("detectron2", "res2net50d", "backbone.", ("res5.", "roi_heads.res5.")),
        (
            "maskrcnn",
            "res2net26_26w_4s",
            "backbone.body.",
            ("layer4.", "roi_heads.box.feature_extractor.head.layer4."),
        ),
    ],
)
def test_the_last_stage_of_a_detector_without_a_pyramid_lies_in_its_head(tiny, program, name, prefix, stage):
    source = tiny(name, num_classes=0, graph=program)
    inside, head = stage
    tensors = {
        head + key.removeprefix(inside) if key.startswith(inside) else prefix + key: tensor
        for key, tensor in from_native(source.state_dict(), program).items()
    }
    model = tiny(name, num_classes=0, graph=program, seed=2)
    assert load(model, Checkpoint(tensors)).dropped == ()
    x = torch.rand(1, 3, 48, 64)
    assert torch.equal(model(x), source(x))


@pytest.mark.parametrize("kind", ["pspnet", "retinanet", "faster_rcnn_c4"])
def test_the_backbone_of_our_segmenters_and_detectors_is_taken(tmp_path, kind):
    from res2net.tasks.objects.heads.detector import DETECTORS, build_detector
    from res2net.tasks.pixels.heads.network import DECODERS, PixelNetwork

    name = "res2net20_26w_4s_tiny"
    backbone = create_model(name, num_classes=0, in_channels=4).eval()
    x = torch.rand(1, 4, 32, 48)
    expected = [feature.clone() for feature in backbone.features(x)]
    network = (
        build_detector(kind, backbone, 3)
        if kind in DETECTORS
        else PixelNetwork(backbone, DECODERS[kind](backbone.stages, 3, 16))
    )
    path = tmp_path / "best.safetensors"
    metadata = {"task": "x", "model": name, "options": {"num_classes": 0, "in_channels": 4}}
    save(path, network.state_dict(), metadata)
    for weights in (path, tmp_path, str(tmp_path)):  # the folder of a run stands for its best weights
        model = create_model(name, weights).eval()
        assert (model.num_classes, model.in_channels) == (0, 4)
        for ours, theirs in zip(model.features(x), expected, strict=True):
            assert torch.equal(ours, theirs)
    loaded, _ = load_model(tmp_path)
    assert loaded.variant_name == name
    classifier = create_model(name, tmp_path, num_classes=5, adapt_classifier=True)
    assert classifier.num_classes == 5
    # And back: a classifier gives its backbone to a detector or a segmenter.
    save(path, classifier.state_dict(), {"model": name, "options": {"num_classes": 5, "in_channels": 4}})
    assert create_model(name, path, num_classes=0, adapt_classifier=True)(x).shape == expected[-1].shape
