"""Loading: every tensor accounted for, adapted on request only, and nothing changed after an error."""

import pytest
import torch
import torch.nn.functional as F

from res2net.backbones.registry import build
from res2net.errors import InputError
from res2net.weights import Checkpoint, describe, load, save
from res2net.weights.files import read_checkpoint
from res2net.weights.load import adapt_channels


def copy_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def unchanged(model, before):
    return all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_every_tensor_is_loaded_and_reported(tiny):
    source, model = tiny(seed=1), tiny(seed=2)
    report = load(model, Checkpoint(source.state_dict()))
    assert unchanged(model, source.state_dict())
    assert set(report.loaded) == set(source.state_dict())
    assert (report.adapted, report.kept, report.dropped) == ((), (), ())
    assert str(report) == f"{len(source.state_dict())} tensors loaded (official)"


def test_gradients_and_parameters_of_the_model_stay_its_own(tiny):
    source, model = tiny(seed=1), tiny(seed=2)
    parameters = list(model.parameters())
    load(model, Checkpoint(source.state_dict()))
    assert all(new is old and new.requires_grad for new, old in zip(model.parameters(), parameters, strict=True))
    with torch.no_grad():
        source.conv1.weight.zero_()
    assert model.conv1.weight.abs().sum() > 0


def test_half_precision_is_converted(tiny):
    source, model = tiny(seed=1), tiny(seed=2)
    load(model, Checkpoint({n: t.half() if t.is_floating_point() else t for n, t in source.state_dict().items()}))
    assert model.conv1.weight.dtype == torch.float32
    assert torch.equal(model.conv1.weight, source.conv1.weight.half().float())


def test_old_files_without_counters_of_batches_are_welcome(tiny):
    model = tiny()
    tensors = {name: tensor for name, tensor in model.state_dict().items() if "num_batches" not in name}
    report = load(model, Checkpoint(tensors))
    assert set(report.kept) == {name for name in model.state_dict() if name.endswith("num_batches_tracked")}
    assert set(report.loaded) == set(tensors)
    assert model.bn1.num_batches_tracked == 7
    assert "kept: bn1.num_batches_tracked" in str(report)


@pytest.mark.parametrize("theirs", [7, 0])
def test_another_classifier_needs_to_be_asked_for(tiny, theirs):
    source, model = tiny(num_classes=theirs, seed=1), tiny(seed=2)
    before = copy_of(model)
    named = "a classifier of 7 classes" if theirs else "no classifier"
    with pytest.raises(InputError, match=f"has {named} and the model a classifier of 5 classes: pass adapt_classifier"):
        load(model, Checkpoint(source.state_dict()))
    assert unchanged(model, before)

    report = load(model, Checkpoint(source.state_dict()), adapt_classifier=True)
    assert set(report.kept) == {"fc.weight", "fc.bias"}
    assert set(report.dropped) == ({"fc.weight", "fc.bias"} if theirs else set())
    assert torch.equal(model.fc.weight, before["fc.weight"])
    x = torch.randn(1, 3, 32, 32)
    assert torch.equal(model.features(x)[-1], source.features(x)[-1])


def test_a_model_without_classifier_needs_to_leave_one_out(tiny):
    source, model = tiny(seed=1), tiny(num_classes=0, seed=2)
    with pytest.raises(InputError, match="a classifier of 5 classes and the model no classifier"):
        load(model, Checkpoint(source.state_dict()))
    report = load(model, Checkpoint(source.state_dict()), adapt_classifier=True)
    assert set(report.dropped) == {"fc.weight", "fc.bias"}
    assert report.kept == ()
    assert set(report.loaded) == set(model.state_dict())


def test_a_classifier_that_fits_is_loaded_even_when_adapting(tiny):
    source, model = tiny(seed=1), tiny(seed=2)
    assert load(model, Checkpoint(source.state_dict()), adapt_classifier=True, adapt_input=True).kept == ()
    assert torch.equal(model.fc.weight, source.fc.weight)


