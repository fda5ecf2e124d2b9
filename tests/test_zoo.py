"""Models by name, with weights from files and from publishers."""

import pickle

import numpy as np
import pytest
import torch

import res2net
from res2net.backbones.base import Backbone
from res2net.backbones.registry import variant_names
from res2net.errors import InputError
from res2net.weights import Preprocessing, find_record, from_native, read_checkpoint, records, save
from res2net.zoo import (
    check_model_options,
    create_model,
    find_checkpoint,
    list_models,
    load_model,
    preprocessing_of,
)

NAME = "res2net26_26w_4s"
TINY = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8], "stem_channels": 8, "base_width": 32}


def tiny(name=NAME, *, seed=1, **options):
    torch.manual_seed(seed)
    return create_model(name, **TINY, **options).eval()


def same_weights(a, b):
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.fixture
def saved(tmp_path):
    """A model of 5 classes and the file that it was saved in, with all that the file says about it."""
    model = tiny(num_classes=5)
    path = tmp_path / "model.safetensors"
    save(path, model.state_dict(), {"model": NAME, "options": {**TINY, "num_classes": 5}, "epoch": 3})
    return model, path


def test_the_package_offers_them():
    assert res2net.create_model is create_model
    assert res2net.list_models is list_models
    assert res2net.load_model is load_model
    assert {"create_model", "list_models", "load_model", "__version__"} <= set(dir(res2net))
    with pytest.raises(AttributeError, match="no attribute 'create_modle'"):
        _ = res2net.create_modle


def test_listing():
    assert list_models() == variant_names()
    assert list_models("res2net50_*") == [name for name in variant_names() if name.startswith("res2net50_")]


def test_a_new_model_is_in_training_mode_with_the_options_asked_for():
    model = create_model(NAME, **TINY, num_classes=3, in_channels=2, output_stride=8)
    assert isinstance(model, Backbone)
    assert model.training
    assert (model.num_classes, model.in_channels, model.output_stride) == (3, 2, 8)
    assert model(torch.randn(2, 2, 32, 32)).shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("res2net50_26w4s", {}, r"Unknown model 'res2net50_26w4s': did you mean 'res2net50_26w_4s'\?"),
        (NAME, {"scales": 8}, r"has no option 'scales': did you mean 'scale'\?"),
        (NAME, {"weights": "imagenet"}, r"Model 'res2net26_26w_4s' has no published weights"),
        ("res2net50_26w_4s", {"weights": "in22k"}, r"Unknown weight tag of res2net50_26w_4s 'in22k': .*'in1k'"),
        ("res2net50_26w4s", {"weights": "in1k"}, r"did you mean 'res2net50_26w_4s'\?"),
        (NAME, {"weights": "nowhere.pth"}, "There is no file nowhere.pth"),
        (NAME, {"weights": "no/where"}, "There is no file no/where"),
    ],
)
def test_what_does_not_exist(name, options, message):
    with pytest.raises(InputError, match=message):
        create_model(name, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"act": 3},
            "Option act 3 of model 'res2net26_26w_4s' does not fit: choose one (allowed: relu, relu6, leaky_relu, elu, "
            "gelu, silu, mish, hardswish, none or a function).",
        ),
        (
            {"graph": "padle"},
            "Option graph 'padle' of model 'res2net26_26w_4s' does not fit: did you mean 'paddle'? (allowed: official, "
            "mmdet, paddle, detectron2, maskrcnn).",
        ),
        ({"dropout": "x"}, "Option dropout 'x' of model 'res2net26_26w_4s' does not fit: give a number."),
        ({"layers": "abcd"}, "Option layers 'abcd' of model 'res2net26_26w_4s' does not fit: give a list."),
    ],
)
def test_options_of_another_type_are_refused_where_they_come_from(tmp_path, options, message):
    with pytest.raises(InputError) as caught:
        create_model(NAME, **options)
    assert str(caught.value) == message
    path = tmp_path / "a.safetensors"
    save(path, tiny().state_dict(), {"model": NAME, "options": options})
    with pytest.raises(InputError) as caught:
        create_model(NAME, path)
    assert str(caught.value) == message.replace("' does", f"' in {path} does")


def test_arguments_of_create_model_are_no_options_of_a_model():
    check_model_options(NAME, {"scale": 3, "num_classes": 0, "graph": "paddle"})
    for option in ("name", "weights", "adapt_classifier"):
        with pytest.raises(InputError, match=f"^Model '{NAME}' has no option '{option}': "):
            check_model_options(NAME, {option: True})


def test_a_file_of_this_library_is_built_as_it_was_saved(saved):
    model, path = saved
    loaded, checkpoint = load_model(path)
    assert same_weights(loaded, model)
    assert loaded.training
    assert (loaded.num_classes, loaded.variant_name) == (5, NAME)
    assert checkpoint.metadata["epoch"] == 3
    x = torch.randn(1, 3, 32, 32)
    assert torch.equal(loaded.eval()(x), model(x))


