"""Class activation maps against the formula of the paper and against captum itself."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from res2net import create_model
from res2net.errors import InputError
from res2net.explain import class_activation_maps

attr = pytest.importorskip("captum.attr")


@pytest.fixture(scope="module")
def network():
    """A small Res2Net whose maps are not trivial: random statistics, and branches that do not start at zero."""
    torch.manual_seed(0)
    model = create_model(
        "res2net26_26w_4s", layers=(1, 2, 1, 1), channels=(16, 16, 32, 32), num_classes=7, zero_init_last=False
    )
    with torch.no_grad():
        model(torch.randn(8, 3, 64, 64))
    return model.eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(3, 3, 64, 48, generator=torch.Generator().manual_seed(1))


def grad_cam(features, head, images, classes):
    """Selvaraju et al., ICCV 2017: Eq. 1, the mean gradients as weights; Eq. 2, the weighted sum, cut off below 0."""
    maps = []
    for image, index in zip(images, classes, strict=True):
        activations = features(image[None]).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(head(activations)[0, index], activations)
        weights = gradient.mean((2, 3))[0]
        total = sum(weight * channel for weight, channel in zip(weights, activations.detach()[0], strict=True))
        enlarged = F.interpolate(total.relu()[None, None], image.shape[1:], mode="bilinear")[0, 0]
        maps.append(enlarged / enlarged.max() if enlarged.max() > 0 else enlarged)
    return torch.stack(maps)


def classifier(network, features):
    return network.fc(network.global_pool(features).flatten(1))


@pytest.mark.parametrize("classes", [[0, 1, 2], [6, 6, 3]])
def test_maps_are_those_of_the_formula(network, images, classes):
    expected = grad_cam(lambda x: network.features(x)[-1], lambda x: classifier(network, x), images, classes)
    maps = class_activation_maps(network, images, classes)
    torch.testing.assert_close(maps, expected, rtol=1e-3, atol=1e-5)
    assert maps.shape == (3, 64, 48)
    assert maps.min() >= 0
    assert ((maps.flatten(1).amax(1) - 1).abs() < 1e-6).sum() >= 1


def test_of_a_layer_inside_the_network(network, images):
    def head(x):
        for layer in (network.layer3, network.layer4):
            x = layer(x)
        return classifier(network, x)

    expected = grad_cam(lambda x: network.features(x)[2], head, images, [4, 4, 4])
    maps = class_activation_maps(network, images, 4, layer="layer2.1")
    torch.testing.assert_close(maps, expected, rtol=1e-3, atol=1e-5)


def test_maps_are_those_of_captum(network, images):
    target = torch.tensor([1, 5, 2])
    grad_cam = attr.LayerGradCam(network, network.layer3)
    expected = attr.LayerAttribution.interpolate(
        grad_cam.attribute(images, target, relu_attributions=True), (64, 48), "bilinear"
    )[:, 0]
    maps = class_activation_maps(network, images, target, layer="layer3")
    greatest = expected.flatten(1).amax(1)[:, None, None]
    torch.testing.assert_close(maps * greatest, expected.detach(), rtol=1e-4, atol=1e-9)


def test_the_predicted_classes_are_the_default(network, images):
    predicted = network(images).argmax(1)
    assert torch.equal(class_activation_maps(network, images), class_activation_maps(network, images, predicted))


def test_work_in_place_changes_no_map(network, images):
    outside = copy.deepcopy(network)
    for module in outside.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    unused = {"layer1.0.convs", "layer1.0.bns", "layer1.0.acts"}
    layers = [name for name, _ in network.named_modules() if name.startswith(("layer1", "act1", "bn1", "maxpool"))]
    for name in sorted(set(layers) - unused):
        maps = class_activation_maps(network, images[:1], 2, layer=name)
        torch.testing.assert_close(maps, class_activation_maps(outside, images[:1], 2, layer=name))


def test_the_network_stays_as_it_is(network, images):
    model = copy.deepcopy(network).train()
    model.freeze(2)
    model.layer3.eval()
    model.fc.weight.grad = torch.ones_like(model.fc.weight)
    state = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    trainable = [parameter.requires_grad for parameter in model.parameters()]
    given = images.clone()
    class_activation_maps(model, given)
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == trainable
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(model.fc.weight.grad, torch.ones_like(model.fc.weight))
    assert all(parameter.grad is None for name, parameter in model.named_parameters() if name != "fc.weight")
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
    assert torch.equal(given, images)
    assert not given.requires_grad


def test_the_mode_is_restored_after_a_mistake(network, images):
    model = copy.deepcopy(network).train()
    with pytest.raises(InputError):
        class_activation_maps(model, images, 99)
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


def test_gradients_may_be_off_or_weights_frozen(network, images):
    expected = class_activation_maps(network, images, 1)
    frozen = copy.deepcopy(network).requires_grad_(False)
    assert torch.equal(class_activation_maps(frozen, images, 1), expected)
    with torch.no_grad():
        assert torch.equal(class_activation_maps(network, images, 1), expected)
    with torch.inference_mode():
        inside = class_activation_maps(network, images.clone(), 1)
    assert torch.equal(inside, expected)
    assert not expected.requires_grad


def test_any_dimension():
    model = create_model("res2net26_26w_4s", layers=(1, 1), channels=(8, 16), num_classes=3, dims=1, in_channels=2)
    assert class_activation_maps(model, torch.randn(2, 2, 100)).shape == (2, 100)


def test_no_images_and_blank_maps(network):
    assert class_activation_maps(network, torch.zeros(0, 3, 32, 32)).shape == (0, 32, 32)
    blank = copy.deepcopy(network)
    nn.init.zeros_(blank.fc.weight)
    assert (class_activation_maps(blank, torch.randn(1, 3, 32, 32)) == 0).all()


def test_networks_of_others_name_their_layer(images):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    assert class_activation_maps(model, images, layer="1").shape == (3, 64, 48)
    with pytest.raises(InputError, match="A Sequential has no known last stage: give the name of a layer"):
        class_activation_maps(model, images)


@pytest.mark.parametrize(
    ("classes", "layer", "message"),
    [
        (None, "layer5", "Unknown layer 'layer5': did you mean 'layer"),
        (None, "fc", "The output of layer 'fc' has no spatial axes"),
        (None, "layer1.0.convs", "The layer 'layer1.0.convs' is not called itself"),
        (7, None, "Classes 7 do not fit: give one of 0 to 6 for each of 3 images"),
        (-1, None, "Classes -1 do not fit"),
        ([1, 2], None, r"Classes \[1, 2\] do not fit"),
    ],
)
def test_mistakes_are_told(network, images, classes, layer, message):
    with pytest.raises(InputError, match=message):
        class_activation_maps(network, images, classes, layer)


def test_a_classifier_is_needed(images):
    model = create_model("res2net26_26w_4s", layers=(1,), channels=(8,), num_classes=0)
    with pytest.raises(InputError, match="not logits"):
        class_activation_maps(model, images)