@pytest.mark.parametrize("name", ["res2net26_26w_4s", "resnet26d"])
@pytest.mark.parametrize("channels", [1, 2, 4, 5, 6])
def test_other_channels_answer_alike_to_equal_ones(tiny, name, channels):
    source, model = tiny(name, seed=1), tiny(name, in_channels=channels, seed=2)
    before = copy_of(model)
    with pytest.raises(InputError, match=f"of 3 channels and the model for {channels}: pass adapt_input=True"):
        load(model, Checkpoint(source.state_dict()))
    assert unchanged(model, before)

    report = load(model, Checkpoint(source.state_dict()), adapt_input=True)
    assert report.adapted == (f"{model.input_layer_name}.weight",)
    grey = torch.randn(2, 1, 32, 32)
    expected = source(grey.expand(-1, 3, -1, -1))
    assert torch.allclose(model(grey.expand(-1, channels, -1, -1)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("old", "new"), [(3, 6), (3, 9), (1, 4)])
def test_more_channels_repeat_the_old_ones_in_turn_scaled_by_old_over_new(old, new):
    weight = torch.randn(2, old, 3, 3)
    adapted = adapt_channels(weight, new)
    for channel in range(new):
        assert torch.allclose(adapted[:, channel], weight[:, channel % old] * old / new)


def test_one_channel_is_the_sum():
    weight = torch.randn(2, 3, 3)
    assert torch.allclose(adapt_channels(weight, 1), weight.sum(1, keepdim=True))


def test_a_number_of_channels_that_is_no_multiple_divides_by_occurrences():
    """Scaling by 3 / 4 alone would answer otherwise to a grey image: R occurs twice, G and B once."""
    weight = torch.tensor([1.0, 10.0, 100.0]).view(1, 3, 1, 1)
    assert adapt_channels(weight, 4).flatten().tolist() == [0.5, 10.0, 100.0, 0.5]
    grey = torch.ones(1, 1, 1, 1)
    assert F.conv2d(grey.expand(-1, 4, -1, -1), adapt_channels(weight, 4)).item() == 111


def test_both_at_once(tiny):
    source, model = tiny(seed=1), tiny(num_classes=2, in_channels=1, seed=2)
    with pytest.raises(InputError, match=r"adapt_classifier=True .*, and is for images .*adapt_input=True"):
        load(model, Checkpoint(source.state_dict()))
    report = load(model, Checkpoint(source.state_dict()), adapt_classifier=True, adapt_input=True)
    accounted = {*report.loaded, *report.adapted, *report.kept}
    assert accounted == set(model.state_dict())
    assert {*report.loaded, *report.adapted, *report.dropped} == set(source.state_dict())


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"base_width": 14}, r"have another shape or type \(such as layer1\.0\.\S+ is \d+\S* and not \d+\S*\)"),
        ({"layers": (1, 1, 1, 1)}, r"\d+ are missing \(such as layer1\.1\.\S+\);"),
        ({"layers": (2, 1, 1, 2)}, r"\d+ are unexpected \(such as layer4\.1\.\S+\);"),
        ({"scale": 1}, r"are missing .*are unexpected .*have another shape"),
    ],
)
@pytest.mark.parametrize("adapt", [True, False])
def test_another_model_is_refused_with_numbers_and_examples(tiny, other, message, adapt):
    model = tiny()
    before = copy_of(model)
    checkpoint = Checkpoint(tiny(seed=1, num_classes=9, **other).state_dict())
    with pytest.raises(InputError, match=f"is of another model: of its tensors .*{message}"):
        load(model, checkpoint, adapt_classifier=adapt, adapt_input=adapt)
    assert unchanged(model, before)


def test_the_file_and_the_model_it_names_are_told(tiny, tmp_path):
    save(tmp_path / "a.safetensors", tiny("resnet26").state_dict(), {"model": "resnet26"})
    with pytest.raises(InputError, match=r"a\.safetensors is of another model: .*its metadata names 'resnet26'"):
        load(tiny(), read_checkpoint(tmp_path / "a.safetensors"))