@pytest.mark.parametrize("kind", [str, lambda path: path, read_checkpoint], ids=["text", "path", "content"])
def test_weights_of_a_file_with_options_over_its_own(saved, kind):
    model, path = saved
    loaded = create_model(NAME, kind(path), drop_path_rate=0.1)
    assert same_weights(loaded, model)
    assert loaded.layer4[0].drop_path.p == pytest.approx(0.1)


@pytest.mark.parametrize("format_name", ["official", "mmpretrain"])
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(("num_classes", "in_channels"), [(7, 1), (0, 3), (1000, 3)])
def test_files_of_other_programs_say_classes_and_channels_by_their_tensors(
    tmp_path, format_name, wrapped, num_classes, in_channels
):
    model = tiny("res2net50d", num_classes=num_classes, in_channels=in_channels)
    tensors = from_native(model.state_dict(), format_name)
    # The names of entries mean something else to other programs.
    content = {"state_dict": tensors, "epoch": 3, "model": "my experiment", "options": "--lr 0.1"}
    torch.save(content if wrapped else tensors, tmp_path / "model.pth")
    loaded = create_model("res2net50d", tmp_path / "model.pth", **TINY)
    assert (loaded.num_classes, loaded.in_channels) == (num_classes, in_channels)
    assert same_weights(loaded, model)


@pytest.mark.parametrize(("classes", "named"), [(9, "a classifier of 9 classes"), (0, "no classifier")])
def test_another_number_of_classes_needs_to_be_asked_for(saved, classes, named):
    model, path = saved
    with pytest.raises(InputError, match=f"a classifier of 5 classes and the model {named}"):
        create_model(NAME, path, num_classes=classes)
    loaded = create_model(NAME, path, num_classes=classes, adapt_classifier=True).eval()
    x = torch.randn(1, 3, 32, 32)
    features = model.features(x)[-1]
    assert torch.equal(loaded.features(x)[-1], features)
    assert loaded(x).shape == ((1, classes) if classes else features.shape)


def test_other_channels_need_to_be_asked_for(saved):
    model, path = saved
    with pytest.raises(InputError, match="is for images of 3 channels and the model for 1: pass adapt_input=True"):
        create_model(NAME, path, in_channels=1)
    loaded = create_model(NAME, path, in_channels=1, adapt_input=True).eval()
    grey = torch.randn(1, 1, 32, 32)
    torch.testing.assert_close(loaded(grey), model(grey.expand(-1, 3, -1, -1)))


def test_another_output_stride_uses_the_same_weights(saved):
    model, path = saved
    loaded = create_model(NAME, path, output_stride=8)
    assert loaded.output_stride == 8
    assert same_weights(loaded, model)


def test_a_file_of_another_model_is_refused(saved):
    _, path = saved
    with pytest.raises(InputError, match=rf"model.safetensors holds a '{NAME}', not a 'resnet50': create '{NAME}'"):
        create_model("resnet50", path)


def test_a_file_that_does_not_say_so_is_refused_by_its_tensors(saved, tmp_path):
    model, _ = saved
    torch.save(model.state_dict(), tmp_path / "model.pth")
    with pytest.raises(InputError, match=r"is of another model: of its tensors .*create the model that it was saved"):
        create_model("resnet26", tmp_path / "model.pth", **TINY)


@pytest.mark.parametrize("metadata", [{}, {"arch": "vit_base"}, {"epoch": 3}])
def test_a_file_that_names_no_model(tmp_path, metadata):
    model = create_model("res2net20_26w_4s_tiny", num_classes=4)
    path = tmp_path / "model.safetensors"
    save(path, model.state_dict(), metadata)
    with pytest.raises(InputError, match="does not say which model it holds: give the name of the model as well"):
        load_model(path)
    loaded, checkpoint = load_model(path, "res2net20_26w_4s_tiny")
    assert same_weights(loaded, model)
    assert checkpoint.path == path


GRAPHS = {
    "official": "official",
    "mmpretrain": "official",
    "mmdet": "mmdet",
    "detectron2": "detectron2",
    "paddle": "paddle",
}


@pytest.mark.parametrize(("format_name", "graph"), GRAPHS.items())
def test_a_file_of_another_program_is_built_with_its_graph_unless_another_is_named(tmp_path, format_name, graph):
    model = tiny("res2net50d", num_classes=5)
    path = tmp_path / "model.pth"
    torch.save(from_native(model.state_dict(), format_name), path)
    x = torch.randn(1, 3, 64, 64)
    for asked in (None, "official", "paddle"):
        loaded = create_model("res2net50d", path, **TINY, **({"graph": asked} if asked else {})).eval()
        expected = tiny("res2net50d", num_classes=5, graph=asked or graph)
        assert loaded.variant_options.get("graph", "official") == (asked or graph)
        assert torch.equal(loaded(x), expected(x))