@pytest.mark.parametrize("channels", [3, 6])
@pytest.mark.parametrize("name", ["conv1.weight", "layer1.0.conv3.weight"])
def test_integers_are_no_weights(tiny, name, channels):
    """A quantized network copied as numbers would load and be wrong."""
    tensors = tiny().state_dict()
    tensors[name] = tensors[name].to(torch.int8)
    with pytest.raises(InputError, match=rf"{name} is \w+ of integers"):
        load(tiny(in_channels=channels), Checkpoint(tensors), adapt_input=True)


def test_one_missing_weight_is_not_forgiven(tiny):
    model = tiny()
    tensors = model.state_dict()
    del tensors["layer2.0.bn1.running_mean"]
    with pytest.raises(InputError, match=r"1 are missing \(such as layer2\.0\.bn1\.running_mean\)"):
        load(model, Checkpoint(tensors), adapt_classifier=True, adapt_input=True)


@pytest.mark.parametrize("name", ["res2net26_26w_4s", "resnet26d"])
@pytest.mark.parametrize(("classes", "channels"), [(5, 3), (0, 1), (11, 4)])
def test_describe_says_how_to_build_a_network_that_fits(tiny, name, classes, channels):
    source = tiny(name, num_classes=classes, in_channels=channels)
    with torch.device("meta"):
        any_of_that_kind = build(name)
    assert describe(source.state_dict(), any_of_that_kind) == (classes, channels)


def test_describe_refuses_another_network(tiny):
    with pytest.raises(InputError, match=r"no tensor 'conv1\.0\.weight'"):
        describe(tiny().state_dict(), tiny("resnet26d"))


@pytest.mark.parametrize("name", ["conv1.weight", "fc.weight"])
def test_what_has_the_name_of_a_layer_and_is_none(tiny, name):
    model = tiny()
    tensors = model.state_dict() | {name: torch.tensor(1.0)}
    with pytest.raises(InputError, match=rf"'{name}' of the checkpoint has shape \(\), which no layer has"):
        describe(tensors, model)
    with pytest.raises(InputError, match=r"another shape or type|a classifier of 0 classes"):
        load(model, Checkpoint(tensors))


@pytest.mark.parametrize("name", ["conv1.weight", "layer2.0.conv3.weight", "fc.bias", "bn1.num_batches_tracked"])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda tensor: tensor.to_sparse(), "a sparse tensor"),
        (lambda tensor: tensor.to("meta"), "a tensor without values, on the meta device"),
        (lambda tensor: tensor.to(torch.complex64), "a tensor of complex numbers"),
        (lambda tensor: tensor.tolist(), "in place of a tensor"),
        (lambda tensor: torch.nested.nested_tensor([tensor, tensor], layout=torch.jagged), "a special tensor"),
    ],
)
def test_every_tensor_is_checked_before_the_first_is_changed(tiny, name, change, named):
    source, model = tiny(seed=1), tiny(seed=2)
    before = copy_of(model)
    tensors = source.state_dict()
    if tensors[name].ndim == 0 and named.startswith(("a sparse", "a special")):
        return
    with pytest.raises(InputError, match=f"holds .*{named} under '{name}'"):
        load(model, Checkpoint(tensors | {name: change(tensors[name])}))
    assert unchanged(model, before)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("conv1.weight", float("nan"), torch.float32),
        ("bn1.running_var", float("inf"), torch.float32),
        ("fc.bias", -float("inf"), torch.float16),
        ("fc.weight", 1e300, torch.float64),
    ],
)
def test_weights_that_are_no_numbers_are_refused(tiny, name, value, kind):
    """Also those that are none as 32-bit floats."""
    tensors = copy_of(tiny(seed=1))
    tensors[name] = tensors[name].to(kind)
    tensors[name].view(-1)[0] = value
    model = tiny(seed=2)
    before = copy_of(model)
    with pytest.raises(InputError, match=rf"has NaN or infinite weights, 1 of [\d,]+ in '{name}', .*: give weights"):
        load(model, Checkpoint(tensors))
    assert unchanged(model, before)