@pytest.mark.parametrize(
    ("metadata", "graph"),
    [
        ({"graph": "paddle"}, "paddle"),
        ({"model": NAME, "graph": "mmdet"}, "mmdet"),
        ({"model": NAME, "options": {**TINY, "graph": "detectron2"}}, "detectron2"),
        ({"model": NAME, "options": TINY}, "official"),
        ({"model": NAME, "graph": "official", "format": "paddle"}, "official"),
    ],
)
def test_the_graph_that_a_file_tells_is_the_one_that_is_built(tmp_path, metadata, graph):
    path = tmp_path / "model.safetensors"
    state = tiny().state_dict()
    save(path, from_native(state, metadata.get("format", "official")), metadata)
    for asked in ({}, {"graph": graph}):
        loaded = create_model(NAME, path, **TINY, **asked)
        assert loaded.variant_options.get("graph", "official") == graph
    other = "maskrcnn"
    sentence = (
        rf"model\.safetensors needs the graph '{graph}' and not '{other}', in which .*: leave out the graph, or choose"
    )
    with pytest.raises(InputError, match=sentence):
        create_model(NAME, path, **TINY, graph=other)


def test_what_others_call_a_graph_is_none(tmp_path):
    path = tmp_path / "model.safetensors"
    save(path, tiny().state_dict(), {"graph": "keras"})
    assert "graph" not in create_model(NAME, path, **TINY).variant_options


def test_the_graph_of_published_weights(tmp_path, monkeypatch):
    model = tiny("res2net50d", graph="paddle", num_classes=5)
    arrays = {name: tensor.numpy() for name, tensor in from_native(model.state_dict(), "paddle").items()}
    published = find_record("res2net50d", "paddle_ssld").file_name
    (tmp_path / published).write_bytes(pickle.dumps(arrays, protocol=2))
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path))  # PaddleClas gives no hashes
    loaded = create_model("res2net50d", "paddle_ssld", **TINY).eval()
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(loaded(x), model(x))
    with pytest.raises(InputError, match="needs the graph 'paddle' and not 'official'"):
        create_model("res2net50d", "paddle_ssld", **TINY, graph="official")


QUICK = ("res2net50_26w_4s.paddle_in1k", "res2net50d.paddle_in1k")
"""A network with each stem; the others differ in numbers of blocks and splits, and in tags."""


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(record, id=record.name, marks=() if record.name in QUICK else pytest.mark.slow)
        for record in records()
        if record.format == "paddle"
    ],
)
def test_every_published_net_of_paddle_is_created_from_its_file(tmp_path, monkeypatch, record):
    """Random arrays stand for the published ones; all have the names and shapes that PaddleClas gives them."""
    with torch.device("meta"):
        shapes = from_native(create_model(record.model).state_dict(), "paddle")
    arrays = {name: np.zeros(tensor.shape, np.float32) for name, tensor in shapes.items()}
    (tmp_path / record.file_name).write_bytes(pickle.dumps(arrays, protocol=2))
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path))  # PaddleClas gives no hashes
    model = create_model(record.model, record.tag)
    assert model.variant_options["graph"] == "paddle"
    assert not any(tensor.any() for name, tensor in model.state_dict().items() if "num_batches" not in name)


def test_a_tag_alone_names_no_model():
    with pytest.raises(InputError, match=r"^in1k is not a file: .*give the name of the model as well\.$"):
        load_model("in1k")


def test_a_folder_may_have_the_name_of_a_tag(tmp_path, monkeypatch):
    """As data often do; a folder with a path is told to be one."""
    (tmp_path / "in1k").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"There is no file .*fetched\.pth"):
        find_checkpoint("res2net50_26w_4s", "in1k", download=lambda record: tmp_path / record.tag / "fetched.pth")
    with pytest.raises(InputError, match=r"in1k is a folder without best\.safetensors: give a checkpoint"):
        find_checkpoint("res2net50_26w_4s", tmp_path / "in1k")
    (tmp_path / "mine").mkdir()
    with pytest.raises(
        InputError,
        match=r"^mine is a folder without best\.safetensors: give a checkpoint file, or",
    ):
        find_checkpoint("res2net50_26w_4s", "mine")


def test_published_weights_come_with_their_preprocessing(tmp_path):
    """A small file stands for the published one; downloading is tested with the weights."""
    model = tiny("res2net50_26w_4s", num_classes=11)
    torch.save(model.state_dict(), tmp_path / "published.pth")
    checkpoint = find_checkpoint(
        "res2net50_26w_4s",
        "in1k",
        download=lambda record: tmp_path / f"{'published' if record.tag == 'in1k' else '?'}.pth",
    )
    assert same_weights(create_model("res2net50_26w_4s", checkpoint, **TINY), model)
    assert preprocessing_of(checkpoint) == Preprocessing()


def test_a_file_can_say_its_preprocessing(saved, tmp_path):
    model, path = saved
    assert preprocessing_of(read_checkpoint(path)) is None
    small = Preprocessing(size=32, crop=1.0, mean=(0.5,) * 3, std=(0.25,) * 3)
    save(tmp_path / "small.safetensors", model.state_dict(), {"model": NAME, "preprocessing": small.to_dict()})
    assert preprocessing_of(read_checkpoint(tmp_path / "small.safetensors")) == small


@pytest.mark.parametrize("weights", [True, False, 3, ["in1k"]])
def test_weights_of_another_kind_are_refused(weights):
    with pytest.raises(InputError, match="do not fit: give a tag such as 'in1k', a file or a state dict"):
        create_model("resnet20_tiny", weights)
